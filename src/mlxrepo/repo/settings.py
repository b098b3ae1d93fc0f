"""Settings: git config `mlx.*`, read in one spawn and only when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence

from mlxrepo.errors import InputError
from mlxrepo.repo.git import Git

# Every setting there is, as the user writes it; git compares names without case.
SETTINGS = ("fsync", "gcGrace", "link", "shared", "store")


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

    def names(self) -> list[str]:
        """Return the settings that are set, in lower case, also unknown ones."""
        self.get("")
        return sorted(self._values or ())

    def choice(self, name: str, words: Sequence[str]) -> str:
        """Return one of `words`, the first when nothing is set.

        Raises:
            InputError: when the setting is another word.
        """
        text = self.get(name) or words[0]
        if text not in words:
            raise InputError(
                f'the setting mlx.{name} is "{text}", not one of {", ".join(words)}',
                hint=f"git config mlx.{name} {words[0]}",
            )
        return text

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
