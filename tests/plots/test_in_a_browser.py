"""Pages of plots in a real browser: drawn, without a complaint, and without asking anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from figures import classes, content, importance, loss, png, wanted

from mlxrepo.plots.build import figure
from mlxrepo.plots.model import TEMPLATES, Figure
from mlxrepo.plots.page import page

pytestmark = pytest.mark.browser

REVS = ("v1", "HEAD", "workspace")
DRAWN = "document.body.dataset.drawn === 'all'"
NASTY = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\u2028${x}"

Look = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def look(browser: Browser, tmp_path: Path) -> Look:
    """Return what opens a page of figures and asks it; nothing may be complained or asked for."""

    def look(
        figures: list[Figure],
        *questions: str,
        revs: tuple[str, ...] = REVS,
        until: str = DRAWN,
        dark: bool = False,
    ) -> list[Any]:
        file = tmp_path / "page.html"
        file.write_bytes(page(figures, revs, "Plots"))
        opened = browser.open(file, *questions, until=until, dark=dark)
        assert opened.complaints == []
        assert [url for url in opened.requests if not url.startswith("data:")] == [file.as_uri()]
        return opened.answers

    return look


def marks(kind: str, shape: str = "path") -> str:
    """Return the question for the marks of a kind: the size of each and its colour."""
    return (
        f"[...document.querySelectorAll('.chart svg g.mark-{kind}.role-mark {shape}')].map(m =>"
        "{ const b = m.getBoundingClientRect(); return [b.width, b.height,"
        " m.getAttribute('fill'), m.getAttribute('stroke')]; })"
    )


def texts() -> str:
    return "[...document.querySelectorAll('.chart svg text')].map(t => t.textContent)"


def test_curves_of_three_revisions_are_three_lines(look: Look) -> None:
    plot = wanted("loss.csv", {"title": "Loss"}, x="step", y=["train"])
    drawn = figure(plot, [content(r, {"loss.csv": loss(k)}) for k, r in enumerate(REVS, 1)])
    lines, told, heading, legend = look(
        [drawn],
        marks("line"),
        texts(),
        "document.querySelector('h2').textContent",
        "[...document.querySelectorAll('.legend li')].map(l => l.textContent)",
    )
    assert len(lines) == 3
    assert all(width > 100 and height > 100 for width, height, _, _ in lines)
    colors = {stroke for _, _, _, stroke in lines}
    assert len(colors) == 3
    assert {"step", "train"} <= set(told)
    assert heading == "Loss"
    assert legend == list(REVS)


def test_columns_of_one_revision_have_colours_and_a_legend(look: Look) -> None:
    plot = wanted("loss.csv", x="step", y=["train", "test"])
    drawn = figure(plot, [content("v1", {"loss.csv": loss()})])
    lines, told = look([drawn], marks("line"), texts(), revs=("v1",))
    assert len({stroke for _, _, _, stroke in lines}) == len(lines) == 2
    assert {"train", "test"} <= set(told)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_template_draws_marks_that_can_be_seen(look: Look, template: str) -> None:
    confused = "confusion" in template
    file = "classes.csv" if confused else "weights.csv" if "bar" in template else "loss.csv"
    x, y = {"classes.csv": ("actual", "predicted"), "weights.csv": ("weight", "feature"),
            "loss.csv": ("step", "train")}[file]  # fmt: skip
    make = {"classes.csv": classes, "weights.csv": importance, "loss.csv": loss}[file]
    plot = wanted(file, {"template": template}, x=x, y=[y])
    drawn = figure(plot, [content(r, {file: make(k)}) for k, r in enumerate(REVS, 1)])
    kind = {"line": "line", "smooth": "line", "scatter": "symbol", "jitter": "symbol"}.get(
        drawn.kind, "rect"
    )
    (found,) = look([drawn], marks(kind))
    seen = [mark for mark in found if mark[0] > 1 and mark[1] > 1]
    # Three lines (and as many faint ones), points of 60 rows, 9 cells, 5 bars, some bins.
    least = {"line": 3, "smooth": 6, "scatter": 180, "jitter": 180, "histogram": 9}
    assert len(seen) >= least.get(drawn.kind, 27 if confused else 15), found[:5]


def test_a_confusion_matrix_shows_its_numbers(look: Look) -> None:
    plot = wanted("m.csv", {"template": "confusion"})
    table = "meant,no,yes\nno,41,7\nyes,3,52\n"
    drawn = figure(plot, [content("v1", {"m.csv": table})])
    (told,) = look([drawn], texts(), revs=("v1",))
    assert {"41", "7", "3", "52", "no", "yes", "meant"} <= set(told)


def test_images_are_shown_side_by_side(look: Look) -> None:
    plot = wanted("roc.png")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="8"><script>hit=1</script></svg>'
    )
    bad = wanted("a.svg")
    figures = [
        figure(plot, [content(r, {"roc.png": png(k)}) for k, r in enumerate(REVS)]),
        figure(bad, [content("v1", {"a.svg": svg})]),
    ]
    sizes = "[...document.images].map(i => [i.naturalWidth, i.naturalHeight])"
    found, charts, hit = look(
        figures, sizes, "document.querySelectorAll('.chart').length", "window.hit ?? 0",
        until="[...document.images].every(i => i.complete)",
    )  # fmt: skip
    assert found == [[6, 4]] * 3 + [[9, 8]]
    assert (charts, hit) == (0, 0)


def test_whatever_files_and_names_say_nothing_of_it_runs(look: Look) -> None:
    table = json.dumps({NASTY: [{NASTY: NASTY, "b": 1.5}, {NASTY: "other", "b": 2.5}]})
    keys = {"title": NASTY, "x_label": NASTY, "y_label": NASTY}
    file = f"{NASTY}.json"
    line = wanted(file, keys, x=NASTY, y=["b"])
    cells = wanted(file, {**keys, "template": "confusion"}, x=NASTY, y=[NASTY])
    points = wanted(file, {**keys, "template": "scatter"}, x=NASTY, y=["b"])
    revs = (NASTY, "datum.x", "'+alert(1)+'")
    figures = [figure(p, [content(r, {file: table}) for r in revs]) for p in (line, cells, points)]
    hit, headings, images, drawn = look(
        figures, "window.hit ?? 0", "[...document.querySelectorAll('h2')].map(h => h.textContent)",
        "document.images.length", "document.querySelectorAll('[data-drawn=yes]').length",
        revs=revs,
    )  # fmt: skip
    assert hit == images == 0
    assert drawn == 3
    assert headings == [NASTY.replace("\u2028", "\\u2028")] * 3


@pytest.mark.parametrize("kind", ["linear", "scatter_jitter", "bar", "confusion"])
def test_names_that_programs_use_themselves_are_names(look: Look, kind: str) -> None:
    revs = ("__proto__", "constructor", "it's")
    names = ["toString", "__proto__", "constructor", "\\", '"', "'", "{{}}", "[0]", "a.b", "\ud800"]
    table = json.dumps([{"k": name, "n": i} for i, name in enumerate(names, 1)])
    plot = wanted("a.json", {"template": kind}, x="k", y=["k" if kind == "confusion" else "n"])
    drawn = figure(plot, [content(r, {"a.json": table}) for r in revs])
    (told,) = look([drawn], texts(), revs=revs)
    told = [text.rstrip("\u200b") for text in told]
    order = [text for text in told if text in names]
    assert order[: len(names) - 1] == names[:-1] or kind == "confusion"
    assert set(order) == set(names[:-1])  # the last one is shown escaped
    assert "\\ud800" in told


def test_strange_numbers_leave_the_rest_drawn(look: Look) -> None:
    rows = ["NaN", "1", "-Infinity", "2", "1e308", "3", "1e999", "null", '"word"', "4", "9" * 400]
    text = "[" + ", ".join('{"v": ' + row + "}" for row in rows) + "]"
    plot = wanted("v.json", y=["v"])
    drawn = figure(plot, [content("v1", {"v.json": text})])
    symbols, told = look([drawn], marks("symbol"), texts(), revs=("v1",))
    assert len(symbols) == 4
    assert "NaN" not in "".join(told)


def test_the_dark_page_is_readable(look: Look) -> None:
    drawn = figure(wanted("loss.csv"), [content("v1", {"loss.csv": loss()})])
    color = "document.querySelector('.role-axis-label text').getAttribute('fill')"
    ground = "getComputedStyle(document.body).backgroundColor"
    assert look([drawn], color, ground, revs=("v1",)) == ["#1b1f24", "rgb(255, 255, 255)"]
    assert look([drawn], color, ground, revs=("v1",), dark=True) == ["#e6edf3", "rgb(21, 25, 30)"]


def test_the_page_may_not_evaluate_or_load(browser: Browser, tmp_path: Path) -> None:
    """The policy itself is tried: what the other tests found quiet is forbidden too."""
    drawn = figure(wanted("loss.csv"), [content("v1", {"loss.csv": loss()})])
    file = tmp_path / "page.html"
    added = b"<script>window.hit = 1</script><img src='http://127.0.0.1:9/x.png'></main>"
    file.write_bytes(page([drawn], ["v1"], "Plots").replace(b"</main>", added))
    opened = browser.open(file, "window.hit ?? 0", until=DRAWN)
    assert opened.answers == [0]
    assert sum("Content Security Policy" in complaint for complaint in opened.complaints) == 2
