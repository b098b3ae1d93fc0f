"""The scheduler: who is ready, who may start, and that everybody's turn comes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxrepo.pipeline.schedule import JOBS, ONE_JOB, Demand, Schedule


def want(**amounts: float) -> Demand:
    return Demand(tuple(sorted({JOBS: 1.0, **amounts}.items())))


def apart(count: int, **totals: float) -> Schedule:
    names = [f"s{number}" for number in range(count)]
    return Schedule(names, dict.fromkeys(names, ()), {JOBS: float(count), **totals})


def test_a_stage_is_ready_when_all_it_needs_is_done() -> None:
    schedule = Schedule("abc", {"a": (), "b": (), "c": ("a", "b")}, {JOBS: 2})
    assert [schedule.take(), schedule.take(), schedule.take()] == ["a", "b", None]
    schedule.done("b")
    assert schedule.take() is None
    schedule.done("a")
    assert schedule.take() == "c"


def test_what_needs_a_failed_stage_is_never_ready() -> None:
    schedule = Schedule("abcd", {"a": (), "b": ("a",), "c": ("b",), "d": ()}, {JOBS: 1})
    assert schedule.take() == "a"
    schedule.failed("a")
    assert schedule.take() == "d"
    assert schedule.take() is None
    assert schedule.blocked == {"b": "a", "c": "a"}


def test_a_stage_that_is_redone_is_handed_out_once_and_those_that_lack_it_wait() -> None:
    schedule = Schedule("abcd", {"a": (), "b": ("a",), "c": ("a",), "d": ("a",)}, {JOBS: 3})
    assert schedule.take() == "a"
    schedule.done("a")
    assert [schedule.take(), schedule.take(), schedule.take()] == ["b", "c", "d"]
    schedule.done("b")
    for address in "cd":
        schedule.want(address, want())
        assert schedule.start() == address
        assert schedule.redo(["a", "elsewhere"], address) == {"a"}
    assert [schedule.take(), schedule.take()] == ["a", None]
    schedule.done("a")
    assert [schedule.take(), schedule.take(), schedule.take()] == ["c", "d", None]
    assert schedule.redo(["elsewhere"], "c") == set()


def test_stages_outside_the_selection_are_not_waited_for() -> None:
    assert Schedule("b", {"b": ("a",)}, {JOBS: 1}).take() == "b"


def test_what_is_taken_is_taken_until_the_stage_ends() -> None:
    schedule = apart(2, mem=4)
    schedule.want("s0", want(mem=3))
    schedule.want("s1", want(mem=2))
    assert [schedule.start(), schedule.start()] == ["s0", None]
    schedule.failed("s0")
    assert schedule.start() == "s1"


def test_a_small_stage_does_not_overtake_a_big_one_that_waits_for_the_same() -> None:
    schedule = apart(3, mem=4)
    for number, amount in enumerate((3, 4, 1)):
        schedule.want(f"s{number}", want(mem=amount))
    assert [schedule.start(), schedule.start()] == ["s0", None]
    schedule.done("s0")
    assert [schedule.start(), schedule.start()] == ["s1", None]
    schedule.done("s1")
    assert schedule.start() == "s2"


def test_a_stage_that_wants_something_else_overtakes() -> None:
    schedule = apart(3, mem=4, gpu=1)
    schedule.want("s0", want(mem=4))
    schedule.want("s1", want(mem=4))
    schedule.want("s2", want(gpu=1))
    assert [schedule.start(), schedule.start(), schedule.start()] == ["s0", "s2", None]


def test_what_is_closed_is_not_given_and_keeps_nothing_else_from_starting() -> None:
    schedule = apart(2, gpu=1)
    schedule.want("s0", want(gpu=1))
    schedule.want("s1", ONE_JOB)
    assert schedule.start({"gpu"}) == "s1"
    assert schedule.start({"gpu"}) is None
    assert schedule.start() == "s0"


def test_a_stage_that_is_put_back_comes_before_those_that_asked_later() -> None:
    schedule = apart(2, gpu=1)
    for stage in ("s0", "s1"):
        schedule.want(stage, want(gpu=1))
    assert schedule.start() == "s0"
    schedule.put_back("s0")
    assert schedule.waiting == 2
    assert schedule.start() == "s0"


def test_a_demand_that_can_never_be_met_is_an_error() -> None:
    with pytest.raises(ValueError, match="s0 can never start: mem"):
        apart(1, mem=1).want("s0", want(mem=2))


TOTALS = {JOBS: 3.0, "mem": 4.0, "lock": 1.0}
demands = st.fixed_dictionaries(
    {JOBS: st.just(1.0)},
    optional={"mem": st.integers(1, 4).map(float), "lock": st.just(1.0)},
).map(lambda amounts: Demand(tuple(sorted(amounts.items()))))


@given(st.lists(demands, max_size=12), st.integers())
def test_nothing_is_over_committed_and_every_stage_starts(wanted: list[Demand], seed: int) -> None:
    stages = [f"s{number}" for number in range(len(wanted))]
    schedule = Schedule(stages, dict.fromkeys(stages, ()), TOTALS)
    by_name = dict(zip(stages, wanted, strict=True))
    for stage in stages:
        schedule.want(stage, by_name[stage])
    chance, running, started = random.Random(seed), list[str](), list[str]()
    while schedule.waiting or running:
        stage = schedule.start()
        if stage is None:
            schedule.done(running.pop(chance.randrange(len(running))))
            continue
        running.append(stage)
        started.append(stage)
        for name, total in TOTALS.items():
            assert sum(dict(by_name[s].amounts).get(name, 0) for s in running) <= total
    assert sorted(started) == sorted(stages)
    for name in ("mem", "lock"):  # in the order in which they asked
        order = [stages.index(s) for s in started if name in dict(by_name[s].amounts)]
        same = [n for n in order if set(dict(wanted[n].amounts)) == {JOBS, name}]
        assert same == sorted(same)
