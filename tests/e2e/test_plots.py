"""`mlx plots` as it is typed, with real git: what is drawn of which revision, and what is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from user import User

PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [k]
    plots:
      - loss.csv: {x: step, y: loss, title: Loss}
      - roc.json: {x: fpr, y: tpr, cache: true}
      - shots: {cache: true}
plots:
  - both: {x: step, y: {loss.csv: loss, by-hand.csv: [a, b]}, template: smooth}
"""
TRAIN = """
import json, os
k = float(open("params.yaml").read().split(":")[1])
open("loss.csv", "w").write("step,loss\\n" + "".join(f"{i},{k / (i + 1)}\\n" for i in range(9)))
json.dump({"roc": [{"fpr": i / 9, "tpr": (i / 9) ** (1 / k)} for i in range(10)]}, open("roc.json", "w"))
os.makedirs("shots", exist_ok=True)
for name in "ab":
    open(f"shots/{name}.svg", "w").write(f"<svg xmlns='http://www.w3.org/2000/svg'><!-- {k} --></svg>")
"""  # noqa: E501


@pytest.fixture
def user(user: User) -> User:
    """A user with two commits, `v1` and `main`, in which `k` is 1 and 2."""
    user.write("train.py", TRAIN)
    user.write("by-hand.csv", "step,a,b\n1,2,3\n2,3,4\n")
    user.declare(PIPELINE)
    for k in (1, 2):
        user.write("params.yaml", f"k: {k}\n")
        user.ok("repro", "-q")
        user.commit()
        user.git("tag", f"v{k}")
    return user


def plots(user: User, *words: str) -> dict[str, Any]:
    """Return the figures by name."""
    return {figure["name"]: figure for figure in user.json("plots", *words)["plots"]}


def values(figure: dict[str, Any], column: str = "") -> dict[str, list[float]]:
    return {s["rev"]: s["y"] for s in figure["series"] if s["column"] == column}


def test_the_workspace_is_drawn_into_a_page_that_git_does_not_see(user: User) -> None:
    page = Path(user.ok("plots", "show").strip())
    assert page.is_absolute()
    assert user.is_clean()
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count('class="chart"') == 3
    assert text.count("<img ") == 2
    assert "Loss" in text
    found = plots(user, "show")
    assert sorted(found) == ["both", "loss.csv", "roc.json", "shots/a.svg", "shots/b.svg"]
    assert values(found["loss.csv"])["workspace"][:2] == [2, 1]
    assert found["roc.json"]["stage"] == "train"
    assert [s["column"] for s in found["both"]["series"]] == ["loss", "a", "b"]
    assert not any(figure["notes"] for figure in found.values())


def test_revisions_are_laid_over_each_other(user: User) -> None:
    user.write("params.yaml", "k: 3\n")
    user.ok("repro", "-q")
    found = plots(user, "diff")["loss.csv"]
    assert {rev: ys[0] for rev, ys in values(found).items()} == {"HEAD": 2, "workspace": 3}
    found = plots(user, "diff", "v1")["loss.csv"]
    assert {rev: ys[0] for rev, ys in values(found).items()} == {"v1": 1, "workspace": 3}
    found = plots(user, "diff", "v1", "v2", "loss.csv", "roc.json")
    assert sorted(found) == ["loss.csv", "roc.json"]
    assert {rev: ys[0] for rev, ys in values(found["loss.csv"]).items()} == {"v1": 1, "v2": 2}
    # What git does not keep comes from the store.
    tpr = {rev: ys[1] for rev, ys in values(found["roc.json"]).items()}
    assert tpr == {"v1": pytest.approx(1 / 9), "v2": pytest.approx(1 / 3)}
    images = plots(user, "show", "--rev", "v1", "--rev", "v2", "shots")["shots/a.svg"]["images"]
    assert [image["rev"] for image in images] == ["v1", "v2"]


def test_targets_are_plots_stages_folders_and_any_file(user: User) -> None:
    assert sorted(plots(user, "show", "train")) == [
        "both", "loss.csv", "roc.json", "shots/a.svg", "shots/b.svg",
    ]  # fmt: skip
    assert list(plots(user, "show", "both")) == ["both"]
    assert list(plots(user, "show", "shots/b.svg")) == ["shots/b.svg"]
    found = plots(user, "show", "by-hand.csv", "--x", "a", "--y", "b", "--template", "scatter")
    assert values(found["by-hand.csv"]) == {"workspace": [3, 4]}
    user.write("sub/other.tsv", "step\tn\n4\t5\n")
    found = plots(user, "-C", "sub", "show", "other.tsv")
    assert found["sub/other.tsv"]["series"][0]["x"] == [4]


