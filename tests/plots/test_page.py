"""The page as text, and what is vendored with it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from figures import content, importance, loss, png, wanted

import mlxrepo.plots
from mlxrepo.plots.build import figure
from mlxrepo.plots.page import MARK, VEGA, embedded, page

ASSETS = Path(mlxrepo.plots.__file__).parent / "assets"


def test_what_is_vendored_is_what_the_readme_says() -> None:
    rows = re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (ASSETS / "README.md").read_text(), re.M)  # fmt: skip # noqa: E501
    assert {name for name, _ in rows} == set(VEGA)
    for name, digest in rows:
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest
        licence = name.split("-6")[0].split("-2")[0]
        assert "Redistribution and use" in (ASSETS / f"LICENSE.{licence}").read_text()


def test_no_script_holds_what_would_end_it() -> None:
    text = page([figure(wanted("a.csv"), [content("v1", {"a.csv": loss()})])], ["v1"], "T").decode()
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 4
    assert all("<!--" not in script and "\r" not in script for script in scripts)
    assert text.count("</script") == 5  # and that of the data
    assert "sourceMappingURL" not in text
    assert not re.search(r"""(src|href)=["']?(http|//)""", text)


def test_data_stand_in_the_page_as_json_without_a_way_out() -> None:
    value = {"</script>": "\u2028<!--&>", "n": [1.5, None], "broken": "\udcff"}
    text = embedded(value)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_images_alone_need_no_script() -> None:
    found = figure(wanted("a.png"), [content("v1", {"a.png": png()})])
    text = page([found], ["v1"], "T")
    assert text.startswith(MARK)
    assert len(text) < 10_000
    assert b"<script" not in text
    assert b"script-src 'none'" in text


def test_texts_are_escaped() -> None:
    plot = wanted("a.csv", {"title": "<b>&\udcff\u202e"}, x="feature", y=["weight"])
    text = page([figure(plot, [content("<i>", {"a.csv": importance()})])], ["<i>", "x"], "<u>")
    assert b"<b>" not in text
    assert b"<i>" not in text
    assert b"<u>" not in text
    assert b"&lt;b&gt;&amp;\\udcff\\u202e" in text
