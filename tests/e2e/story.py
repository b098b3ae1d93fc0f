"""A story of one project: edits, runs, kills, merges; after each move every claim is checked.

A story is told by its number alone, but for what the clock decides: where two runs meet.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from claims import Claims, identity
from pipeline_project import until
from sandbox import Project
from stepping import Done, Job, Stepper, works_in
from toys import (
    CODE,
    DATA,
    FIRST,
    SCRIPTS,
    TEXTS,
    Move,
    declared,
    drawn_move,
    drawn_node,
    outs_of,
    render,
)
from truth import Record, Truth, below, covers, read_lock

from mlxrepo.commands.accept import accept
from mlxrepo.commands.add import add, add_modified
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.gc import gc
from mlxrepo.commands.lock_merge import lock_merge
from mlxrepo.commands.repro import Options, Repro, repro
from mlxrepo.errors import InputError, MlxError
from mlxrepo.pipeline.report import Event
from mlxrepo.repo.repo import Repo

OURS = ("mlx.yaml", "mlx.lock", ".gitignore", "code", "params.yaml", "m")
CODES = {0, 1, 2, 3, 5}  # not 4: no command fails by itself


class Story:
    """A project to which things happen; it remembers what, in words."""

    def __init__(self, folder: Path, number: int, truth: Truth, stepper: Stepper):
        self.number = number
        self.told: list[str] = []
        self.truth, self.stepper = truth, stepper
        self._folder = folder
        self._draw = Random(number)
        self._steps = 300  # of a run: where it may be killed
        self._merging = False  # git may have left mlx.lock or mlx.yaml so that nobody can read it
        self.project = Project.create(folder / "project")
        for path in DATA:
            self.project.write(path, "one\n")
        for path in SCRIPTS:
            self.project.write(path, CODE[0])
        self.project.write("params.yaml", "p: 1\nq: 1\n")
        self.project.do(add, ["raw", "one.txt"])
        self.claims = Claims(self.project, truth)
        self._declare({f"s{slot}": declared(slot, node) for slot, node in FIRST.items()})
        self.commit()

    def go_on(self, moves: int) -> None:
        """Let so many things happen, and compare with a run from scratch at the end."""
        with self._telling():
            for _ in range(moves):
                name, arguments = drawn_move(self._draw)
                self.told.append(f"{name} {arguments}")
                getattr(self, name)(**arguments)
                self.check()
            self.told.append("from scratch")
            self._compare_with_scratch()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Let a failure tell its whole story: it can be typed in, or made a test."""
        try:
            yield
        except Exception as error:
            told = "\n  ".join([repr(error), *self.told])
            raise AssertionError(f"in story {self.number}: {told}") from error

    def _note(self, what: object) -> None:
        self.told[-1:] = [f"{''.join(self.told[-1:])} -> {what}"]

    # edits

    def edit(self, path: str, text: str) -> None:
        self.project.write(path, text)
        self.truth.learn(self.project.files())

    def edit_param(self, key: str, value: int) -> None:
        text = self.project.read("params.yaml")
        rows = [f"{key}: {value}" if row[:1] == key else row for row in text.splitlines()]
        self.project.write("params.yaml", "\n".join(rows) + "\n")

    def several(self, moves: list[Move]) -> None:
        for name, arguments in moves:
            getattr(self, name)(**arguments)

    def delete(self, path: str) -> None:
        self.project.path(path).unlink(missing_ok=True)

    def _declare(self, stages: dict[str, Record]) -> None:
        text = self.project.read("mlx.yaml")
        head = text.partition("\nstages:\n")[0]
        self.project.write("mlx.yaml", f"{head}\n{render(stages)}")

    def _of_slot(self, slot: int) -> list[str]:
        return [name for name in self.claims.stages() if name[1] == str(slot)]

    def declare(self, slot: int, number: int) -> None:
        made = [out for stage in self.claims.stages().values() for out in outs_of(stage)]
        node = drawn_node(Random(number), slot, made)
        self._note(node)
        kept = {name: s for name, s in self.claims.stages().items() if name[1] != str(slot)}
        name = next(iter(self._of_slot(slot)), f"s{slot}")
        self._declare(kept | {name: declared(slot, node)})

    def undeclare(self, slot: int) -> None:
        kept = {name: stage for name, stage in self.claims.stages().items() if name[1] != str(slot)}
        if kept:
            self._declare(kept)

    def rename(self, slot: int) -> None:
        turned = {"s": "t", "t": "s"}
        stages = self.claims.stages()
        self._declare(
            {turned[n[0]] + n[1:] if n[1] == str(slot) else n: s for n, s in stages.items()}
        )

    def spoil(self, slot: int, how: str) -> None:
        """Delete or edit outs, or put there what another stage has made."""
        for name in self._of_slot(slot):
            for path in below(self.project.files(), outs_of(self.claims.stages()[name])):
                others = below(self.project.files(), [f"o/{slot - 1}"])
                self.project.path(path).unlink()
                if how == "edit" or (how == "other" and not others):
                    self.project.write(path, '{"n": 99}')
                elif how == "other":
                    self.project.write(path, next(iter(others.values())))

    # commands

    def add(self) -> None:
        self._try(add_modified)

    def gc(self, edit: Move) -> None:
        """Collect what nothing but the action cache names, and come back to it."""
        before = {path: self.project.read(path) for path in (*DATA, *SCRIPTS, "params.yaml")
                  if self.project.path(path).exists()}  # fmt: skip
        self.several([edit])
        self._repro()
        self.check()  # and learn what it was made of
        for path, text in before.items():
            self.project.write(path, text)
        self._repro()
        self._try(gc, apply=True, grace=0.0)
        self.several([edit])
        self._repro()

    def checkout(self, force: bool = False) -> None:
        self._try(checkout, force=force)

    def _try(self, verb: Any, *words: Any, **options: Any) -> Any:
        """Call a command, which may refuse, in words."""
        with self.project.repo() as repo:
            return self._try_with(repo, lambda: verb(repo, *words, **options))

    def _try_with(self, repo: Repo, call: Any) -> Any:
        try:
            return call()
        except MlxError as error:
            self._note(f"{type(error).__name__}: {error.message}")
            return None

    def accept(self, slot: int) -> None:
        for name in self._of_slot(slot):
            self._try(accept, [name], f"because of {len(self.told)}")
            record = self.claims.lock().get(f"stage:{name}", {})
            if "accepted" in record.get("state", {}):
                self.claims.accepted.add(identity(record))

    def _names(self, wanted: list[int]) -> list[str]:
        return [name for slot in wanted for name in self._of_slot(slot)]

    def _repro(self, *names: str, listener: Any = None, **options: Any) -> Any:
        listen = listener or (lambda event: None)
        found = self._try(repro, names, Options(jobs=2, **options), listener=listen)
        if found is not None:
            self._note({r.stage: r.outcome for r in found.stages})
            errors = [r.error for r in found.stages if r.error]  # a dep that is not here is one
            assert listener or all(isinstance(error, InputError) for error in errors), errors
        return found

    def repro(self, wanted: list[int], options: dict[str, Any]) -> None:
        self._repro(*self._names(wanted), **options)

    def repro_all(self) -> None:
        """Run all, look whether it is as from scratch, and run all again."""
        self._mend_deps()
        done = self._repro()
        if done is None or done.failed:
            return
        self.check(after_all=True)
        before = self.project.read("mlx.lock")
        again: Repro = self._repro()
        always = {n for n, stage in self.claims.stages().items() if stage.get("always_changed")}
        outcomes = {r.stage: r.outcome for r in again.stages if r.stage not in always}
        assert set(outcomes.values()) <= {"up-to-date"}, f"the second repro did {outcomes}"
        assert self.project.read("mlx.lock") == before

    def _mend_deps(self) -> None:
        """Give stages that lack what they read something else to read."""
        for path in ("one.txt", *SCRIPTS):
            if not self.project.path(path).exists():
                self.project.write(path, TEXTS[0] if path in DATA else CODE[0])
        stages = self.claims.stages()
        here = self.project.files() | {o: b"" for stage in stages.values() for o in outs_of(stage)}
        for name, stage in stages.items():
            if not all(below(here, [dep]) for dep in stage["deps"]):
                self._declare(self.claims.stages() | {name: declared(int(name[1]), FIRST[0])})

    def disturbed(self, edit: Move, at: int, number: int) -> None:
        """Change what a stage reads between the decision about it and its command."""
        self.several([edit])
        left = iter(range(at))

        def listen(event: Event) -> None:
            if event.kind == "start" and next(left, None) is None:
                self._disturb(Random(number), self.claims.stages().get(event.stage, {}))

        self._repro(listener=listen, keep_going=True, force=number % 4 == 0)

    def _disturb(self, draw: Random, stage: Record) -> None:
        read = sorted(below(self.project.files(), [*stage.get("deps", []), "params.yaml"]))
        path = draw.choice(read)
        self._note(f"while {stage.get('cmd')} starts: {path}")
        if path == "params.yaml":
            self.edit_param(draw.choice("pq"), draw.randint(1, 3))
        elif path.startswith("code/"):
            self.edit(path, draw.choice(CODE))
        elif draw.random() < 0.2:
            self.project.path(path).unlink()
        else:
            self.edit(path, draw.choice(TEXTS))

    def killed(self, edit: Move, at: int, how: str, wanted: list[int]) -> None:
        self.several([edit])
        words = ("mlx", "repro", "-j", "2", *self._names(wanted))
        step = 1 + at * (self._steps if how == "kill" else 60) // 100
        job = Job(words, str(self.project.root), step, how)
        if how == "time":
            job = Job(words, str(self.project.root), after=at * 3.0)
        [done] = self._run(job)
        if not done.killed and how == "kill":
            self._steps = max(100, done.steps)

    def together(self, edit: Move, first: list[int], second: list[int], at: int, more: str) -> None:
        """Hold a run somewhere while another runs, and perhaps a gc or a checkout."""
        self.several([edit])
        folder = str(self.project.root)
        at = 1 + at * self._steps // 100
        jobs = [Job(("mlx", "repro", *self._names(first)), folder, at, "hold")]
        jobs += [Job(("mlx", "repro", "-j", "2", *self._names(second)), folder)]
        others = {"gc": ("gc", "--yes", "--grace", "0"), "checkout": ("checkout",)}
        jobs += [Job(("mlx", *others[more]), folder)] if more else []
        done = self._run(*jobs)
        # A checkout that meets an edit being recorded may put back what was recorded before.
        ended_well = all(item.code == 0 for item in done) and more != "checkout"
        if ended_well and not (first and second):
            self.check(after_all=True)

    def _run(self, *jobs: Job) -> list[Done]:
        done = self.stepper.run(*jobs)
        self._note([item.code for item in done])
        for item in done:
            assert "Traceback" not in item.err, item.err
            assert item.killed or item.code in CODES, item
        root = str(self.project.root)
        until(lambda: not works_in(root), "what a killed mlx left running ends")
        return done

    # git

    def commit(self) -> None:
        there = [path for path in OURS if self.project.path(path).exists()]
        self.project.git("add", "--all", "--", *there)
        self.project.git("commit", "--quiet", "--allow-empty", "--message=x")

    def _branch(self) -> str:
        return self.project.git("branch", "--show-current").strip()

    def switch(self, branch: str, checkout: bool) -> None:
        self.commit()
        self.project.git("branch", branch, check=False)
        self.project.git("checkout", "--quiet", branch, check=False)
        self._note(self._branch())
        self.truth.learn(self.project.files())
        if checkout:
            self.check()
            self.checkout()

    def diverge(self, branch: str, pick: int, one: Move, other: Move) -> None:
        """Run on two branches after different edits, and merge them."""
        here = self._branch()
        self.several([one])
        self._repro()
        self.switch(branch, checkout=pick % 2 == 0)
        self.several([other])
        self._repro()
        self.merge(here, pick, checkout=pick % 3 == 0)
        if pick % 5 < 3:
            self.repro_all()

    def merge(self, branch: str, pick: int, checkout: bool) -> None:
        """Merge in plain git, and settle what conflicts: one's own files first, then the lock."""
        self.commit()
        self.project.git("merge", "--no-edit", branch, check=False)
        side = ("--ours", "--theirs")[pick % 2]
        unmerged = self.project.git("diff", "--name-only", "--diff-filter=U").split()
        self._note(f"unmerged {unmerged}")
        for path in unmerged:
            if path not in ("mlx.yaml", "mlx.lock", ".gitignore"):
                self._take(side, path)
        self._merging = True
        self.check()
        self._settle(pick, side)
        self._mend_stages()
        self._merging = False
        self.check()
        self.commit()
        if checkout:
            self.checkout()

    def _settle(self, pick: int, side: str) -> None:
        texts = [self.project.git("show", f":{n}:mlx.lock", check=False) for n in (1, 2, 3)]
        found = self._try(lock_merge)
        if found is not None and found.questions:
            answers: dict[str, list[str]] = {"ours": [], "theirs": []}
            for number, question in enumerate(found.questions):
                answers[("ours", "theirs")[(pick >> number) % 2]].append(question.path)
            found = self._try(lock_merge, **answers)
        self._note(found)
        if found is not None and all(texts[1:]):
            self.claims.check_merged([read_lock(text) for text in texts])
        for path in ("mlx.yaml", ".gitignore", "mlx.lock"):
            if self.project.path(path).exists() and "\n>>>>>>> " in self.project.read(path):
                assert path != "mlx.lock", "it was not settled"
                self._take(side, path)

    def _take(self, side: str, path: str) -> None:
        self.project.git("checkout", side, "--", path, check=False)
        if not self.project.path(path).exists():
            self.project.git("rm", "--quiet", "--cached", "--", path, check=False)

    def _mend_stages(self) -> None:
        """Take out of mlx.yaml the second of two stages that make the same, as git merged them."""
        first: dict[str, str] = {}
        for name in self.claims.stages():
            first.setdefault(name[1], name)
        if len(first) != len(self.claims.stages()):
            self._declare({name: self.claims.stages()[name] for name in first.values()})

    # what is checked

    def check(self, *, after_all: bool = False) -> None:
        """Check everything that mlx claims now."""
        said = self.claims.check(after_all=after_all)
        if said:
            self._note(said)
            assert self._merging, "this cannot be judged"

    def _compare_with_scratch(self) -> None:
        """Run everything once more in a new repository with the same sources, and compare."""
        done = self._repro()
        special = any("state" in record for record in self.claims.lock().values())
        special |= any(stage.get("frozen") for stage in self.claims.stages().values())
        if done is None or done.failed or special:
            return
        scratch = Project.create(self._folder / "scratch")
        made = [out for stage in self.claims.stages().values() for out in outs_of(stage)]
        # With empty folders: they too are part of a dataset.
        others = shutil.ignore_patterns(".git", "mlx.lock", "o", "m", "b")
        shutil.copytree(self.project.root, scratch.root, ignore=others, dirs_exist_ok=True)
        for path, data in self.project.files().items():
            if path.partition("/")[0] in "omb" and not any(covers(out, path) for out in made):
                scratch.write(path, data)
        scratch.do(repro)
        assert below(scratch.files(), made) == below(self.project.files(), made)
        mine, theirs = self.claims.lock(), read_lock(scratch.read("mlx.lock"))
        for name in [name for name in mine if name.startswith("stage:")]:
            assert mine[name] == theirs[name]
