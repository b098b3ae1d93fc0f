"""mlx stage: write a stage into mlx.yaml, and list the stages there are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display, from_user, is_inside, join, parent
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import Declared, declare
from mlxrepo.repo.grammar import check_name
from mlxrepo.repo.layout import PARAMS_FILE, PROJECT_FILE
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.targets import resolve_stages


@dataclass(frozen=True, slots=True)
class NewStage:
    """A stage as it is typed: paths from where the user stands, `params` as `[file:]key,key`."""

    name: str
    command: tuple[str, ...]
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    outs_no_cache: tuple[str, ...] = ()
    outs_persist: tuple[str, ...] = ()
    outs_persist_no_cache: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    wdir: str | None = None
    desc: str | None = None
    always_changed: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The stage that was written, as YAML too; `to_commit` are the files that changed."""

    address: str
    file: RepoPath
    lines: tuple[str, ...]
    replaced: bool
    to_commit: tuple[RepoPath, ...]


def stages(repo: Repo, targets: Sequence[str] = ()) -> tuple[Stage, ...]:
    """Return the stages that targets mean, or all, in the order of their files.

    Raises:
        InputError: for a target that is no stage and that no stage makes.
    """
    declared = repo.declared.stages
    wanted = set(resolve_stages(targets, repo.place, repo.declared) if targets else declared)
    return tuple(stage for address, stage in declared.items() if address in wanted)


def add(repo: Repo, new: NewStage, *, force: bool = False, dry_run: bool = False) -> Written:
    """Write a stage into the nearest mlx.yaml; with `force` in the place of one of that name.

    Nothing is written unless all project files are right with it.

    Raises:
        InputError: for what cannot be a stage, and when there is one of that name.
    """
    from mlxrepo.yamledit import render

    check_name(new.name, "stage")
    file = _project_file(repo)
    body = _body(repo, new, parent(file))
    address = new.name if file == PROJECT_FILE else f"{file}:{new.name}"
    before = repo.declared
    replaced = _is_declared(before, file, new.name)
    if replaced and not force:
        raise InputError(
            f"{display(file)} has a stage {new.name} already",
            hint="--force puts this one in its place",
        )
    after = _declared_with(repo, file, _changed(repo.read(file).decode(), file, new.name, body))
    written = Written(address, file, tuple(render({new.name: body}, 2)), replaced, ())
    if dry_run:
        return written
    ignored = _hide(repo, after.stages[address])
    repo.update_project(file, lambda text: _changed(text, file, new.name, body))
    return replace(written, to_commit=(file, *ignored))


def _project_file(repo: Repo) -> RepoPath:
    """Return the mlx.yaml of this folder or the nearest one above."""
    here = from_user(".", repo.root, repo.cwd)
    above = [file for file in repo.project_paths if is_inside(here, parent(file))]
    if not above:
        raise InputError(f"no folder above this one has a {PROJECT_FILE}", hint="mlx init")
    return max(above, key=lambda file: len(parent(file)))


def _is_declared(declared: Declared, file: RepoPath, name: str) -> bool:
    """Say whether a file has a stage, foreach or matrix of that name."""
    return any(
        stage.file == file and name in (stage.name, stage.base)
        for stage in declared.stages.values()
    )


def _declared_with(repo: Repo, file: RepoPath, text: str) -> Declared:
    """Return what is declared when one project file has another text."""
    sources: dict[str, bytes] = {path: repo.read(path) for path in repo.project_paths}
    sources[file] = text.encode()
    try:
        return declare(sources, lambda path: repo.file_at(path, None))
    except InputError as error:  # its place would be one in a text that nobody can open
        raise InputError(error.message, hint=error.hint) from None


def _changed(text: str, file: RepoPath, name: str, body: dict[str, Any]) -> str:
    """Return the text of an mlx.yaml with the stage at the end of its stages."""
    from mlxrepo.yamledit import remove_entry, set_entry
    from mlxrepo.yamlfile import plain, read

    root = plain(read(text.encode(), file))
    if name in ((root or {}).get("stages") or {}):
        text = remove_entry(text, "stages", name, file)
    return set_entry(text, "stages", name, body, file, last=True)


def _hide(repo: Repo, stage: Stage) -> list[RepoPath]:
    """Let git ignore the outs that mlx will keep; return the .gitignore files that changed."""
    outs = [out.path for out in stage.outs if out.cache]
    in_git = repo.git.tracked(outs)  # the run will say what to do about these
    free = [out for out in outs if not any(is_inside(path, out) for path in in_git)]
    folders = [out for out in free if os.path.isdir(repo.full(out))]
    hidden = repo.hide(free, folders=folders)
    return sorted({join(parent(path), gitignore.NAME) for path in hidden})


# --- from words to the entry ----------------------------------------------------------------------


def _body(repo: Repo, new: NewStage, folder: RepoPath) -> dict[str, Any]:
    """Return the entry as mlx.yaml holds it, its keys in the order of the documentation."""

    def written(texts: Iterable[str]) -> list[str]:
        return [_path(repo, text, folder) for text in texts]

    wdir = _path(repo, new.wdir or ".", folder)
    params = _params(repo, new.params, folder)
    outs: list[Any] = [
        *written(new.outs),
        *({path: {"cache": False}} for path in written(new.outs_no_cache)),
        *({path: {"persist": True}} for path in written(new.outs_persist)),
        *({path: {"cache": False, "persist": True}} for path in written(new.outs_persist_no_cache)),
    ]
    body = {
        "cmd": command_text(new.command),
        "desc": new.desc,
        "wdir": None if wdir == "." else wdir,
        "deps": written(new.deps),
        "params": params,
        "outs": outs,
        "metrics": written(new.metrics),
        "plots": written(new.plots),
        "always_changed": new.always_changed,
    }
    return {key: value for key, value in body.items() if value}


def command_text(words: Sequence[str]) -> str:
    """Return the command that words on a command line mean; one word is a whole command itself.

    Templates stay as they are; anything else that a shell would read otherwise is quoted.

    Raises:
        InputError: when there is none.
    """
    if not words or not " ".join(words).strip():
        raise InputError(
            "there is no command", hint="mlx stage add --name train -d data.csv python train.py"
        )
    return words[0] if len(words) == 1 else " ".join(map(_word, words))


def _word(word: str) -> str:
    bare = re.sub(r"\$\{[^}]*\}", "x", word)
    return word if quote(bare) == bare else quote(word)


def _path(repo: Repo, text: str, folder: RepoPath) -> str:
    """Return a typed path as the mlx.yaml in `folder` names it."""
    path = os.path.relpath(from_user(text, repo.root, repo.cwd) or ".", folder or ".")
    return f"./{path}" if path.startswith("~") else path


def _params(repo: Repo, texts: Iterable[str], folder: RepoPath) -> list[Any]:
    keys: list[Any] = []
    files: dict[str, list[str]] = {}
    for text in texts:
        file, colon, listed = text.rpartition(":")
        named = [key for key in listed.split(",") if key]
        if not colon and not named:
            raise InputError("-p names no param", hint="-p train.lr, or -p config.toml:lr,depth")
        if colon and (path := _path(repo, file, folder)) != PARAMS_FILE:
            files.setdefault(path, []).extend(named)
        elif named:
            keys += named
        else:
            files.setdefault(PARAMS_FILE, [])
    return [*keys, *({path: listed or None} for path, listed in files.items())]
