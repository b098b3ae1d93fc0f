"""Outs and git: what mlx keeps is ignored by git before it exists, what git keeps is not."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display, is_inside
from mlxrepo.repo import gitignore
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage


class Hider:
    """Hides outs of stages from git; git is asked once, when the first stage needs it."""

    def __init__(self, repo: Repo, stages: Iterable[Stage]):
        self._repo = repo
        self._paths = [out.path for stage in stages for out in stage.outs if out.cache]
        self._visible: set[RepoPath] | None = None
        self._in_git: list[str] = []

    def hide(self, stage: Stage) -> None:
        """Let git ignore the outs of a stage that mlx keeps, and those of the other stages with it.

        All at once: every line of a .gitignore costs a durable write of the file otherwise.

        Raises:
            InputError: when git tracks one of them: it would keep every version too.
        """
        visible = self._ask() if self._visible is None else self._visible
        mine = [out for out in stage.outs if out.cache]
        for out in mine:
            if self._is_in_git(out.path):
                raise InputError(
                    f'git tracks "{display(out.path)}", which stage {stage.address} makes and mlx '
                    "is to keep",
                    hint=f"git rm -r --cached {display(out.path)}, or write cache: false",
                    where=out.where,
                )
        if visible.isdisjoint(out.path for out in mine):
            return
        gitignore.add_lines(
            self._repo.root, sorted(path for path in visible if not self._is_in_git(path))
        )
        visible.clear()

    def _is_in_git(self, out: RepoPath) -> bool:
        return any(is_inside(path, out) for path in self._in_git)

    def show(self, stage: Stage, hidden: set[RepoPath]) -> None:
        """Let git see outs that mlx hid (`hidden`) and git is to keep from now on."""
        shown = [out.path for out in stage.outs if not out.cache and out.path in hidden]
        gitignore.remove_lines(self._repo.root, shown)

    def _ask(self) -> set[RepoPath]:
        git = self._repo.git
        self._in_git = git.tracked(self._paths)
        self._visible = set(self._paths) - {RepoPath(p) for p in git.hidden(self._paths)}
        return self._visible
