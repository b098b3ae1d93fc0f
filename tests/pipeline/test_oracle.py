"""What runs is exactly what a model that compares contents says."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_project import Pipeline
from sandbox import Project

SOURCES = ("a.txt", "b.txt")
TEXTS = st.sampled_from(["one\n", "onto\n", "two\n"])  # two of them begin alike: early cutoff
COMMANDS = {
    # name: (shell words before the redirection, what it makes of deps and the param)
    "join": ("cat {deps}", lambda deps, param: "".join(deps)),
    "head": ("head -c 1 {deps[0]}", lambda deps, param: deps[0][:1]),
    "param": ("sed -n 's/^p: //p' params.yaml", lambda deps, param: f"{param}\n"),
    "constant": ("printf x", lambda deps, param: "x"),
    "broken": ("false {deps} && printf half", lambda deps, param: "half"),
}


class Node(NamedTuple):
    """A stage: the kind of its command, what it reads, whether it has the param.

    The command of a "broken" one fails after it wrote half of its out.
    """

    kind: str
    deps: tuple[str, ...]
    param: bool


GOOD = tuple(kind for kind in COMMANDS if kind != "broken")


@st.composite
def nodes(draw: st.DrawFn, number: int, kinds: tuple[str, ...]) -> Node:
    readable = [*SOURCES, *(f"out{n}" for n in range(number))]
    kind = draw(st.sampled_from(kinds))
    deps = draw(st.lists(st.sampled_from(readable), min_size=1, max_size=2, unique=True))
    return Node(kind, tuple(deps), kind == "param" or draw(st.booleans()))


class Edit(NamedTuple):
    """A change of the workspace: which kind, where, and what is there then."""

    kind: str
    at: int
    text: str
    node: Node


@st.composite
def edits(draw: st.DrawFn, count: int, kinds: tuple[str, ...]) -> Edit:
    kind = draw(st.sampled_from(["source", "param", "command", "delete out", "edit out", "none"]))
    at = draw(st.integers(0, count - 1))
    return Edit(kind, at, draw(TEXTS), draw(nodes(at, kinds)))


@st.composite
def stories(draw: st.DrawFn, *kinds: str) -> tuple[list[Node], list[Edit]]:
    count = draw(st.integers(1, 5))
    pipeline = [draw(nodes(number, kinds)) for number in range(count)]
    return pipeline, draw(st.lists(edits(count, kinds), min_size=1, max_size=6))


@dataclass
class Model:
    """Contents instead of hashes; a stage is known by its command, its inputs and its param."""

    pipeline: list[Node]
    files: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SOURCES, "one\n"))
    param: str = "one"
    recorded: dict[int, object] = field(default_factory=dict)
    known: set[object] = field(default_factory=set)

    def expected(self) -> dict[str, str]:
        outcomes: dict[str, str] = {}
        for number, node in enumerate(self.pipeline):
            makers = [f"s{dep[3:]}" for dep in node.deps if dep.startswith("out")]
            if any(outcomes[maker] in ("failed", "blocked") for maker in makers):
                outcomes[f"s{number}"] = "blocked"
                continue
            if node.kind == "broken":
                outcomes[f"s{number}"] = "failed"
                continue
            deps = [self.files[dep] for dep in node.deps]
            param = self.param if node.param else None
            made = COMMANDS[node.kind][1](deps, self.param)
            words = COMMANDS[node.kind][0].format(deps=Words(node.deps))
            # The order in which deps are listed is no input; where it matters it is in the command.
            key = (number, words, tuple(sorted(zip(node.deps, deps, strict=True))), param)
            out = f"out{number}"
            if self.recorded.get(number) == key and self.files.get(out) == made:
                outcomes[f"s{number}"] = "up-to-date"
            else:
                outcomes[f"s{number}"] = "restored" if key in self.known else "ran"
            self.files[out], self.recorded[number] = made, key
            self.known.add(key)
        return outcomes

    def apply(self, edit: Edit) -> None:
        out = f"out{edit.at}"
        if edit.kind == "source":
            self.files[SOURCES[edit.at % 2]] = edit.text
        elif edit.kind == "param":
            self.param = edit.text.strip()
        elif edit.kind == "command":
            self.pipeline[edit.at] = edit.node
        elif edit.kind == "delete out":
            self.files.pop(out, None)
        elif edit.kind == "edit out" and out in self.files:
            self.files[out] = "by hand\n"

    def write(self, pipe: Pipeline, trace: Path) -> None:
        """Make the workspace what the model is."""
        pipe.write("params.yaml", f"p: {self.param}\n")
        for number in range(len(self.pipeline)):
            if f"out{number}" not in self.files:
                pipe.path(f"out{number}").unlink(missing_ok=True)
        for name, text in self.files.items():
            if not pipe.path(name).exists() or pipe.read(name) != text:
                pipe.write(name, text)
        rows = ["stages:"]
        for number, node in enumerate(self.pipeline):
            words = COMMANDS[node.kind][0].format(deps=Words(node.deps))
            rows += [
                f"  s{number}:",
                f"    cmd: ['echo s{number} >> {trace}', \"{words} > out{number}\"]",
                f"    deps: [{', '.join(node.deps)}]",
                f"    params: [{'p' if node.param else ''}]",
                f"    outs: [out{number}]",
            ]
        pipe.write("mlx.yaml", "\n".join(rows) + "\n")


class Words(tuple[str, ...]):
    """Paths that are formatted as words of a shell."""

    def __format__(self, spec: str) -> str:
        return " ".join(self)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories(*GOOD), st.integers(1, 4))
def test_what_runs_is_what_the_model_says(story: tuple[list[Node], list[Edit]], jobs: int) -> None:
    pipeline, changes = story
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        pipe = Pipeline(Project.create(Path(folder, "project")))
        model = Model(list(pipeline))
        for edit in [Edit("none", 0, "", pipeline[0]), *changes]:
            model.apply(edit)
            model.write(pipe, trace)
            trace.write_text("")
            expected = model.expected()
            foreseen = pipe.outcomes(dry_run=True)
            assert pipe.outcomes(jobs=jobs) == expected
            ran = [stage for stage, outcome in expected.items() if outcome == "ran"]
            assert sorted(trace.read_text().split()) == sorted(ran)
            assert_foreseen(foreseen, expected)
            assert {name: pipe.read(name) for name in model.files} == model.files
            assert set(pipe.outcomes().values()) == {"up-to-date"}
        scratch = Pipeline(Project.create(Path(folder, "scratch")))
        fresh = Model(model.pipeline, {s: model.files[s] for s in SOURCES}, model.param)
        fresh.write(scratch, trace)
        assert set(scratch.outcomes(jobs=1).values()) == {"ran"}
        assert scratch.read("mlx.lock") == pipe.read("mlx.lock")


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories(*GOOD, "broken"), st.integers(1, 4))
def test_what_goes_on_beside_failures_is_what_the_model_says(
    story: tuple[list[Node], list[Edit]], jobs: int
) -> None:
    pipeline, changes = story
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        pipe = Pipeline(Project.create(Path(folder, "project")))
        model = Model(list(pipeline))
        for edit in [Edit("none", 0, "", pipeline[0]), *changes]:
            model.apply(edit)
            model.write(pipe, trace)
            trace.write_text("")
            expected = model.expected()
            done = {r.stage: r.outcome for r in pipe.repro(jobs=jobs, keep_going=True).stages}
            assert done == expected
            ran = [stage for stage, outcome in expected.items() if outcome in ("ran", "failed")]
            assert sorted(trace.read_text().split()) == sorted(ran)
            assert {name: pipe.read(name) for name in model.files} == model.files
            left = {name for name in os.listdir(pipe.root) if name.startswith("out")}
            assert left == {name for name in model.files if name.startswith("out")}


def assert_foreseen(foreseen: dict[str, str], done: dict[str, str]) -> None:
    """A look ahead is right, or says that it depends on what comes out."""
    words = {"run": "ran", "restore": "restored", "up-to-date": "up-to-date"}
    for stage, word in foreseen.items():
        assert word == "may-run" or words[word] == done[stage], (foreseen, done)
