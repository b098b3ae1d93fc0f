"""Two repositories, three worktrees and one store, used in any order and at the same time.

Commands are killed, held half-way while others run, or started together. Whatever happens, what
anything names stays whole, and a workspace holds the bytes that its user or a lockfile put there.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from moves import CONTENTS, NAMES, Act, Step, View, codes, compatible, moves, sensible
from oracle import TOPS, Oracle, Place, below, covers
from stepping import Done, Job, Stepper

LENGTHS = {"add": 90, "checkout": 50, "rm": 60, "gc": 80, "fsck": 60, "status": 20}  # in steps
MANY = 18  # files that go into a pack together
CODES = {0, 1, 2, 3, 4, 5, 130}


class Interleavings(RuleBasedStateMachine):
    stepper: Stepper

    @initialize(link=st.sampled_from(("copy", "copy", "hardlink")))
    def begin(self, link: str) -> None:
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.base = Path(tempfile.mkdtemp(dir=memory))
        self.link = link
        self.story = [f"link {link}"]
        self.said: list[str] = []
        self.failed = False
        self.places = {name: Place(self.base / name) for name in NAMES}
        for name in ("A", "B"):
            place = Place.create(self.base / name)
            place.git("config", "mlx.store", str(self.base / "store"))
            place.git("config", "mlx.link", link)
            place.commit("base")
        self.places["A"].git("worktree", "add", "-q", "-b", "w", str(self.base / "W"))
        self.oracle = Oracle(self.base / "store", self.places)
        self.ours: dict[str, set[str]] = {name: set() for name in NAMES}
        self.lengths = dict(LENGTHS)
        self.written: list[bytes] = []
        for name, path in (("A", "data/a"), ("B", "one.bin")):
            self.record(name, path, "0")
            self.git(name, "commit -qm x")

    @rule(move=moves)
    def move(self, move: tuple[str, dict[str, Any]]) -> None:
        """Do one thing; a rule for each would leave most of them out of most stories."""
        name, arguments = move
        with self._telling():
            getattr(self, name)(**arguments)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Let a failure tell its whole story: it can be typed in, or made a test."""
        try:
            yield
        except AssertionError as error:
            self.failed = True
            raise AssertionError("\n  ".join([str(error), *self.story, *self.said])) from error

    # what a user does

    def edit(self, name: str, path: str, content: str | int) -> None:
        data = self._bytes(content)
        self.story.append(f"{name}: write {path} {data[:9]!r}")
        self.written.append(data)
        full = self.places[name].path(path)
        if full.is_dir():
            shutil.rmtree(full)
        if full.parent.is_file() or self.link == "hardlink":  # an object must not be written into
            (full.parent if full.parent.is_file() else full).unlink(missing_ok=True)
        self.places[name].write(path, data)

    def _bytes(self, content: str | int) -> bytes:
        if isinstance(content, str):
            return CONTENTS[content]
        is_old = content < 0 and len(self.written) >= -content
        return self.written[content] if is_old else f"new {len(self.story)}\n".encode()

    def record(self, name: str, path: str, content: str | int) -> None:
        """Write and add: what was recorded before and not committed is garbage then."""
        self.edit(name, path, content)
        self.happen(Step(name, Act("add", path, pick=1)))

    def fill(self, name: str, top: str, seed: int, some: bool) -> None:
        count = MANY * 2 // 3 if some else MANY
        self.story.append(f"{name}: fill {top} with {count} files of {seed}")
        folder = self.places[name].path(top)
        for number in range(count):
            (folder / f"m{number:02}").unlink(missing_ok=True)
            self.places[name].write(f"{top}/m{number:02}", f"{seed} {number}\n")

    def delete(self, name: str, path: str) -> None:
        self.story.append(f"{name}: delete {path}")
        full = self.places[name].path(path)
        if full.is_dir():
            shutil.rmtree(full)
        elif full.exists():
            full.unlink()

    def git(self, name: str, words: str) -> None:
        """Let git do it, or refuse it; a conflict is given up."""
        place = self.places[name]
        if words.startswith("commit"):
            kept = ("mlx.yaml", "mlx.lock", ".gitignore", "sets/.gitignore")
            place.git("add", "--update")
            place.git("add", "--", *(file for file in kept if place.path(file).exists()))
        before = place.data()
        self.story.append(f"{name}: git {words}")
        place.git(*words.split(), check=False)
        if place.git("ls-files", "--unmerged"):
            place.git("reset", "--quiet", "--hard")
        assert place.data() == before
        self.check({})

    def alone(self, step: Step) -> None:
        self.happen(step)

    def collect(self, name: str) -> None:
        self.happen(Step(name, Act("gc")))

    def killed_at_a_step(self, step: Step, at: int, again: bool) -> None:
        done = self.happen(step, at=at, how="kill")
        if again and done[0].killed:
            self.happen(step)

    def killed_at_a_time(self, step: Step, after: int, again: bool) -> None:
        done = self.happen(step, after=float(after))
        if again and done[0].killed:
            self.happen(step)

    def held_while_gc_runs(
        self, name: str, path: str, content: str | int, act: Act, other: str, at: int
    ) -> None:
        self.edit(name, path, content)
        self.happen(Step(name, act), Step(other, Act("gc")), at=at, how="hold")

    def gc_held(
        self, name: str, path: str, content: str | int, act: Act, other: str, at: int
    ) -> None:
        self.edit(name, path, content)
        self.happen(Step(other, Act("gc")), Step(name, act), at=at, how="hold")

    def named_somewhere(self, name: str, path: str, words: str, other: str) -> None:
        """Record, let git keep that, record something else, and collect."""
        self.record(name, path, 0)
        for command in words.split("; "):
            self.git(name, command)
        self.record(name, path, 0)
        self.happen(Step(other, Act("gc")))

    def added_anew(self, name: str, path: str, other: str, at: int) -> None:
        """Let bytes that nothing names any more be added again while gc runs."""
        self.record(name, path, 0)
        self.record(name, path, 0)
        top = next(top for top in TOPS if covers(top, path))
        self.happen(Step(other, Act("rm", top, "--cached")))
        self.edit(other, path, -2)
        self.happen(Step(other, Act("add", top)), Step(name, Act("gc")), at=at, how="hold")

    def held_while_others_run(self, step: Step, at: int, more: list[Step]) -> None:
        self.happen(step, *more, at=at, how="hold")

    def together(self, step: Step, more: list[Step], after: int | None) -> None:
        self.happen(step, *more, after=after)

    def read_an_old_version(self, name: str, pick: int) -> None:
        place = self.places[name]
        commits = self.oracle.commits(place)
        commit = commits[pick % len(commits)]
        files = self.oracle.files(self.oracle.at(place, commit))
        for path in sorted(files)[pick % 3 :: 7][:2]:
            job = Job(("mlx", "cat", path, "--rev", commit), str(place.root))
            done = self.stepper.run(job)[0]
            assert done.code == 0, done
            assert done.out.encode() == files[path]

    # how it is judged

    def happen(self, *wanted: Step, at: int = 0, how: str = "", after: float | None = None):
        """Run steps side by side, the first held, killed or neither, and judge what they did."""
        before = self.views()
        chosen = self._chosen(before, wanted)
        jobs = [self._job(step) for step in chosen]
        verb = jobs[0].words[1]
        at = 1 + at * self.lengths[verb] // 100 if how else 0
        jobs[0] = Job(jobs[0].words, jobs[0].folder, at, how, after)
        sides = zip(chosen, jobs, strict=True)
        said = " || ".join(f"{step.place}: {' '.join(job.words)}" for step, job in sides)
        self.story.append(said + (f"  [{how or 'kill'} at {at or after}]" if at or after else ""))
        done = self.stepper.run(*jobs)
        self.lengths[verb] = max(20, done[0].steps) if not done[0].killed else self.lengths[verb]
        self.story[-1] += f" -> {[item.code for item in done]}"
        self.said = [item.out[:400] + item.err for item in done]
        self._judge(chosen, done, before)
        return done

    def views(self) -> dict[str, View]:
        return {name: View(place.data(), place.rows()) for name, place in self.places.items()}

    def _job(self, step: Step) -> Job:
        place = self.places[step.place]
        folder = str(place.root)
        if isinstance(step.act, str):
            return Job(("git", *step.act.split()), folder)
        verb, target, option, _, commit = step.act
        words = ["mlx", verb, *([target] if target else []), *([option] if option else [])]
        words += [commit] if commit else []
        if verb == "gc":
            words += [] if option == "--undo" else ["--yes"]
            words += [] if option else ["--grace", "0"]
        return Job(tuple(words), folder)

    def _chosen(self, before: dict[str, View], wanted: tuple[Step, ...]) -> list[Step]:
        """Return what can be done side by side, about things that are there."""
        chosen = []
        for step in compatible(wanted):
            act = step.act
            if isinstance(act, Act):
                act = sensible(before[step.place], act)
                if act.option == "--rev":
                    commits = self.oracle.commits(self.places[step.place])
                    act = act._replace(commit=commits[act.pick % len(commits)])
            chosen.append(Step(step.place, act))
        return chosen

    def check(self, before: dict[str, View]) -> None:
        """Learn what new rows hold, and look whether everything named is still there."""
        for name, place in self.places.items():
            for top, entry in place.rows().items():
                if entry not in self.oracle.known and name in before:
                    self._learn(before[name], top, entry)
        self.oracle.check_all()
        for name, place in self.places.items():
            self.ours[name].update(self.oracle.files(place.rows()))

    def _learn(self, before: View, top: str, entry) -> None:
        old = self.oracle.files(before.rows)
        self.oracle.known[entry] = self.oracle.read(entry)
        for path, data in self.oracle.files({top: entry}).items():
            assert data in (before.files.get(path), old.get(path)), f"{path} was recorded wrong"

    def _judge(self, chosen: list[Step], done: list[Done], before: dict[str, View]) -> None:
        for item in done:
            assert "Traceback" not in item.err, "a bug"
            assert item.killed or item.job.words[0] == "git" or item.code in CODES, "a strange code"
        self.check(before)
        after = self.views()
        worked = {
            s.place: s.act for s in chosen if not isinstance(s.act, str) and s.act.changes_workspace
        }
        for name in NAMES:
            self._judge_workspace(name, worked.get(name), before[name], after[name])
        gits = {s.place for s in chosen if isinstance(s.act, str)}
        for step, item in zip(chosen, done, strict=True):
            if isinstance(step.act, Act) and not item.killed and step.place not in gits:
                view = before[step.place]
                assert item.code in codes(step.act, view), "an unexpected code"
                assert "not in the store" not in item.err, "something is missing"
                if item.code == 0:
                    self._judge_result(step, view, after[step.place])

    def _judge_workspace(self, name: str, act: Act | None, before: View, after: View) -> None:
        if act is None or act.verb == "add":
            assert after.files == before.files, f"the workspace of {name} changed"
            return
        wanted = [self.oracle.files(view.rows) for view in (before, after)]
        if act.commit:
            wanted = [self.oracle.files(self.oracle.at(self.places[name], act.commit))]
        if act.verb == "rm":
            wanted = []
        for path in before.files.keys() | after.files.keys():
            old, new = before.files.get(path), after.files.get(path)
            if old == new:
                continue
            if new is not None:
                assert new in [files.get(path) for files in wanted], f"{path} of {name} is wrong"
            elif act.option != "--force":
                # A file where mlx had put a folder counts as a change of it.
                is_ours = any(covers(path, mine) for mine in self.ours[name])
                assert is_ours, f"{path} of {name} was never mlx's to remove"
            if old is not None:
                is_kept = self.oracle.is_stored(old)
                is_kept |= act.option == "--force" and old in self.places[name].trash()
                assert is_kept, f"what was at {path} of {name} is lost"
        for files in wanted:
            self.ours[name].update(files)

    def _judge_result(self, step: Step, before: View, after: View) -> None:
        """Say whether a command that succeeded did what it is for."""
        act = step.act
        assert isinstance(act, Act)
        if act.verb == "add" and act.target != "-u":
            recorded = self.oracle.files(after.rows)
            wanted = below(before.files, act.target)
            assert wanted.items() <= recorded.items(), f"{act.target} is not recorded"
        elif act.verb == "rm":
            gone = self.oracle.files({t: e for t, e in before.rows.items() if t == act.target})
            assert act.target not in after.rows
            assert act.option == "--cached" or not gone.keys() & after.files.keys()
            assert act.option != "--cached" or after.files == before.files
        elif act.verb == "checkout":
            rows = before.rows
            if act.commit:
                rows = self.oracle.at(self.places[step.place], act.commit)
            wanted = self.oracle.files(rows)
            wanted = below(wanted, act.target) if act.target else wanted
            assert wanted.items() <= after.files.items(), "it is not checked out"

    def teardown(self) -> None:
        try:
            if not self.failed:
                with self._telling():
                    self._close()
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    def _close(self) -> None:
        """Look at everything once more, through mlx and in a fresh clone."""
        for name in NAMES:
            self.happen(Step(name, Act("fsck", option="--data")))
        for name in ("A", "B"):
            clone = Place(self.base / f"{name}-clone")
            self.places[name].git("clone", "-q", "--no-checkout", ".", str(clone.root))
            clone.git("config", "mlx.store", str(self.base / "store"))
            for commit in self.oracle.commits(clone)[:6]:
                clone.git("checkout", "-q", "--force", "--detach", commit)
                done = self.stepper.run(Job(("mlx", "checkout"), str(clone.root)))[0]
                assert done.code == 0, done
                assert clone.data() == self.oracle.files(clone.rows())


