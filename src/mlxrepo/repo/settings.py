"""Settings: git config `mlx.*`, read in one spawn and only when somebody asks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from mlxrepo.errors import InputError, MlxError
from mlxrepo.repo.git import Git

# Every setting there is, as the user writes it; git compares names without case.
SETTINGS = (
    "fsync", "gcGrace", "jobs", "journal", "link", "precommit", "pushActions", "remote",
    "remote.NAME.KEY", "resource.NAME", "shared", "store", "trust",
)  # fmt: skip

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{letter}i": 1 << (10 * power) for power, letter in enumerate("kmgt", 1)}


def is_setting(name: str) -> bool:
    """Say whether a name, in lower case, is that of a setting."""
    return name.startswith(("resource.", "remote.")) or name in {
        known.lower() for known in SETTINGS
    }


class Settings:
    """The user's settings; git's levels and origins apply."""

    def __init__(self, git: Git):
        self._git = git
        self._reading: Callable[[], dict[str, tuple[str, str]]] | None = None
        self._values: dict[str, tuple[str, str]] | None = None

    def begin(self) -> None:
        """Let git read them meanwhile: nearly every command is going to ask."""
        if self._values is None and self._reading is None:
            self._reading = self._git.config()

    def get(self, name: str, default: str = "") -> str:
        """Return the text of a setting such as `store`; names compare as git compares them."""
        return self._all().get(name, (default, ""))[0]

    def is_of_user(self, name: str) -> bool:
        """Say whether a setting stands in the user's own file, for all repositories."""
        return self._all().get(name, ("", ""))[1] == "global"

    def _all(self) -> dict[str, tuple[str, str]]:
        if self._values is None:
            reading, self._reading = self._reading or self._git.config(), None
            self._values = reading()
        return self._values

    def close(self) -> None:
        """Wait for git if it was asked for nothing."""
        if self._reading:
            with contextlib.suppress(MlxError):
                self._all()

    def names(self) -> list[str]:
        """Return the settings that are set, in lower case, also unknown ones."""
        return sorted(self._all())

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

    def amount(self, name: str, example: str = "4") -> float | None:
        """Return a positive number, with a unit or not (`16`, `0.5`, `24GiB`); None: it is not set.

        `example` is a good value, for the hint.

        Raises:
            InputError: when the setting is something else.
        """
        text = self.get(name)
        if not text:
            return None
        word = text.strip().lower().removesuffix("b")
        digits = word.rstrip("kmgti")
        try:
            found = float(digits) * _UNITS[word[len(digits) :].strip()]
        except (ValueError, KeyError):
            found = -1.0
        if not 0 < found < 1e30:
            raise InputError(
                f'the setting mlx.{name} is "{text}", not an amount such as 4 or 16GB',
                hint=f"git config mlx.{name} {example}",
            )
        return found
