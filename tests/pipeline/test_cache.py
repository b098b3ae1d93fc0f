"""The action cache: what is restored instead of run."""

from __future__ import annotations

import pytest
from pipeline_project import Pipeline


def test_a_cached_result_with_a_missing_object_is_not_used(chain: Pipeline) -> None:
    old = chain.record("second").outs[0].entry
    chain.write("params.yaml", "p: 2\n")
    chain.outcomes()
    chain.write("params.yaml", "p: 1\n")
    chain.path(f".git/mlx/objects/{old.oid[:2]}/{old.oid[2:]}").unlink()
    assert chain.outcomes()["second"] == "ran"


def test_a_cached_result_of_other_bytes_than_its_name_is_not_used(chain: Pipeline) -> None:
    key = chain.record("second").key
    chain.write("params.yaml", "p: 2\n")
    chain.outcomes()
    chain.write("params.yaml", "p: 1\n")
    [entry] = chain.path(f".git/mlx/actions/{key}").iterdir()
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b"second.txt", b"sec0nd.txt"))
    assert chain.outcomes()["second"] == "ran"


@pytest.fixture
def dice(pipe: Pipeline) -> tuple[Pipeline, list[str]]:
    """A stage that made three different results of one action."""
    pipe.one("cat ../dice > out.txt", outs=["out.txt"])
    made = []
    for number in range(3):
        (pipe.root.parent / "dice").write_text(f"{number}\n")
        assert pipe.outcomes(force=True) == {"only": "ran"}
        pipe.project.commit(f"dice {number}")
        made.append(pipe.read("out.txt"))
    assert made == ["0\n", "1\n", "2\n"]
    return pipe, made


def test_of_several_results_the_one_in_the_lockfile_is_restored(
    dice: tuple[Pipeline, list[str]],
) -> None:
    pipe, made = dice
    for number in range(3):
        pipe.project.git("checkout", "--quiet", f"main~{2 - number}")
        pipe.path("out.txt").unlink()
        assert pipe.outcomes() == {"only": "restored"}
        assert pipe.read("out.txt") == made[number]


def test_of_several_results_the_last_in_history_is_restored_when_none_is_recorded(
    dice: tuple[Pipeline, list[str]],
) -> None:
    pipe, made = dice
    pipe.path("out.txt").unlink()
    pipe.path("mlx.lock").unlink()
    assert pipe.outcomes() == {"only": "restored"}
    assert pipe.read("out.txt") == made[2]
    pipe.project.git("reset", "--quiet", "--hard", "main~1")
    pipe.path("mlx.lock").unlink()
    assert pipe.outcomes() == {"only": "restored"}
    assert pipe.read("out.txt") == made[1]


def test_of_results_that_nothing_names_it_is_always_the_same_one(
    dice: tuple[Pipeline, list[str]],
) -> None:
    pipe, _ = dice
    pipe.project.git("checkout", "--quiet", "--orphan", "empty")
    pipe.path("mlx.lock").unlink()
    pipe.outcomes()
    first = pipe.read("out.txt")
    pipe.path("mlx.lock").unlink()
    pipe.write("out.txt", "other\n")
    assert pipe.outcomes() == {"only": "restored"}
    assert pipe.read("out.txt") == first
