"""Whatever lies in a file, it is drawn or it is said why not: in a page, in a terminal, as JSON."""

from __future__ import annotations

import json
import math

from figures import content, wanted
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxrepo.cli.charts import Style, text
from mlxrepo.errors import InputError
from mlxrepo.plots.build import figure
from mlxrepo.plots.model import TEMPLATES
from mlxrepo.plots.vegalite import specification

VALUES = st.one_of(
    st.floats(), st.integers(), st.integers(-3, 3), st.text(max_size=4), st.booleans(), st.none(),
    st.sampled_from(["1", "-2.5", "nan", "1e999", "2024-01-01", "9999-12-31T23:59:59", 10**400]),
)  # fmt: skip
ROWS = st.lists(st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES}), max_size=12)
JSON = st.recursive(
    VALUES | ROWS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)
CELLS = st.lists(st.lists(st.sampled_from(["a", "b", "1", "-3", "x,", "", '"', "1e308"]), max_size=4))  # fmt: skip # noqa: E501
FILES = st.one_of(
    JSON.map(lambda value: ("f.json", json.dumps(value).encode())),
    ROWS.map(lambda value: ("f.json", json.dumps(value).encode())),
    CELLS.map(lambda rows: ("f.csv", "\n".join(map(",".join, rows)).encode())),
    st.tuples(st.sampled_from(["f.csv", "f.tsv", "f.json", "f.yaml"]), st.binary(max_size=40)),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(FILES, min_size=1, max_size=3),
    st.sampled_from([None, *sorted(TEMPLATES)]),
    st.sampled_from([None, "a"]),
    st.sampled_from([None, "b"]),
    st.sampled_from([20, 80]),
)
def test_every_file_is_drawn_or_told(
    files: list[tuple[str, bytes]], template: str | None, x: str | None, y: str | None, width: int
) -> None:
    name = files[0][0]
    revs = [f"v{i}" for i in range(len(files))]
    contents = [content(rev, {name: data}) for rev, (_, data) in zip(revs, files, strict=True)]
    keys = {"template": template} if template else {}
    try:
        found = figure(wanted(name, keys, x=x, y=[y]), contents)
    except InputError:  # of a column that there is not
        assert x or y
        return
    assert not found.is_empty or found.notes
    assert all(any(v is not None for v in series.y) for series in found.series)
    for style in (Style(width, color=True), Style(width, unicode=False)):
        assert text(found, revs, style)
    if not found.is_empty:
        spec = specification(found, revs)
        assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    numbers = [v for series in found.series for v in series.y if v is not None]
    assert all(math.isfinite(number) for number in numbers)