def test_a_word_that_is_nothing_is_misuse_with_what_was_meant(user: User) -> None:
    said = user.fails(2, "plots", "diff", "v1", "los.csv")
    assert '"los.csv" is neither a revision, a plot' in said
    assert 'did you mean "loss.csv"?' in said
    said = user.fails(2, "plots", "show", "--y", "los", "loss.csv")
    assert 'did you mean "loss"?' in said
    user.fails(2, "plots", "show", "--template", "pie")


def test_a_wrong_column_or_template_is_told_at_its_place_in_mlx_yaml(user: User) -> None:
    text = user.read("mlx.yaml")
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "- loss.csv" in row)
    user.write("mlx.yaml", text.replace("y: loss, title", "y: lss, title"))
    said = user.fails(2, "plots", "show")
    assert f"mlx.yaml:{line}:" in said
    assert 'did you mean "loss"?' in said
    user.write("mlx.yaml", text.replace("template: smooth", "template: smoth"))
    said = user.fails(2, "plots", "show")
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "- both" in row)
    assert f"mlx.yaml:{line}:" in said
    assert 'did you mean "smooth"?' in said


def test_what_is_missing_somewhere_is_named_and_the_rest_is_drawn(user: User) -> None:
    user.git("rm", "--quiet", "by-hand.csv")
    (user.root / "roc.json").unlink()
    done = user.mlx("plots", "diff", "v1")
    assert done.returncode == 0
    assert "both: workspace: by-hand.csv is not there" in done.stderr
    assert "roc.json: workspace: roc.json is not in the workspace; drawn is what is" in done.stderr
    both = plots(user, "diff", "v1")["both"]
    assert [(s["rev"], s["column"]) for s in both["series"]] == [
        ("v1", "loss"), ("v1", "a"), ("v1", "b"), ("workspace", "loss"),
    ]  # fmt: skip


def test_a_clone_without_the_data_says_how_to_get_it(user: User, tmp_path: Path) -> None:
    clone = User(tmp_path / "clone")
    user.git("clone", "--quiet", str(user.root), str(clone.root))
    done = clone.mlx("plots", "show", "--text")
    assert done.returncode == 0
    assert "Loss" in done.stdout
    assert "roc.json is not in the store: mlx pull brings it" in done.stdout
    said = clone.fails(3, "plots", "show", "roc.json")
    assert "there is nothing to draw" in said
    assert "hint: mlx pull" in said


def test_nothing_to_draw_cannot_be_decided(tmp_path: Path) -> None:
    user = User.begin(tmp_path / "empty")
    assert "no plots are declared" in user.fails(3, "plots", "show")
    assert "no commit yet" in user.fails(3, "plots", "diff")
    assert "no revision" in user.fails(3, "plots", "show", "--rev", "nosuch")
    user.write("a.csv", "")
    assert "a.csv is empty" in user.fails(3, "plots", "show", "a.csv")


@pytest.mark.parametrize("data", [b"step,loss\n1,\xff\n", b"step,loss\n1,low\n", b""])
def test_running_stages_is_advised_only_where_that_makes_a_file(user: User, data: bytes) -> None:
    user.write("loss.csv", data)
    said = user.fails(3, "plots", "show", "loss.csv")
    assert "hint" not in said
    user.path("loss.csv").unlink()
    assert "hint: mlx repro" in user.fails(3, "plots", "show", "loss.csv")
    user.write("other.csv", data)
    assert "hint" not in user.fails(3, "plots", "show", "other.csv")


def test_damaged_files_are_told_and_the_rest_is_drawn(user: User) -> None:
    user.write("loss.csv", b"step,loss\n1,\xff\n")
    user.write("roc.json", '{"roc": [')
    done = user.mlx("plots", "show", "--text")
    assert done.returncode == 0
    assert "loss.csv cannot be read: not text in UTF-8 (line 2)" in done.stdout
    assert "roc.json cannot be read: not JSON" in done.stdout
    assert "both" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_plot_that_belongs_to_something_else_is_said_to_be_stale(user: User) -> None:
    user.write("params.yaml", "k: 9\n")
    notes = plots(user, "show")["loss.csv"]["notes"]
    assert notes == ["workspace: stale, by stage train: params.yaml:k 2 -> 9"]
    user.commit()
    notes = plots(user, "diff", "v1", "HEAD")["loss.csv"]["notes"]
    assert notes == ["HEAD: stale, by stage train: params.yaml:k 2 -> 9"]


def test_a_revision_is_drawn_as_the_last_one_declares_it(user: User) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml").replace("title: Loss", "title: New"))
    assert plots(user, "diff", "v1")["loss.csv"]["title"] == "New"
    assert plots(user, "diff", "v1", "v2")["loss.csv"]["title"] == "Loss"


