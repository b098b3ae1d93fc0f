"""The known word that a wrong one may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is nearest to `word`, or None when none is near.

    `cutoff` is the least similarity, from 0 to 1 (`difflib.SequenceMatcher.ratio`).
    """
    import difflib  # for errors only: no command waits for it

    found = difflib.get_close_matches(word, list(known), 1, cutoff)
    return found[0] if found else None
