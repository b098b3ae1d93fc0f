"""Who makes something here: the person, the machine and the commit."""

from __future__ import annotations

import os

from mlxrepo.repo.git import Git


def maker(git: Git) -> dict[str, str]:
    """Return `by` (the user's email of git), `host`, `commit` and `platform`; "" is unknown."""
    machine = os.uname()
    return {
        "by": email(git),
        "host": machine.nodename,
        "commit": git.head() or "",
        "platform": f"{machine.sysname} {machine.machine}",
    }


def email(git: Git) -> str:
    """Return the email that git commits with here, "" when it knows none."""
    _, ident = git.run("var", "GIT_AUTHOR_IDENT", accept=(0, 1, 128))
    return email_of(ident.decode("utf-8", "replace"))


def email_of(ident: str) -> str:
    """Return the email in an identity as git writes it: `name <email> seconds zone`."""
    return ident.partition("<")[2].partition(">")[0]
