"""From files to figures: what is drawn, and what is told of what is not."""

from __future__ import annotations

import json

import pytest
from figures import classes, content, importance, loss, png, wanted

from mlxrepo.errors import InputError
from mlxrepo.plots.build import figure
from mlxrepo.plots.model import Curve, Figure, Wanted


def one(text: str, file: str = "a.csv", keys: dict[str, object] | None = None, **axes: object) -> Figure:  # fmt: skip # noqa: E501
    """Return the figure of one file at one revision."""
    return figure(wanted(file, keys, **axes), [content("HEAD", {file: text})])  # type: ignore[arg-type]


def test_columns_are_drawn_over_the_one_for_x() -> None:
    found = one("s,a,b\n2,20,200\n1,10,100\n", x="s", y=["a", "b"])
    assert [(s.label, s.x, s.y) for s in found.series] == [
        ("a", (1, 2), (10, 20)),
        ("b", (1, 2), (100, 200)),
    ]
    assert (found.kind, found.x_type, found.x_label, found.y_label) == ("line", "number", "s", "")


def test_without_columns_it_is_the_last_over_the_step_or_the_row() -> None:
    assert one(loss()).series[0].y == one(loss(), x="step", y=["test"]).series[0].y
    assert one("a,b\n5,7\n6,8\n").series[0][2:] == ((0, 1), (7, 8))
    assert one("a,b\n5,7\n6,8\n").x_label == "index"


def test_labels_and_title_are_those_of_mlx_yaml() -> None:
    found = one(loss(), keys={"title": "T", "x_label": "X", "y_label": "Y"}, x="step", y=["test"])
    assert (found.title, found.x_label, found.y_label, found.name) == ("T", "X", "Y", "a.csv")


def test_curves_may_come_from_several_files() -> None:
    plot = Wanted(
        "both", (Curve("x.csv", "r", "a.csv", "p"), Curve("x.csv", "r", "b.csv", "p")), {}
    )
    files = {"x.csv": "r\n1\n2\n", "a.csv": "p\n3\n4\n", "b.csv": "p\n5\n6\n7\n"}
    found = figure(plot, [content("HEAD", files)])
    assert [(s.label, s.x, s.y) for s in found.series] == [
        ("a.csv:p", (1, 2), (3, 4)),
        ("b.csv:p", (1, 2), (5, 6)),
    ]
    assert found.notes == ("HEAD: r and p have different numbers of rows: 2 are drawn",)


def test_a_file_that_a_revision_lacks_is_named_and_the_rest_is_drawn() -> None:
    contents = [
        content("v1", {"a.csv": LookupError("a.csv is not there")}),
        content("v2", {"a.csv": loss()}),
        content("v3", {"a.csv": LookupError("a.csv is not there")}),
    ]
    found = figure(wanted("a.csv"), contents)
    assert [series.rev for series in found.series] == ["v2"]
    assert found.notes == ("v1, v3: a.csv is not there",)


@pytest.mark.parametrize(
    ("file", "text", "note"),
    [
        ("a.json", "{", "HEAD: a.json cannot be read: not JSON"),
        ("a.csv", "", "HEAD: a.csv is empty"),
        ("a.csv", "x,y\n", "HEAD: a.csv is empty"),
        ("a.json", "{}", "HEAD: a.json is empty"),
        ("a.csv", "y\nlow\nhigh\n", "HEAD: y: 2 of 2 values are no numbers"),
        ("a.csv", "y\nnan\n", "HEAD: y: 1 of 1 values are NaN, infinite or beyond 1e300"),
        ("a.txt", "1", "a.txt is no file that mlx draws"),
        ("a.csv", "y\n1e308\n", "HEAD: y: 1 of 1 values are NaN, infinite or beyond 1e300"),
        ("a.png", "", "HEAD: a.png is empty"),
        ("a.png", "notapng", "HEAD: a.png is no image"),
        ("a.jpg", "RIFF....WAVE", "HEAD: a.jpg is no image"),
        ("a.svg", "<html>", "HEAD: a.svg is no image"),
    ],
)
def test_what_cannot_be_drawn_is_said(file: str, text: str, note: str) -> None:
    found = one(text, file)
    assert found.is_empty
    assert found.notes[0].startswith(note)