def test_plots_of_a_commit_whose_mlx_yaml_is_broken_are_drawn(user: User) -> None:
    whole = user.read("mlx.yaml")
    user.write("mlx.yaml", "stages: [")
    user.commit()
    user.write("mlx.yaml", whole)
    found = plots(user, "diff", "HEAD")["loss.csv"]
    assert set(values(found)) == {"HEAD", "workspace"}
    assert "HEAD: nobody knows whether it holds" in found["notes"][1]


def test_only_a_page_of_plots_is_replaced(user: User) -> None:
    assert user.ok("plots", "show", "--output", "page.html").strip() == str(user.path("page.html"))
    first = user.read("page.html")
    user.ok("plots", "diff", "v1", "--output", "page.html")
    assert user.read("page.html") != first
    user.write("notes.html", "<!DOCTYPE html>\n<p>mine</p>\n")
    said = user.fails(1, "plots", "show", "--output", "notes.html")
    assert "mlx plots did not write it" in said
    assert "mine" in user.read("notes.html")
    user.ok("plots", "show", "--output", "notes.html", "--force")
    assert "mine" not in user.read("notes.html")
    user.fails(2, "plots", "show", "--output", "src/nosuch/page.html")
    user.fails(2, "plots", "show", "--output", "shots", "--force")
    printed = user.ok("plots", "show", "--output", "-")
    assert printed.startswith("<!DOCTYPE html>")
    assert printed.endswith("</html>\n")
    document = user.json("plots", "show", "--output", "page.html")
    assert document["path"] == str(user.path("page.html"))
    assert user.json("plots", "show")["path"] is None


def test_outputs_that_exclude_each_other_are_misuse(user: User) -> None:
    user.fails(2, "plots", "show", "--text", "--output", "x.html")
    assert user.mlx("plots", "show", "--json", "--output", "-").returncode == 2
    assert not user.path("x.html").exists()


def test_json_has_no_nan(user: User) -> None:
    user.write("x.csv", "a\n1\nnan\n1e999\n")
    document = user.ok("plots", "show", "x.csv", "--json")
    assert json.loads(document, parse_constant=pytest.fail)["plots"][0]["series"][0]["y"] == [
        1, None, None,
    ]  # fmt: skip


def test_the_terminal_view_knows_its_width_and_its_characters(user: User) -> None:
    env = {"COLUMNS": "50", "PYTHONIOENCODING": "ascii"}
    done = user.mlx("plots", "diff", "v1", "v2", "loss.csv", "--text", env=env)
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) == 50
    assert "  * v1   o v2" in done.stdout
    env = {"FORCE_COLOR": "1", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    assert "\x1b" not in user.mlx("plots", "show", "--text", env=env).stdout
    env = {"FORCE_COLOR": "1", "NO_COLOR": "", "PYTHONUTF8": "1"}
    assert "\x1b[38;5;32m" in user.mlx("plots", "show", "loss.csv", "--text", env=env).stdout


def test_links_and_folders_in_the_place_of_a_file_are_told(user: User) -> None:
    (user.root / "loss.csv").unlink()
    os.symlink("nowhere.csv", user.root / "loss.csv")
    os.mkfifo(user.root / "x.csv")
    (user.root / "y.csv").mkdir()
    done = user.mlx("plots", "show", "loss.csv", "both", "--text")
    assert "loss.csv is not there" in done.stdout
    user.fails(2, "plots", "show", "x.csv")
    user.fails(3, "plots", "show", "y.csv")


def test_ten_revisions_read_git_through_one_process(user: User) -> None:
    for k in range(3, 11):
        user.write("params.yaml", f"k: {k}\n")
        user.ok("repro", "-q")
        user.commit()
        user.git("tag", f"v{k}")
    trace = user.root.parent / "trace"
    revs = [f"v{k}" for k in range(1, 11)]
    done = user.mlx("plots", "diff", *revs, "--json", env={"GIT_TRACE": str(trace)})
    loss = next(p for p in json.loads(done.stdout)["plots"] if p["name"] == "loss.csv")
    assert {rev: ys[0] for rev, ys in values(loss).items()} == {f"v{k}": k for k in range(1, 11)}
    started = [line for line in trace.read_text().splitlines() if "built-in: git" in line]
    assert sum("cat-file --batch" in line for line in started) <= 2
    assert len(started) < 10


def test_the_page_is_opened_in_the_browser_of_the_user(user: User) -> None:
    seen = user.root.parent / "seen"
    browser = user.root.parent / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    done = user.mlx("plots", "show", "--open", env={"BROWSER": f"{browser} %s"})
    assert seen.read_text() == Path(done.stdout.strip()).as_uri() + "\n"