CALM = settings(
    database=None,
    verbosity=Verbosity.quiet,  # each failure tells its story itself
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # the story is short enough, and shrinking takes minutes
)


@pytest.fixture(autouse=True)
def _stepper() -> Iterator[None]:
    Interleavings.stepper = Stepper()
    yield
    Interleavings.stepper.close()


def test_what_is_added_while_gc_asks_what_is_needed_is_whole() -> None:
    """The new listing is found too late, and is all that names what the old one held."""
    story = Interleavings()
    story.begin("copy")
    try:
        for at in range(5, 60, 10):
            story.record("B", "sets/raw/x", 0)
            story.fill("B", "sets/raw", at, some=False)
            story.happen(Step("A", Act("gc")), Step("B", Act("add", "sets/raw")), at=at, how="hold")
    finally:
        shutil.rmtree(story.base)


def test_some_interleavings_lose_nothing() -> None:
    few = settings(CALM, derandomize=True, max_examples=3, stateful_step_count=25)
    run_state_machine_as_test(Interleavings, settings=few)


@pytest.mark.nightly
@pytest.mark.timeout(0)
def test_many_interleavings_lose_nothing() -> None:
    many = settings(CALM, max_examples=400, stateful_step_count=50)
    run_state_machine_as_test(Interleavings, settings=many)
