"""Dependencies that are links inside tracked folders: what they lead to is what counts."""

from __future__ import annotations

import os

import pytest
from pipeline_project import Pipeline

from mlxrepo.commands.add import add
from mlxrepo.errors import InputError


@pytest.fixture
def linked(pipe: Pipeline) -> Pipeline:
    """A stage that reads `data/now`, a link to a link to a file of the same dataset."""
    pipe.write("data/v/1.csv", "one\n")
    pipe.write("data/v/2.csv", "two\n")
    pipe.path("data/v/last").symlink_to("1.csv")
    pipe.path("data/now").symlink_to("v/last")
    pipe.one("cat data/now > out.txt", deps=["data/now"], outs=["out.txt"])
    pipe.project.do(add, ["data"])
    assert pipe.outcomes() == {"only": "ran"}
    pipe.project.commit()
    return pipe


def test_a_stage_is_stale_when_what_the_link_leads_to_changed(linked: Pipeline) -> None:
    assert linked.outcomes() == {"only": "up-to-date"}
    linked.write("data/v/2.csv", "not read\n")
    assert linked.outcomes() == {"only": "up-to-date"}
    linked.write("data/v/1.csv", "new\n")
    assert linked.outcomes() == {"only": "ran"}
    linked.path("data/v/last").unlink()
    linked.path("data/v/last").symlink_to("2.csv")
    assert linked.outcomes() == {"only": "ran"}
    assert linked.read("out.txt") == "not read\n"


def test_absent_links_come_with_what_they_lead_to_and_mean_the_same(linked: Pipeline) -> None:
    record = linked.record("only")
    other = Pipeline(linked.project.worktree("other"))
    assert other.outcomes() == {"only": "restored"}
    assert not other.path("data").exists()
    assert other.outcomes(force=True) == {"only": "ran"}
    assert other.record("only") == record
    assert sorted(other.project.files("data")) == ["data/v/1.csv"]
    assert os.readlink(other.path("data/now")) == "v/last"
    # A link that is here, to a file that is not.
    third = Pipeline(linked.project.worktree("third"))
    third.path("data").mkdir()
    third.path("data/now").symlink_to("v/last")
    third.path("out.txt").write_text("other\n")
    assert third.outcomes(force=True) == {"only": "ran"}
    assert third.record("only") == record


def test_an_absent_folder_comes_with_its_links_to_other_parts_of_the_dataset(
    pipe: Pipeline,
) -> None:
    pipe.write("data/a.csv", "a\n")
    pipe.path("data/sub").mkdir()
    pipe.path("data/sub/a").symlink_to("../a.csv")
    pipe.one("ls data/sub > out.txt", deps=["data/sub"], outs=["out.txt"])
    pipe.project.do(add, ["data"])
    pipe.project.commit()
    other = Pipeline(pipe.project.worktree("other"))
    assert other.outcomes() == {"only": "ran"}
    assert other.read("out.txt") == "a\n"


def test_links_in_a_circle_are_nowhere(pipe: Pipeline) -> None:
    pipe.write("data/a.csv", "a\n")
    pipe.one("cat data/x > out.txt", deps=["data/x"], outs=["out.txt"])
    pipe.project.do(add, ["data"])
    pipe.path("data/x").symlink_to("y")
    pipe.path("data/y").symlink_to("x")
    with pytest.raises(InputError, match="data/x") as caught:
        pipe.repro()
    assert caught.value.where
