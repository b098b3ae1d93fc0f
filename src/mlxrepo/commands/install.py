"""mlx install and uninstall: what a clone needs besides its files, put there and taken away."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mlxrepo.repo import hookfiles, hooks, prepared
from mlxrepo.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class Installed:
    """What was set up: names of settings and of hooks that are new or were of an older mlx.

    `present` hooks were there, `chained` ones run a hook that was there before first. `lacking`
    are hooks that mlx did not write into `folder`, and `why`; each calls mlx with `lines`.
    """

    settings: tuple[str, ...]
    hooks: tuple[str, ...]
    chained: tuple[str, ...]
    present: tuple[str, ...]
    lacking: tuple[str, ...]
    folder: str
    why: str

    @property
    def lines(self) -> dict[str, str]:
        """Return by hook what has to be added to it by hand."""
        return {name: hooks.line(name) for name in self.lacking}


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What was taken away; `left` are files in which hooks of others still wait to be put back.

    `wired` are hooks of others which call mlx.
    """

    settings: tuple[str, ...]
    hooks: tuple[str, ...]
    left: tuple[str, ...]
    wired: tuple[str, ...]


def install(repo: Repo, *, with_hooks: bool = True) -> Installed:
    """Set merge driver and textconv, and write the hooks; what is as it should be stays.

    Raises:
        EnvironmentFailed: when git does not let this user change the settings.
    """
    place = hookfiles.folder(repo)  # first: it takes a repository that git works in
    changed = prepared.unlike(prepared.current(repo.git))
    for name in changed:
        if name in prepared.SETTINGS:
            repo.git.run("config", "--local", "--replace-all", name, prepared.SETTINGS[name])
        else:
            repo.git.run("config", "--local", "--unset-all", name, accept=(0, 5))
    _forget_texts(repo)
    prepared.note_hinted(repo.common_dir)
    if not with_hooks:
        return Installed(tuple(changed), (), (), (), (), place.path, "")
    if place.why:
        wired = [name for name in hooks.HOOKS if hookfiles.is_wired(place, name)]
        lacking = tuple(name for name in hooks.HOOKS if name not in wired)
        return Installed(tuple(changed), (), (), tuple(wired), lacking, place.path, place.why)
    done = {name: hookfiles.put(place, name) for name in hooks.HOOKS}
    hookfiles.accompany(place)

    def those(*words: str) -> tuple[str, ...]:
        return tuple(name for name, word in done.items() if word in words)

    blocked = those(hookfiles.BLOCKED)
    why = f"it and {place.before}/{blocked[0]} are both of others" if blocked else ""
    return Installed(
        tuple(changed), those(hookfiles.WRITTEN, hookfiles.CHAINED), those(hookfiles.CHAINED),
        those(hookfiles.PRESENT), blocked, place.path, why,
    )  # fmt: skip


def uninstall(repo: Repo) -> Uninstalled:
    """Take away what `install` set up; hooks that were there before it are as they were."""
    places = hookfiles.places(repo)
    known = prepared.current(repo.git)
    for name in known:
        repo.git.run("config", "--local", "--unset-all", name, accept=(0, 5))
    _forget_texts(repo)
    prepared.note_hinted(repo.common_dir)
    gone: set[str] = set()
    left: list[str] = []
    wired: list[str] = []
    for place in places:
        if place.why:
            wired = [name for name in hooks.HOOKS if hookfiles.is_wired(place, name)]
            continue
        gone.update(hookfiles.take_away(place))
        left += (os.path.relpath(path, repo.cwd) for path in hookfiles.left_over(place))
    names = tuple(name for name in hooks.HOOKS if name in gone)
    return Uninstalled(tuple(known), names, tuple(left), tuple(wired))


def _forget_texts(repo: Repo) -> None:
    """Remove what an older mlx let git keep of the textconv."""
    repo.git.run("update-ref", "-d", prepared.TEXTCONV_NOTES)
