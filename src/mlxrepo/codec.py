"""Canonical JSON: one text for one value, so that it can be hashed, compared and merged."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from mlxrepo.errors import InputError, Where


def canonical(value: Any) -> bytes:
    """Encode `value` as canonical JSON: sorted keys, no spaces, UTF-8, one line.

    Integers and floats stay apart (1 and 1.0); NaN and the infinities are refused by the encoder
    and have to be wrapped first (see `mlxrepo.values`). A name that is not valid UTF-8 is held as
    PEP 383 surrogates, which are written as JSON escapes and so survive the round trip.

    Raises:
        ValueError: for NaN or an infinity.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8", "backslashreplace")


def parse_json(data: bytes, *, source: str, line: int = 1, finite: bool = False) -> Any:
    """Decode one JSON value; `source` and `line` say where it stands, for the error.

    With `finite` every number has to be one that `canonical` could write.

    Raises:
        InputError: when `data` is not JSON in UTF-8, or an object names a key twice.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite if finite else None,
            parse_constant=_finite if finite else None,
        )
    except json.JSONDecodeError as error:
        where = Where(source, line + error.lineno - 1, error.colno)
        raise InputError(f"not JSON: {error.msg}", where=where) from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=Where(source, line)) from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number that JSON has")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f'the key "{counts.most_common(1)[0][0]}" is given twice')
    return value
