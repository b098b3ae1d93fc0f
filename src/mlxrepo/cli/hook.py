"""`mlx hook`: what the hooks that `mlx install` writes call; nobody types it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import progress, say, tell, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import named
from mlxrepo.errors import InputError, MlxError
from mlxrepo.paths import display, name_of
from mlxrepo.repo import hooks
from mlxrepo.repo.git import Git
from mlxrepo.repo.layout import LOCK_FILE
from mlxrepo.repo.repo import Repo

SHOWN = 5  # files of each kind
ANYWAY = "git commit --no-verify commits anyway"


@click.command(
    "hook",
    cls=Command,
    examples=[("mlx hook pre-commit", "judge what is staged, as the hook of that name does")],
)
@click.argument("name", type=click.Choice(hooks.HOOKS))
@click.argument("args", nargs=-1)
@click.pass_obj
def command(screen: Screen, name: str, args: tuple[str, ...]) -> int:
    """Do what a hook of git is for.

    Hooks that mlx install writes call it, and those of yours may. Arguments and standard input
    are what git gives to the hook.
    """
    if os.environ.get(hooks.OFF_VARIABLE):
        return 0
    try:
        repo = Repo.find(screen.cwd)
    except InputError as error:  # a bare repository, or files that lie elsewhere
        tell(f"mlx: the {name} hook did nothing: {error.message}")
        return 0
    with repo:
        if name in (hooks.PRE_COMMIT, hooks.PRE_MERGE):
            return _pre_commit(screen, repo)
        if name == hooks.PRE_PUSH:
            return _pre_push(screen, repo, args)
        if not _is_of_files(name, args):
            _bring_along(screen, repo, name)
    return 0


# after git has changed the files


def _is_of_files(name: str, args: Sequence[str]) -> bool:
    """Say whether git changed no commit; pre-commit gives no arguments, but variables."""
    if name == "post-checkout":
        kind = args[2] if len(args) > 2 else os.environ.get("PRE_COMMIT_CHECKOUT_TYPE")
        return kind == "0"
    amended = args[0] if args else os.environ.get("PRE_COMMIT_REWRITE_COMMAND")
    return name == "post-rewrite" and amended == "amend"


def _bring_along(screen: Screen, repo: Repo, name: str) -> None:
    """Materialize what is recorded now; whatever fails is said, and stops nobody."""
    from mlxrepo.commands.checkout import checkout
    from mlxrepo.repo.history import index_locks

    try:
        if any(name_of(path) == LOCK_FILE for path in repo.git.unmerged()):
            tell(f"mlx: {LOCK_FILE} is in conflict, so the data stays: mlx lock merge settles it")
            return
        if not repo.project_paths and (not repo.placed or any(index_locks(repo.git))):
            return  # no project of mlx, or one that a sparse checkout leaves out
        done = checkout(repo, gently=True, progress=progress(screen))
    except MlxError as error:
        hint = f" ({error.hint})" if error.hint else ""
        tell(f"mlx: the data stays as it was: {error}{hint}")
        return
    except OSError as error:
        tell(f"mlx: the data stays as it was: {error.strerror or error}")
        return
    if done.files or done.removed:
        removed = f", {len(done.removed)} removed" if done.removed else ""
        tell(f"mlx: {units.count(done.files, 'file')} written{removed}")
    if done.in_the_way:
        paths = render.names(done.in_the_way)
        tell(f"mlx: changed and not recorded, so left as they are: {paths} (mlx status)")
    if done.missing:
        count = units.count(sum(files for _, files in done.missing), "file")
        tell(f"mlx: {count}, {units.size(done.missing_size)} not here: mlx pull")


# before git commits


def _pre_commit(screen: Screen, repo: Repo) -> int:
    from mlxrepo.commands.precommit import judge
    from mlxrepo.repo.staged import staged_git, staged_locks

    index = os.environ.get("GIT_INDEX_FILE")
    git = staged_git(repo, os.path.abspath(index) if index else None)
    blocks = repo.settings.choice("precommit", ("warn", "block")) == "block"
    found = judge(repo, git, staged_locks(git))
    for error in found.broken:
        tell(f"error: {error}")
    for lacking in found.lacking[:SHOWN]:
        tell(
            f"error: {display(lacking.path)} ({display(lacking.address)}) is recorded, and its "
            f"object {lacking.oid[:12]} is neither in the store nor was it on a remote"
        )
    if len(found.lacking) > SHOWN:
        tell(f"and {len(found.lacking) - SHOWN} more")
    if found.refused:
        broken = "; ".join(dict.fromkeys(error.hint for error in found.broken if error.hint))
        way = broken or "mlx add records what is here; mlx fetch brings what a remote has"
        tell(f"  -> {way}; {ANYWAY}")
        return 1
    warned = _warn_of_data(screen, found.changed, found.doubt)
    warned |= _warn_of_stale(screen, repo, git, blocks)
    if warned and blocks:
        tell(f"error: mlx.precommit is block, so this is no commit; {ANYWAY}")
        return 1
    return 0


def _warn_of_data(screen: Screen, changed: Sequence[str], doubt: str) -> bool:
    if changed:
        warn(
            screen,
            f"not as this commit records it: {render.names(changed)} (mlx status; then mlx add or "
            f"mlx repro, and git add {LOCK_FILE})",
        )
    if doubt:
        warn(screen, f"whether data was changed is not known: {display(doubt)}")
    return bool(changed or doubt)


def _warn_of_stale(screen: Screen, repo: Repo, git: Git, blocks: bool) -> bool:
    """Warn of stages whose records do not hold; where that is not known, if it `blocks`.

    Of what a merge chose it warns at any rate: only a run can say whether that holds.
    """
    from mlxrepo.commands.lock_check import STALE, UNKNOWN, lock_check
    from mlxrepo.repo.staged import as_staged

    try:
        with as_staged(repo, git) as staged:
            checked = lock_check(staged) if staged.project_paths else ()
            records = staged.observed.stages() if checked else {}
    except MlxError as error:
        warn(screen, f"whether {LOCK_FILE} is stale is not known: {display(str(error))}")
        return True
    stale = [item.stage for item in checked if item.state == STALE]
    if stale:
        warn(
            screen,
            f"stale in this commit: {render.names(stale)} (mlx lock check says why; mlx repro, "
            f"and git add {LOCK_FILE})",
        )
    chosen = {name for name, record in records.items() if record.is_unverified}
    doubtful = [c for c in checked if c.state == UNKNOWN and (blocks or c.stage in chosen)]
    if doubtful:
        warn(
            screen,
            f"not known to be fresh in this commit: {render.names([c.stage for c in doubtful])}: "
            f"{display(doubtful[0].why)} (mlx lock check; mlx repro settles it)",
        )
    return bool(stale or doubtful)


# before git pushes


def _pre_push(screen: Screen, repo: Repo, args: Sequence[str]) -> int:
    from mlxrepo.commands.prepush import new_commits
    from mlxrepo.commands.push import push

    remote = args[0] if args else os.environ.get("PRE_COMMIT_REMOTE_NAME", "")
    try:
        scope = new_commits(repo, remote, _rows(repo))
        if scope is None:
            return 0
        done = push(repo, scope=scope, progress=progress(screen))
    except MlxError as error:
        hint = f"{error.hint}; " if error.hint else ""
        tell(f"error: the data was not sent, so git does not push: {error}")
        tell(f"  -> {hint}git push --no-verify pushes the commits without it")
        return error.exit_code
    for item in done:
        if item.objects:
            amount = units.count(item.objects, "object")
            say(screen, f"mlx: sent {amount} ({units.size(item.bytes)}) to {item.remote}")
    missing = [pair for item in done for pair in item.missing]
    if missing:
        tell(
            f"error: these commits need {units.count(len(missing), 'object')} which are neither "
            "here nor on the remote, so git does not push:"
        )
        for line in named(missing):
            tell(line)
        tell("  -> push from where the data is; git push --no-verify pushes without it")
        return 1
    return 0


def _rows(repo: Repo) -> list[str]:
    """Return what git says that it pushes; pre-commit keeps that and tells of one ref."""
    rows = [] if sys.stdin.isatty() else sys.stdin.read().splitlines()
    branch = os.environ.get("PRE_COMMIT_LOCAL_BRANCH")
    if any(rows) or not branch:
        return rows
    # Of a whole history it names the branch alone.
    tip = os.environ.get("PRE_COMMIT_TO_REF") or repo.git.commit(branch)
    return [f"{branch} {tip} - {os.environ.get('PRE_COMMIT_FROM_REF', '0')}"]
