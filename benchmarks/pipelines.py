"""Pipelines: the same stages for mlx, DVC, Snakemake, doit and make, in the same run.

The stages stand in layers of ten. Each copies one file, the out of a stage in the layer above or,
in the first layer, a source; and notes that it ran in a file outside of the project.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from contenders import Cost, Tool, run
from measure import Row, Setting, timed

WIDTH = 10
COPY = "cp {dep} {out} && echo {number} >> ../ran"
SLEEP = "sleep 1 && " + COPY
CORES = len(os.sched_getaffinity(0))
FEW = ("mlx", "doit", "make")  # who is also asked about thousands of stages that have to run


class Stage(NamedTuple):
    """One stage: what it reads and writes, and the command with places for both."""

    number: int
    dep: str
    out: str
    template: str

    @property
    def command(self) -> str:
        """The command."""
        return self.template.format(number=self.number, dep=self.dep, out=self.out)


def layers(count: int, template: str = COPY) -> list[Stage]:
    """Return `count` stages; each stands one to the right of the one that it needs."""
    stages: list[Stage] = []
    for number in range(count):
        layer, column = divmod(number, WIDTH)
        above = stages[(layer - 1) * WIDTH + (column - 1) % WIDTH] if layer else None
        dep = above.out if above else f"src/{column}.txt"
        stages.append(Stage(number, dep, f"out/{number}.txt", template))
    return stages


# --- how each tool is told ------------------------------------------------------------------------


def _write_yaml(project: Path, stages: list[Stage], name: str) -> None:
    rows = [
        f"  s{stage.number}:\n    cmd: {stage.command}\n"
        f"    deps: [{stage.dep}]\n    outs: [{stage.out}]\n"
        for stage in stages
    ]
    (project / name).write_text("stages:\n" + "".join(rows))


def _write_mlx(project: Path, stages: list[Stage]) -> None:
    _write_yaml(project, stages, "mlx.yaml")


def _write_dvc(project: Path, stages: list[Stage]) -> None:
    _write_yaml(project, stages, "dvc.yaml")


def _write_snakemake(project: Path, stages: list[Stage]) -> None:
    # One rule for all, as its users write it: a rule for each stage would be slower.
    command = stages[0].template.format(number="{wildcards.n}", dep="{input}", out="{output}")
    (project / "Snakefile").write_text(
        f"shell.executable('/bin/sh')\nshell.prefix('')\nNEEDS = {[s.dep for s in stages]}\n"
        "rule all:\n    input: expand('out/{n}.txt', n=range(len(NEEDS)))\n"
        "rule stage:\n    input: lambda wildcards: NEEDS[int(wildcards.n)]\n"
        f"    output: 'out/{{n}}.txt'\n    shell: '{command}'\n"
    )


def _write_doit(project: Path, stages: list[Stage]) -> None:
    rows = [(str(s.number), s.dep, s.out, s.command) for s in stages]
    (project / "dodo.py").write_text(
        f"STAGES = {rows}\n\ndef task_stage():\n    for name, dep, out, command in STAGES:\n"
        "        yield {'name': name, 'actions': [command], 'file_dep': [dep], 'targets': [out]}\n"
    )


def _write_make(project: Path, stages: list[Stage]) -> None:
    rows = [f"{s.out}: {s.dep}\n\t@{s.command}\n" for s in stages]
    (project / "Makefile").write_text(f"all: {' '.join(s.out for s in stages)}\n{''.join(rows)}")


def make_project(folder: Path) -> None:
    """Write the sources, and make room for the outs."""
    for part in ("src", "out"):
        (folder / part).mkdir(parents=True)
    for column in range(WIDTH):
        (folder / f"src/{column}.txt").write_text(f"source {column}\n")


class Dialect(NamedTuple):
    """How a tool is told what the stages are, and to build them: one by one, or `jobs` at once."""

    write: Callable[[Path, list[Stage]], None]
    build: tuple[str, ...]
    one: tuple[str, ...]
    many: str | None


DIALECTS = {
    "mlx": Dialect(_write_mlx, ("-q", "repro"), ("-j1",), "-j{}"),
    "dvc": Dialect(_write_dvc, ("repro", "-q"), (), None),
    "snakemake": Dialect(_write_snakemake, ("--quiet", "all"), ("--cores=1",), "--cores={}"),
    "doit": Dialect(_write_doit, ("run",), (), "-n{}"),
    "make": Dialect(_write_make, ("-s",), (), "-j{}"),
}


@dataclass(frozen=True)
class Project:
    """The stages in a folder of their own, in the words of one tool."""

    tool: Tool
    folder: Path

    @classmethod
    def create(cls, tool: Tool, folder: Path, stages: list[Stage]) -> Project:
        """Write sources and stages; nothing has run."""
        if tool.name in ("mlx", "dvc"):
            tool.init(folder / "project")
        project = folder / "project"
        make_project(project)
        DIALECTS[tool.name].write(project, stages)
        return cls(tool, project)

    def build(self, jobs: int = 1) -> Cost:
        """Bring everything up to date."""
        dialect = DIALECTS[self.tool.name]
        words = dialect.one if jobs == 1 or not dialect.many else (dialect.many.format(jobs),)
        return run([self.tool.program, *dialect.build, *words], self.folder)

    def ran(self) -> int:
        """Return how many stages ran since last asked."""
        trace = self.folder.parent / "ran"
        if not trace.exists():
            return 0
        count = len(trace.read_text().splitlines())
        trace.unlink()
        return count

    def expect(self, count: int) -> None:
        """Stop everything when another number of stages ran: it is not the same work then."""
        if (ran := self.ran()) != count:
            raise SystemExit(f"{self.tool.name} in {self.folder}: {ran} stages ran, not {count}")


# --- cases ----------------------------------------------------------------------------------------


def pipeline(setting: Setting) -> Iterator[Row]:
    """Nothing to do, everything to do, one thing to do; in turn and at once; a big matrix."""
    yield from _cold(setting)
    for count in (10, 20) if setting.quick else (10, 100, 1_000, 5_000):
        yield from _warm(setting, count)
    yield from _sleeping(setting)
    yield from _matrix(setting)


def _cold(setting: Setting) -> Iterator[Row]:
    for count, names in ((20, None), (40, FEW)) if setting.quick else ((100, None), (1_000, FEW)):
        goal = "mlx <= 2x doit" + ("" if names else ", <= dvc / 12")
        serial = Row(f"cold, {count:,} stages, one at a time", goal)
        parallel = Row(f"cold, {count:,} stages, {CORES} at once")
        stages = layers(count)
        for turn in range(setting.repeat):
            for row, jobs in (serial, 1), (parallel, CORES):
                for tool in _who(setting, names, jobs):
                    place = setting.folder / f"cold-{tool.name}-{count}-{jobs}-{turn}"
                    project = Project.create(tool, place, stages)
                    timed(row, tool.name, partial(project.build, jobs))
                    project.expect(count)
            _cold_floor(setting, setting.folder / f"cold-floor-{count}-{turn}", stages, serial)
        yield serial
        yield parallel


def _cold_floor(setting: Setting, place: Path, stages: list[Stage], row: Row) -> None:
    """Run the same commands by the same shell, with nothing around them."""
    make_project(place / "project")
    commands = place / "commands"
    commands.write_text("".join(f"{stage.command}\n" for stage in stages))
    timed(row, "floor", partial(setting.floor, "shells", commands, place / "project"))


def _who(setting: Setting, names: tuple[str, ...] | None, jobs: int = 1) -> list[Tool]:
    return [
        tool
        for name, tool in setting.tools.items()
        if (names is None or name in names) and (jobs == 1 or DIALECTS[name].many)
    ]


def _warm(setting: Setting, count: int) -> Iterator[Row]:
    """After everything ran: nothing to do, a source touched, a source changed."""
    names = FEW if count > 1_000 else None
    stages = layers(count)
    idle = Row(f"nothing to do, {count:,} stages", _idle_goal(count))
    touched = Row(f"one source touched, same bytes, {count:,} stages (stages run)")
    changed = Row(f"one source changed, {count:,} stages (stages run)")
    rows = (idle, touched, changed) if count in (20, 100, 1_000) else (idle,)
    projects = [_done(setting, tool, stages) for tool in _who(setting, names)]
    for turn in range(setting.repeat):
        for project in projects:
            name = project.tool.name
            timed(idle, name, project.build)
            project.expect(0)
            # DVC rewrites its lockfile after each stage: 100 of 1,000 take it minutes.
            if len(rows) > 1 and (name != "dvc" or count <= 100):
                source = project.folder / "src" / "0.txt"
                os.utime(source)
                timed(touched, name, project.build)
                touched.ran[name] = project.ran()
                source.write_text(f"another content {turn}\n")
                timed(changed, name, project.build)
                changed.ran[name] = project.ran()
    yield from rows


def _idle_goal(count: int) -> str:
    return {1_000: "mlx <= doit, <= dvc / 40", 5_000: "mlx <= doit"}.get(count, "")


def _done(setting: Setting, tool: Tool, stages: list[Stage]) -> Project:
    """Return a project in which everything has run."""
    place = setting.folder / f"warm-{tool.name}-{len(stages)}"
    project = Project.create(tool, place, stages)
    if tool.name == "dvc" and len(stages) > 100:
        _pretend_dvc_ran(project.folder, stages)
    else:
        project.build(CORES)
        project.expect(len(stages))
    project.build()  # the first look after a run may still have racy files to read
    project.expect(0)
    return project


def _pretend_dvc_ran(project: Path, stages: list[Stage]) -> None:
    """Write what DVC would have after all stages ran: a thousand would take it half an hour."""
    text: dict[str, str] = {f"src/{n}.txt": f"source {n}\n" for n in range(WIDTH)}
    for stage in stages:
        text[stage.out] = text[stage.dep]
        (project / stage.out).write_text(text[stage.out])
    for content in set(text.values()):
        oid = hashlib.md5(content.encode()).hexdigest()
        cached = project / ".dvc/cache/files/md5" / oid[:2] / oid[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(content)

    def entry(path: str) -> str:
        data = text[path].encode()
        oid = hashlib.md5(data).hexdigest()
        return f"    - {{path: {path}, hash: md5, md5: {oid}, size: {len(data)}}}\n"

    rows = [
        f"  s{stage.number}:\n    cmd: {stage.command}\n"
        f"    deps:\n{entry(stage.dep)}    outs:\n{entry(stage.out)}"
        for stage in stages
    ]
    (project / "dvc.lock").write_text("schema: '2.0'\nstages:\n" + "".join(rows))


def _sleeping(setting: Setting) -> Iterator[Row]:
    stages = layers(8, SLEEP)
    parallel = Row("eight `sleep 1`, 8 at once where the tool can", "mlx < 1.5 s")
    serial = Row("eight `sleep 1`, one at a time")
    for turn in range(setting.repeat):
        for row, jobs in (parallel, 8), (serial, 1):
            for tool in setting.tools.values():
                # Eight seconds of sleep are the same every time: once is enough.
                if turn and (jobs == 1 or not DIALECTS[tool.name].many):
                    continue
                place = setting.folder / f"sleep-{tool.name}-{jobs}-{turn}"
                project = Project.create(tool, place, stages)
                timed(row, tool.name, partial(project.build, jobs))
                project.expect(8)
    yield parallel
    yield serial


def _matrix(setting: Setting) -> Iterator[Row]:
    """List the stages of a matrix of three axes; doit, without a matrix, makes them in a loop."""
    sides = (4, 4, 4) if setting.quick else (20, 20, 10)
    axes = {axis: list(range(side)) for axis, side in zip("abc", sides, strict=True)}
    names = "${item.a} ${item.b} ${item.c}"
    out = "out/${item.a}-${item.b}-${item.c}"
    text = (
        "stages:\n  cell:\n    matrix:\n"
        + "".join(f"      {axis}: {values}\n" for axis, values in axes.items())
        + f"    cmd: echo {names} > {out}\n    outs: ['{out}']\n"
    )
    count = sides[0] * sides[1] * sides[2]
    row = Row(f"list the {count:,} stages of a matrix", "mlx < 1 s")
    loop = layers(count)
    words = {"mlx": ("stage", "list"), "dvc": ("stage", "list"), "doit": ("list", "--all")}
    for name, ask in words.items():
        tool = setting.tools[name]
        project = Project.create(tool, setting.folder / f"matrix-{name}", loop)
        if name != "doit":
            (project.folder / f"{name}.yaml").write_text(text)
        for _ in range(setting.repeat):
            timed(row, name, partial(run, [tool.program, *ask], project.folder))
    yield row
