"""Everything that mlx claims of a project, each claim held against the truth."""

from __future__ import annotations

import json
from typing import Any

from sandbox import Project
from toys import outs_of, stages_in
from truth import Files, Record, Truth, below, covers, entries, places_of, read_lock

from mlxrepo.commands.lock_check import lock_check
from mlxrepo.commands.status import status
from mlxrepo.errors import MlxError
from mlxrepo.repo.repo import Repo
from mlxrepo.store.tree import Entry


class Claims:
    """What status, lock check, the lockfile and the action cache of one project say.

    `accepted` are the records that somebody accepted: they need not be true, but have to say it.
    """

    count = 0  # of claims that a stage is as a run would make it, in all projects

    def __init__(self, project: Project, truth: Truth):
        self.project = project
        self.truth = truth
        self.accepted: set[str] = set()
        self._checked: set[str] = set()

    def stages(self) -> dict[str, Record]:
        return stages_in(self.project.read("mlx.yaml"))

    def lock(self) -> dict[str, Record]:
        path = self.project.path("mlx.lock")
        return read_lock(path.read_text()) if path.exists() else {}

    def check(self, *, after_all: bool = False) -> str:
        """Check every claim; return why none is made where the files cannot be read."""
        with self.project.repo() as repo:
            try:
                found = status(repo)
                checked = lock_check(repo)
            except MlxError as error:
                return error.message
            here = self.truth.learn(self.project.files())
            here = {path: data for path, data in here.items() if ".mlx-tmp" not in path}
            lock = self.lock()
            self._check_records(repo, lock)
            self._check_actions(repo)
            lock = self._counting(lock)
            self._check_status(repo, found.stages, here, lock)
            self._check_lock(repo, checked, here, lock)
            if after_all:
                self._check_all(found, checked, here, lock)
        return ""

    def _counting(self, lock: dict[str, Record]) -> dict[str, Record]:
        """Leave out records of stages that are gone, where another makes the same now."""
        known = {f"stage:{name}" for name in self.stages()}
        made = {place["path"] for name in known & lock.keys() for place in places_of(lock[name])}
        return {
            name: record
            for name, record in lock.items()
            if name in known or made.isdisjoint(place["path"] for place in places_of(record))
        }

    def check_merged(self, versions: list[dict[str, Record]]) -> None:
        """Look whether what both sides of a merge ran says so; versions are base, ours, theirs."""
        merged = self.lock()
        base, ours, theirs = ({n: r.get("key") for n, r in lock.items()} for lock in versions)
        for name in ours.keys() & theirs.keys():
            if len({base.get(name), ours[name], theirs[name]}) == 3:
                state = merged[name].get("state", {})
                assert not name.startswith("stage:") or state.get("unverified"), name

    def _check_records(self, repo: Repo, lock: dict[str, Record]) -> None:
        """Look whether each record tells of a run that would come out so, and is in the store."""
        for name, record in lock.items():
            for place in places_of(record):
                entry = Entry(place["kind"], place["oid"], place["size"])
                is_kept = not place.get("cache", True) or repo.store.is_whole(entry)
                assert is_kept, f"{name} says that {place['path']} is {place['oid']}: it is lost"
            if name.startswith("stage:"):
                if "accepted" in record.get("state", {}):
                    assert identity(record) in self.accepted, f"nobody accepted {name}"
                elif json.dumps(record) not in self._checked:
                    self._checked.add(json.dumps(record))
                    deps = [[d["path"], d["kind"], d["oid"]] for d in record.get("deps", [])]
                    wrong = self.truth.untrue(repo, record | {"deps": deps}, record["outs"])
                    assert not wrong, f"the record {name} is untrue: {wrong}"

    def _check_actions(self, repo: Repo) -> None:
        for name, entry in entries(self.project.path(".git/mlx/actions"), self._checked):
            self._checked.add(name)
            outs = [
                {"path": path, "kind": place[0], "oid": place[1]}
                for path, _, _, place in entry["outs"]
            ]
            wrong = self.truth.untrue(repo, entry["action"], outs)
            assert not wrong, f"the action cache is wrong: {wrong}"

    def _check_status(self, repo: Repo, found: Any, here: Files, lock: dict[str, Record]) -> None:
        """Check what status calls up to date, on what it says would be restored before."""
        stages = self.stages()
        counted = self.truth.counted(repo, here, lock)
        for item in found:
            stage, record = stages[item.stage], lock.get(f"stage:{item.stage}", {})
            accepted = "accepted" in record.get("state", {})
            exempt = accepted or stage.get("frozen", False)
            if item.word == "restore":
                made = self.truth.of_stage(stage, counted)
                made = self.truth.recorded(repo, record) if exempt else made
                assert made is not None, f"{item.stage} cannot be restored: its command fails"
                gone = below(counted, outs_of(stage))
                counted = {p: data for p, data in counted.items() if p not in gone} | made
            elif item.state == "up-to-date":
                Claims.count += 1
                assert "unverified" not in record.get("state", {}), item
                assert not accepted or "accepted by" in item.why, f"{item} does not say it"
                if not stage.get("frozen"):
                    words = {other.word for other in found if _reads(stage, stages[other.stage])}
                    assert words <= {"up-to-date", "restore"}, f"{item}, but before it: {words}"
                if not exempt:
                    made = self.truth.of_stage(stage, counted)
                    now = below(here, outs_of(stage))
                    assert made == now, f"{item} is untrue: {made} and not {now}"

    def _check_lock(self, repo: Repo, found: Any, here: Files, lock: dict[str, Record]) -> None:
        stages = self.stages()
        view = self.truth.as_recorded(repo, here, lock)
        for item in found:
            stage, record = stages[item.stage], lock.get(f"stage:{item.stage}", {})
            if item.state == "fresh":
                Claims.count += 1
                accepted = "accepted" in record.get("state", {})
                assert "unverified" not in record.get("state", {}), item
                assert bool(item.accepted) == accepted, f"{item} does not say it"
                if not stage.get("frozen"):
                    states = {other.state for other in found if _reads(stage, stages[other.stage])}
                    assert states <= {"fresh"}, f"{item}, but before it: {states}"
                if not accepted and not stage.get("frozen"):
                    made = self.truth.of_stage(stage, view)
                    now = below(view, outs_of(stage))
                    assert made == now, f"{item} is untrue: {made} and not {now}"

    def _check_all(self, found: Any, checked: Any, here: Files, lock: dict[str, Record]) -> None:
        """After a run of everything each stage is as it makes itself: so all is as from scratch."""
        stages = self.stages()
        always = any(stage.get("always_changed") for stage in stages.values())
        never = any(f"stage:{n}" not in lock for n, s in stages.items() if s.get("frozen"))
        for name, stage in stages.items():
            state = lock[f"stage:{name}"].get("state", {}) if not stage.get("frozen") else {}
            if "accepted" not in state and not stage.get("frozen"):
                assert self.truth.of_stage(stage, here) == below(here, outs_of(stage)), name
        if not always:
            assert {item.state for item in found.stages} == {"up-to-date"}, found.stages
            assert never or {item.state for item in checked} == {"fresh"}, checked


def identity(record: Record) -> str:
    """Return what of a record stays the same as long as it tells of the same result."""
    return json.dumps([record["key"], record["outs"]])


def _reads(stage: Record, other: Record) -> bool:
    """Say whether a stage reads what another makes."""
    return any(
        covers(out, dep) or covers(dep, out) for dep in stage["deps"] for out in outs_of(other)
    )