def test_values_that_are_no_numbers_are_gaps() -> None:
    found = one("y\n1\nx\n3\ninf\n", y=["y"])
    assert found.series[0].y == (1, None, 3, None)
    assert found.notes == (
        "HEAD: y: 1 of 4 values are no numbers",
        "HEAD: y: 1 of 4 values are NaN, infinite or beyond 1e300",
    )


def test_rows_without_a_place_are_told() -> None:
    found = one("x,y\n1,5\n,6\n1e308,7\nnan,8\n2,9\n", x="x", y=["y"])
    assert found.series[0].y == (5, 9)
    said = "x: 3 of 5 values are empty, NaN, infinite or beyond 1e300, so these rows are left out"
    assert found.notes == (f"HEAD: {said}",)


def test_rows_of_another_width_are_drawn_and_told() -> None:
    found = one("x,y\n1,5\n2\n\n3,7,1\n", x="x", y=["y"])
    assert found.series[0].y == (5, None, 7)
    said = "2 of 3 rows are longer or shorter than the header, the first of them on line 3"
    assert found.notes == (f"HEAD: a.csv: {said}",)
    bare = one("1,5\n2\n", keys={"header": False}, x="0", y=["1"])
    assert bare.notes[0].endswith(
        "1 of 2 rows are longer or shorter than the first, the first of them on line 2"
    )


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("a.jpg", b"\xff\xd8\xff\xe0..."),
        ("a.gif", b"GIF89a..."),
        ("a.webp", b"RIFF\x04\0\0\0WEBP"),
        ("a.svg", b'<?xml version="1.0"?><svg/>'),
        ("a.jpg", png()),
    ],
)
def test_images_of_each_kind_are_taken_also_under_another_name(file: str, data: bytes) -> None:
    found = figure(wanted(file), [content("HEAD", {file: data})])
    assert [picture.data for picture in found.pictures] == [data]
    assert found.notes == ()


def test_an_image_that_is_cut_off_is_told() -> None:
    found = figure(wanted("a.png"), [content("HEAD", {"a.png": png()[:-20]})])
    assert found.notes == ("HEAD: a.png is cut off",)


def test_a_column_that_no_revision_has_is_an_error_at_its_place_in_mlx_yaml() -> None:
    with pytest.raises(InputError) as caught:
        one(loss(), x="stpe", y=["test"])
    assert 'the column "stpe", which a.csv does not have at HEAD' in caught.value.message
    assert str(caught.value.where) == "mlx.yaml:7:3"
    assert caught.value.hint == 'did you mean "step"?'


def test_a_column_that_an_older_revision_lacks_is_noted() -> None:
    contents = [content("v1", {"a.csv": "step,old\n1,2\n"}), content("v2", {"a.csv": loss()})]
    found = figure(wanted("a.csv", x="step", y=["test"]), contents)
    assert [series.rev for series in found.series] == ["v2"]
    assert found.notes == ('v1: a.csv has no column "test"',)


def test_an_unknown_template_is_an_error_with_what_was_meant() -> None:
    with pytest.raises(InputError, match="which mlx does not draw") as caught:
        one(loss(), keys={"template": "lienar"})
    assert caught.value.hint == 'did you mean "linear"?'


def test_classes_are_counted_and_ordered() -> None:
    text = "was,said\n10,9\n9,9\n10,10\n10,9\n"
    (matrix,) = one(text, keys={"template": "confusion"}, x="was", y=["said"]).matrices
    assert matrix.rows == matrix.columns == ("9", "10")
    assert matrix.cells == ((1, 2), (0, 1))  # a row for each that was said, as DVC has it
    share = one(text, keys={"template": "confusion_normalized"}, x="was", y=["said"]).matrices[0]
    assert share.cells == ((1 / 3, 2 / 3), (0, 1))


def test_equal_numbers_are_one_class() -> None:
    text = "was,said\n1,1.0\n0,0.0\n1,0.0\n"
    (matrix,) = one(text, keys={"template": "confusion"}, x="was", y=["said"]).matrices
    assert matrix.rows == matrix.columns == ("0", "1")
    assert matrix.cells == ((1, 1), (0, 1))
    (matrix,) = one("was,said\n1,1.0\n0,x\n", keys={"template": "confusion"}).matrices
    assert matrix.rows == ("0", "1", "x")
    odd = "was,said\n01,1\nnan,NaN\n1e999,x\n0.50,.5\n"
    (matrix,) = one(odd, keys={"template": "confusion"}, x="was", y=["said"]).matrices
    assert set(matrix.rows) == {"01", "1", "nan", "NaN", "1e999", "x", "0.5"}


