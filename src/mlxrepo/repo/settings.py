"""Settings: git config `mlx.*`, read in one spawn and only when somebody asks."""

from __future__ import annotations

from mlxrepo.errors import InputError
from mlxrepo.repo.git import Git


class Settings:
    """The user's settings; git's levels and origins apply."""

    def __init__(self, git: Git):
        self._git = git
        self._values: dict[str, str] | None = None

    def get(self, name: str, default: str = "") -> str:
        """Return the text of a setting such as `store`; names compare as git compares them."""
        if self._values is None:
            self._values = self._git.config()
        return self._values.get(name, default)

    def number(self, name: str, default: int) -> int:
        """Return a whole number that is at least 1.

        Raises:
            InputError: when the setting is something else.
        """
        text = self.get(name)
        if not text:
            return default
        if not text.isdecimal() or int(text) < 1:
            raise InputError(
                f'the setting mlx.{name} is "{text}", not a whole number from 1',
                hint=f"git config mlx.{name} {default}",
            )
        return int(text)
