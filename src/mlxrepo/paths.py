"""Paths inside the repository: relative, with `/`, never leaving it.

User text becomes a `RepoPath` here and nowhere else. Names are bytes; in Python they are str with
undecodable bytes as PEP 383 surrogates, and `name_bytes` turns them back.
"""

from __future__ import annotations

import os
from typing import NewType

from mlxrepo.errors import InputError

RepoPath = NewType("RepoPath", str)

ROOT = RepoPath("")
NAME_MAX = 255
TARGET_MAX = 4095  # bytes in the target of a symbolic link

TEMP_PREFIX = ".mlx-tmp-"  # names of what is still being written: never data


def name_bytes(name: str) -> bytes:
    """Return the bytes of a file name as the system knows it."""
    return name.encode("utf-8", "surrogateescape")


def display(path: str) -> str:
    """Return `path` fit for a screen: control characters and invalid bytes escaped."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def bad_name(name: str) -> str | None:
    """Say why a folder entry may not be called `name`, or None when it may.

    `.git` in any case and its short and ignorable-character forms are refused as git refuses them:
    on some file systems they would all open the repository itself.
    """
    if not name or name in (".", ".."):
        return "is not a file name"
    if "/" in name or "\0" in name:
        return "holds a / or a NUL"
    if name.isascii():
        length, plain = len(name), name
    else:
        try:
            raw = name_bytes(name)
        except UnicodeEncodeError:
            raw = b""
        if raw.decode("utf-8", "surrogateescape") != name:
            return "is not spelled as the system spells a name"
        length, plain = len(raw), "".join(c for c in name if c not in _IGNORABLE)
    if length > NAME_MAX:
        return "is longer than 255 bytes"
    return "is reserved for the repository itself" if _is_reserved(plain.lower()) else None


def _is_reserved(name: str) -> bool:
    if not name.startswith((".git", ".mlx", "git~1")):  # nearly all names are done here
        return False
    stem = name.split(":")[0].rstrip(". ")
    return stem in (".git", ".mlx", "git~1") or name.startswith(TEMP_PREFIX)


# Characters that HFS+ ignores when it compares names (git refuses `.git` dressed with them).
_IGNORABLE = frozenset(
    "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
)


def check_path(text: str) -> RepoPath:
    """Return `text` as a RepoPath if it already has the canonical form, as in a committed file.

    Raises:
        InputError: when it is absolute, leaves the repository, or is not in canonical form.
    """
    for name in text.split("/"):
        reason = bad_name(name)
        if reason:
            raise InputError(
                f'"{display(text)}" is not a path inside the repository: '
                f"{display(name) or 'an empty name'} {reason}"
            )
    return RepoPath(text)


def join(base: str, *names: str) -> RepoPath:
    """Join repository paths; an empty base is the root."""
    return RepoPath("/".join(part for part in (base, *names) if part))


def relative(text: str, base: RepoPath) -> RepoPath:
    """Resolve `text`, written in a file that lies in folder `base`, to a RepoPath.

    `./`, a trailing `/` and `..` inside the repository are accepted and normalised.

    Raises:
        InputError: when it is absolute, empty, or leaves the repository.
    """
    if not text:
        raise InputError("an empty path", hint='"." is the folder itself')
    if text.startswith(("/", "~")):
        raise InputError(
            f'"{display(text)}" is an absolute path; paths in a project are relative to its files'
        )
    return normalise(text, base)


def normalise(text: str, base: RepoPath) -> RepoPath:
    """Resolve `.` and `..` of `text` against `base`.

    Raises:
        InputError: when the result lies outside the repository or holds a refused name.
    """
    parts = base.split("/") if base else []
    for name in text.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            if not parts:
                raise InputError(f'"{display(text)}" lies outside the repository')
            parts.pop()
            continue
        reason = bad_name(name)
        if reason:
            raise InputError(f'"{display(text)}": the name "{display(name)}" {reason}')
        parts.append(name)
    return RepoPath("/".join(parts))


def from_user(text: str, root: str, cwd: str) -> RepoPath:
    """Turn a path typed at the command line into a RepoPath.

    The folder part is resolved through symlinks, the last name is not: a link is itself.

    Raises:
        InputError: when it lies outside the repository at `root`.
    """
    if "\0" in text:
        raise InputError(f'"{display(text)}" holds a NUL, which no path does')
    full = os.path.normpath(os.path.join(cwd, text))
    folder, name = os.path.split(full)
    real = os.path.join(os.path.realpath(folder), name) if full != root else root
    if real == root:
        return ROOT
    if not real.startswith(root.rstrip("/") + "/"):
        raise InputError(f'"{display(text)}" lies outside the repository {display(root)}')
    return check_path(real[len(root.rstrip("/")) + 1 :])


def bad_link(path: str, target: str, top: str) -> str | None:
    """Say why the link `path` with its target cannot be kept as part of `top`, or None.

    A target goes up first, then down: behind a name, which may be another link, `..` could lead
    anywhere. So a chain of kept links stays inside `top`, whatever they lead through.
    """
    if not target or "\0" in target or len(name_bytes(target)) > TARGET_MAX:
        return "leads nowhere"
    if target.startswith("/"):
        return "is absolute and means something else elsewhere"
    names = [name for name in target.split("/") if name not in ("", ".")]
    ups = next((i for i, name in enumerate(names) if name != ".."), len(names))
    if ".." in names[ups:]:
        return "goes up again after it went down, so that it could lead anywhere"
    folders_between = path[len(top) :].strip("/").count("/")
    if path == top or not is_inside(path, top) or ups > folders_between:
        return "leaves what is tracked here"
    return None


def is_inside(path: str, folder: str) -> bool:
    """Say whether `path` is `folder` or lies below it."""
    return not folder or path == folder or path.startswith(folder + "/")


def parent(path: str) -> RepoPath:
    """Return the folder of `path`; the root's is the root."""
    return RepoPath(path.rpartition("/")[0])


def name_of(path: str) -> str:
    """Return the last name of `path`."""
    return path.rpartition("/")[2]


def ancestors(path: str) -> list[RepoPath]:
    """Return every folder above `path`, outermost first, without the root."""
    parts = path.split("/")[:-1]
    return [RepoPath("/".join(parts[: i + 1])) for i in range(len(parts))]