def test_a_table_of_counts_is_a_matrix_too() -> None:
    found = one("meant,0,1\n0,5,2\n1,0,7\n", keys={"template": "confusion"})
    assert found.matrices[0][1:] == (("0", "1"), ("0", "1"), ((5, 2), (0, 7)))
    assert found.y_label == "meant"


def test_too_many_classes_are_not_drawn() -> None:
    text = "was,said\n" + "".join(f"{i},{i}\n" for i in range(61))
    found = one(text, keys={"template": "confusion"}, x="was", y=["said"])
    assert found.is_empty
    assert "60 classes" in found.notes[0]


def test_bars_take_names_from_whichever_column_has_them() -> None:
    keys = {"template": "bar_horizontal_sorted"}
    dvc = one(importance(), keys=keys, x="weight", y=["feature"])
    other = one(importance(), keys=keys, x="feature", y=["weight"])
    assert dvc.series == other.series
    assert (dvc.x_label, dvc.y_label) == ("feature", "weight")
    assert dvc.series[0].y == (0.5, 0.4, 0.3, 0.2, 0.1)
    assert one(importance(), x="feature", y=["weight"]).kind == "bars"
    assert one(importance(), x="feature", y=["weight"]).series[0].x[0] == "f0"


def test_bins_are_the_same_for_all_revisions() -> None:
    contents = [
        content("v1", {"a.csv": "y\n0.1\n0.2\n0.2\n"}),
        content("v2", {"a.csv": "y\n3.9\n0.1\n"}),
    ]
    found = figure(wanted("a.csv", {"template": "histogram"}), contents)
    assert found.series[0].x == found.series[1].x
    assert [sum(series.y) for series in found.series] == [3, 2]
    low, high = found.series[0].x[0], found.series[0].x[-1] + found.step
    assert low <= 0.1
    assert high >= 3.9


@pytest.mark.parametrize("text", ["y\n5\n5\n", "y\n-1e250\n1e250\n", "y\n1e-300\n2e-300\n"])
def test_no_value_is_too_strange_for_bins(text: str) -> None:
    found = one(text, keys={"template": "histogram"})
    assert sum(found.series[0].y) == 2


def test_times_are_times() -> None:
    found = one("day,y\n2024-01-02,2\n2024-01-01,1\n", x="day", y=["y"])
    assert found.x_type == "time"
    assert found.series[0].y == (1, 2)


def test_much_is_thinned_and_this_is_said() -> None:
    rows = [0.0] * 50_000
    rows[31_234], rows[7] = 9.0, -9.0
    text = "y\n" + "\n".join(map(str, rows))
    found = one(text)
    assert len(found.series[0].y) <= 2000
    assert {9.0, -9.0} <= set(found.series[0].y)  # no peak is lost
    assert found.series[0].x[0] == 0
    assert found.series[0].x[-1] == 49_999
    count = len(found.series[0].y)
    assert found.notes == (f"HEAD: y: {count:,} of 50,000 points are drawn",)
    dots = one(text, keys={"template": "scatter"})
    assert len(dots.series[0].y) == 2000


def test_images_that_are_the_same_are_shown_once() -> None:
    files = {"v1": png(1), "v2": png(1), "v3": png(2)}
    found = figure(wanted("a.png"), [content(r, {"a.png": d}) for r, d in files.items()])
    assert [(p.rev, p.media) for p in found.pictures] == [
        ("v1, v2", "image/png"), ("v3", "image/png"),
    ]  # fmt: skip


def test_equal_files_are_said_to_be_equal() -> None:
    same = [content(rev, {"a.csv": loss()}) for rev in ("v1", "v2")]
    assert figure(wanted("a.csv"), same).notes == ("the same at all revisions",)
    other = [content(f"v{k}", {"a.csv": loss(k)}) for k in (1, 2)]
    assert figure(wanted("a.csv"), other).notes == ()


def test_rows_of_maps_with_classes_as_numbers() -> None:
    rows = [{"a": 1.0, "b": 2}, {"a": 2, "b": 2}]
    plot = wanted("c.json", {"template": "confusion"}, x="a", y=["b"])
    found = figure(plot, [content("HEAD", {"c.json": json.dumps(rows)})])
    assert found.matrices[0].rows == ("1", "2")
    assert classes(2) != classes(1)
