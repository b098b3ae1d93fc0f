"""Results of stages that others made: sent with `mlx push`, taken with `mlx repro --pull`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from places import Server, Spot, free_port
from sandbox import Killer, Project

from mlxrepo.codec import canonical
from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fetch import fetch
from mlxrepo.commands.push import Pushed, push
from mlxrepo.errors import MlxError
from mlxrepo.hashing import RESULT_CONTEXT, keyed_oid
from mlxrepo.store.folder import Folder

STAGES = """
stages:
  clean:
    cmd: echo clean >> "$RAN"; tr a-z A-Z < data/raw.txt > clean.txt
    deps: [data/raw.txt]
    outs: [clean.txt]
  split:
    cmd: echo split >> "$RAN"; mkdir -p parts/deep; rev clean.txt > parts/deep/a; seq 9 > parts/b
    deps: [clean.txt]
    outs: [parts]
  train:
    cmd: >-
      echo train >> "$RAN"; cat parts/deep/a params.yaml > model.txt;
      echo '{"loss":0.5}' > metrics.json
    deps: [parts/deep]
    params: [rate]
    outs: [model.txt]
    metrics: [metrics.json: {cache: false}]
  report:
    cmd: echo report >> "$RAN"; wc -c < model.txt > report.txt
    deps: [model.txt]
    outs: [report.txt]
"""
ALL = ("clean", "split", "train", "report")


class Team:
    """A project that CI has run and pushed, without a commit; others clone it."""

    def __init__(self, base: Project, spot: Spot, ran: Path):
        self.base, self.spot, self._ran = base, spot, ran

    def clone(self, name: str) -> Pipeline:
        path = self.base.root.parent / name
        self.base.git("clone", "--quiet", str(self.base.root), str(path))
        clone = Project(path)
        self.spot.configure(clone)
        return Pipeline(clone)

    def ran(self) -> list[str]:
        """Return the stages whose commands ran since this was asked last."""
        found = self._ran.read_text().split() if self._ran.exists() else []
        self._ran.write_text("")
        return found

    def ci(self) -> Pipeline:
        """Run everything elsewhere, and push it."""
        ci = self.clone("ci")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GIT_AUTHOR_EMAIL", "ci@example.com")
            done = ci.outcomes(pull=True)
        assert set(done.values()) == {"ran"}
        assert sorted(self.ran()) == sorted(ALL)
        assert pushed(ci).actions == 4
        return ci


def pushed(pipe: Pipeline, **options: object) -> Pushed:
    (found,) = pipe.project.do(push, **options)  # type: ignore[arg-type]
    assert found.missing == ()
    return found


@pytest.fixture
def started(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Team]:
    monkeypatch.setenv("RAN", str(tmp_path / "ran.txt"))

    def start(spot: Spot) -> Team:
        project.write("data/raw.txt", "abc\n")
        project.write("params.yaml", "rate: 1\n")
        project.write("mlx.yaml", STAGES)
        project.do(add, ["data"])
        project.commit()
        spot.configure(project)
        project.do(push)
        return Team(project, spot, tmp_path / "ran.txt")

    return start


@pytest.fixture
def team(started: Callable[..., Team], folder: Spot) -> Team:
    return started(folder)


def entries(folder: Spot) -> list[Path]:
    return [path for path in folder.files if "actions" in path.parts]


def notes(pipe: Pipeline, stage: str) -> list[str]:
    """Return what the last run told about a stage."""
    told = [event.text for event in pipe.events if event.kind == "note" and event.stage == stage]
    for event in pipe.events:
        if event.report and event.stage == stage:
            told += event.report.notes
    return told


def outs_here(pipe: Pipeline) -> set[str]:
    return set(pipe.project.files()) & {
        "clean.txt",
        "parts/b",
        "model.txt",
        "metrics.json",
        "report.txt",
    }


def asked_of(folder: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the list to which every request from now on is added: what, and of which folder."""
    asked: list[tuple[str, str]] = []
    for name in ("files", "size", "read", "read_range", "write", "send", "delete"):
        real = getattr(Folder, name)

        def counted(self: Folder, path: str, *rest: object, real=real, name=name):  # type: ignore[no-untyped-def]
            if not folder or path.split("/")[0] == folder:
                asked.append((name, path.split("/")[0]))
            return real(self, path, *rest)

        monkeypatch.setattr(Folder, name, counted)
    return asked


def test_what_ci_ran_is_recorded_elsewhere_without_a_command_and_without_data(
    started: Callable[..., Team], spot: Spot
) -> None:
    team = started(spot)
    ci = team.ci()
    colleague = team.clone("colleague")
    assert colleague.outcomes(pull=True) == dict.fromkeys(ALL, "restored")
    assert team.ran() == []
    assert colleague.path("mlx.lock").read_bytes() == ci.path("mlx.lock").read_bytes()
    # Records and what git keeps, no data: not even what the stages read.
    assert outs_here(colleague) == {"metrics.json"}
    assert "data/raw.txt" not in colleague.project.files()
    head = colleague.project.git("rev-parse", "HEAD")[:12]
    (note,) = notes(colleague, "train")
    assert re.fullmatch(
        f"taken from the remote origin: made by ci@example.com on .+ at commit {head}", note
    )
    # A second look finds it up to date; so does a dry run, and one who has the data.
    assert set(colleague.outcomes(pull=True).values()) == {"up-to-date"}
    assert colleague.project.do(fetch)[0].missing == ()
    colleague.project.do(checkout)
    assert colleague.read("model.txt") == ci.read("model.txt")
    assert set(colleague.outcomes().values()) == {"up-to-date"}
    assert team.ran() == []


def test_a_stage_that_has_to_run_gets_what_it_needs_and_nothing_else(
    started: Callable[..., Team], rclone: Server
) -> None:
    team = started(rclone.spot())
    team.ci()
    colleague = team.clone("colleague")
    colleague.outcomes(pull=True)
    colleague.write("params.yaml", "rate: 2\n")
    done = colleague.outcomes(pull=True)
    assert done == {"clean": "up-to-date", "split": "up-to-date", "train": "ran", "report": "ran"}
    assert team.ran() == ["train", "report"]
    assert colleague.read("model.txt") == "CBA\nrate: 2\n"
    here = set(colleague.project.files())
    assert "parts/deep/a" in here  # the dependency, and no more of its folder
    assert here.isdisjoint({"parts/b", "clean.txt", "data/raw.txt"})
    assert set(colleague.outcomes(pull=True).values()) == {"up-to-date"}
    assert "parts/b" not in colleague.project.files()
    # What is absent is no deletion.
    assert "deleted" not in colleague.project.mlx("status").stdout
    assert colleague.project.mlx("pull").returncode == 0
    assert colleague.read("parts/b") == "".join(f"{n}\n" for n in range(1, 10))
    assert set(colleague.outcomes().values()) == {"up-to-date"}


def test_an_old_out_is_replaced_by_what_the_remote_has(team: Team) -> None:
    ci = team.ci()
    colleague = team.clone("colleague")
    colleague.outcomes(pull=True)
    colleague.project.mlx("pull")
    ci.write("params.yaml", "rate: 3\n")
    assert ci.outcomes()["train"] == "ran"
    assert pushed(ci).actions == 2
    team.ran()
    colleague.write("params.yaml", "rate: 3\n")
    done = colleague.outcomes(pull=True)
    assert done == {
        "clean": "up-to-date", "split": "up-to-date", "train": "restored", "report": "restored",
    }  # fmt: skip
    assert (colleague.read("model.txt"), team.ran()) == ("CBA\nrate: 3\n", [])


def test_records_of_a_commit_need_no_data_and_no_command(team: Team) -> None:
    ci = team.ci()
    ci.project.commit()
    fresh = team.clone("fresh")
    fresh.project.git("pull", "--quiet", str(ci.root), "main")
    assert set(fresh.outcomes(pull=True).values()) == {"up-to-date"}
    assert team.ran() == []
    assert outs_here(fresh) == {"metrics.json"}
    fresh.outcomes("report", pull=True, single=True, force=True)
    assert team.ran() == ["report"]
    assert outs_here(fresh) == {"metrics.json", "model.txt", "report.txt"}


def test_a_dry_run_says_it_and_takes_nothing(team: Team) -> None:
    team.ci()
    colleague = team.clone("colleague")
    before = colleague.project.files()
    assert colleague.outcomes(dry_run=True, pull=True) == dict.fromkeys(ALL, "restore")
    assert colleague.project.files() == before
    assert colleague.project.mlx("repro", "-n", "--pull", "--exit-code").returncode == 0


def test_without_pull_nothing_is_asked(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.ci()
    colleague = team.clone("colleague")
    colleague.project.mlx("pull")
    asked = asked_of("", monkeypatch)
    assert set(colleague.outcomes().values()) == {"ran"}
    assert asked == []


def test_what_is_settled_asks_nothing(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    ci = team.ci()
    asked = asked_of("", monkeypatch)
    assert set(ci.outcomes(pull=True).values()) == {"up-to-date"}
    assert asked == []


def test_each_key_is_asked_for_once_and_only_where_a_stage_would_run(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    ci = team.ci()
    ci.write("params.yaml", "rate: 7\n")
    asked = asked_of("actions", monkeypatch)
    assert ci.outcomes(pull=True)["train"] == "ran"
    assert asked == [("files", "actions")] * 2  # train's key, and report's


# pushing


def test_a_no_op_push_asks_for_no_entry(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    ci = team.ci()
    asked = asked_of("", monkeypatch)
    again = pushed(ci)
    assert (again.objects, again.actions) == (0, 0)
    assert asked == [("files", "indexes")]


def test_entries_are_the_files_that_are_here(team: Team, folder: Spot) -> None:
    ci = team.ci()
    for path in entries(folder):
        key, name = path.parts[-2:]
        assert ci.path(f".git/mlx/actions/{key}/{name}").read_bytes() == path.read_bytes()
        assert keyed_oid(RESULT_CONTEXT, path.read_bytes()) == name
    assert len(entries(folder)) == 4


def test_entries_come_after_the_index_and_a_killed_push_sends_them_later(
    team: Team, folder: Spot
) -> None:
    ci = team.clone("ci")
    ci.outcomes(pull=True)
    killed = ci.project.mlx("push", env={"MLXREPO_FAILPOINT": "push.before-actions"})
    assert killed.returncode == -9
    assert entries(folder) == []
    done = ci.project.mlx("push")
    assert "sent 4 results of stages to origin" in done.stdout
    again = json.loads(ci.project.mlx("--json", "push").stdout)
    assert again["remotes"][0]["actions"] == 0
    assert len(entries(folder)) == 4
    team.ran()
    assert set(team.clone("other").outcomes(pull=True).values()) == {"restored"}


def test_a_setting_keeps_them_here_and_a_dry_run_counts(team: Team, folder: Spot) -> None:
    ci = team.clone("ci")
    ci.outcomes(pull=True)
    assert pushed(ci, dry_run=True).actions == 4
    assert entries(folder) == []
    ci.project.git("config", "mlx.pushActions", "false")
    assert pushed(ci).actions == 0
    assert entries(folder) == []
    ci.project.git("config", "mlx.pushActions", "perhaps")
    assert ci.project.mlx("push").returncode == 2


def test_an_entry_waits_for_outs_that_stay_here(team: Team, folder: Spot) -> None:
    ci = team.clone("ci")
    text = STAGES.replace("outs: [clean.txt]", "outs: [clean.txt: {push: false}]")
    ci.write("mlx.yaml", text)
    ci.outcomes(pull=True)
    assert pushed(ci).actions == 3
    keys = {path.parts[-2] for path in entries(folder)}
    assert ci.record("clean").key not in keys


def test_entries_that_a_gc_of_the_remote_took_are_sent_again(team: Team, folder: Spot) -> None:
    ci = team.ci()
    assert folder.folder is not None
    for path in folder.files:  # as a gc by somebody for whom nothing here was needed
        if "actions" in path.parts:
            path.unlink()
    (folder.folder / "indexes" / "swept-0123456789abcdef").write_text("\n")
    again = pushed(ci)
    assert again.actions == 4
    assert len(entries(folder)) == 4


# what is not believed


def test_a_damaged_entry_is_not_taken_and_named(team: Team, folder: Spot) -> None:
    ci = team.ci()
    key = ci.record("clean").key
    (entry,) = (path for path in entries(folder) if path.parts[-2] == key)
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b"clean.txt", b"cleam.txt"))
    colleague = team.clone("colleague")
    done = colleague.outcomes(pull=True)
    assert (done["clean"], done["split"], team.ran()) == ("ran", "restored", ["clean"])
    (note,) = notes(colleague, "clean")
    assert f"damaged, and not taken: actions/{key}/" in note


@pytest.mark.parametrize("lie", ["action", "outs", "oid", "kind", "made", "metrics"])
def test_an_entry_that_lies_about_itself_is_not_taken(team: Team, folder: Spot, lie: str) -> None:
    ci = team.ci()
    key = ci.record("clean").key
    (entry,) = (path for path in entries(folder) if path.parts[-2] == key)
    value = json.loads(entry.read_bytes())
    if lie == "action":
        value["action"]["cmd"] = ["rm -r everything"]
    elif lie == "outs":
        value["outs"][0][0] = "data/raw.txt"
    elif lie == "oid":
        value["outs"][0][3][1] = "../" * 21 + "x"
    elif lie == "kind":
        value["outs"][0][3][0] = "symlink"
    else:
        value[lie] = {"by": 3} if lie == "made" else {"f": 3}
    data = canonical(value)
    entry.unlink()
    entry.with_name(keyed_oid(RESULT_CONTEXT, data)).write_bytes(data)
    colleague = team.clone("colleague")
    assert colleague.outcomes(pull=True)["clean"] == "ran"
    assert team.ran() == ["clean"]
    assert "damaged" in notes(colleague, "clean")[0]


@pytest.mark.parametrize("stage", ["clean", "split"])  # a file, and a folder
@pytest.mark.parametrize("part", ["size", "files"])
@pytest.mark.parametrize("has_data", [False, True])
def test_an_entry_that_counts_wrong_is_not_taken(
    team: Team, folder: Spot, stage: str, part: str, has_data: bool
) -> None:
    ci = team.ci()
    key = ci.record(stage).key
    (entry,) = (path for path in entries(folder) if path.parts[-2] == key)
    value = json.loads(entry.read_bytes())
    value["outs"][0][3][2 if part == "size" else 3] += 76
    data = canonical(value)
    entry.unlink()
    entry.with_name(keyed_oid(RESULT_CONTEXT, data)).write_bytes(data)
    colleague = team.clone("colleague")
    if has_data:
        for name in ("objects", "trees"):
            shutil.copytree(ci.path(f".git/mlx/{name}"), colleague.path(f".git/mlx/{name}"))
    done = colleague.outcomes(pull=True)
    assert (team.ran(), done.pop(stage)) == ([stage], "ran")
    assert set(done.values()) == {"restored"}
    assert "damaged" in notes(colleague, stage)[0]
    assert colleague.path("mlx.lock").read_bytes() == ci.path("mlx.lock").read_bytes()


def test_the_size_of_what_only_this_clone_has_is_looked_at_too(team: Team, folder: Spot) -> None:
    ci = team.ci()
    key = ci.record("clean").key
    (entry,) = (path for path in entries(folder) if path.parts[-2] == key)
    value = json.loads(entry.read_bytes())
    colleague = team.clone("colleague")
    for number, size in enumerate((10, 2 << 20)):  # in a pack or a small file, and a large one
        colleague.write("own/file.bin", os.urandom(size))
        colleague.project.do(add, ["own"])
        with colleague.project.repo() as repo:
            own = next(t.entry for t in repo.observed.tracked() if t.path == "own")
            (mine,) = repo.store.tree(own.oid).values()
        value["outs"][0][3] = [mine.kind, mine.oid, 4, 1]
        data = canonical(value)
        entry.unlink()
        entry = entry.with_name(keyed_oid(RESULT_CONTEXT, data))
        entry.write_bytes(data)
        assert colleague.outcomes("clean", pull=True, dry_run=True) == {"clean": "run"}, number


def test_results_of_somebody_else_are_not_taken_and_named(team: Team) -> None:
    team.ci()
    colleague = team.clone("colleague")
    colleague.project.git("config", "mlx.trust", "*@elsewhere.org, build-*")
    assert set(colleague.outcomes(pull=True).values()) == {"ran"}
    (note,) = notes(colleague, "clean")
    assert re.fullmatch(
        "a result on the remote origin is by ci@example.com on .+, whom mlx.trust does not name",
        note,
    )
    for setting in ("ci@example.com", "*@EXAMPLE.com", "nobody, ci@*"):
        other = team.clone(f"other-{len(setting)}")
        other.project.git("config", "mlx.trust", setting)
        assert set(other.outcomes(pull=True).values()) == {"restored"}
    last = team.clone("last")
    for value in ("a@b.c", "ci@example.com"):  # given twice, both count
        last.project.git("config", "--add", "mlx.trust", value)
    assert set(last.outcomes(pull=True).values()) == {"restored"}
    last.project.git("config", "--replace-all", "mlx.trust", "")
    last.write("params.yaml", "rate: 9\n")
    assert last.project.mlx("repro", "--pull").returncode == 2


def test_an_entry_whose_objects_are_missing_is_not_taken(team: Team, folder: Spot) -> None:
    team.ci()
    for path in folder.files:
        if "indexes" in path.parts:
            path.unlink()
    team.base.git("config", "mlx.pushActions", "false")
    (found,) = team.base.do(push)  # data is there again, and nothing of what CI made
    assert found.missing == ()
    colleague = team.clone("colleague")
    assert set(colleague.outcomes(pull=True).values()) == {"ran"}
    assert notes(colleague, "clean") == ["clean.txt is not on the remote origin"]


def lose(folder: Spot, what: bytes) -> None:
    """Damage the object that holds some bytes, wherever it lies in a pack as it is."""
    hit = 0
    for path in folder.files:
        if path.suffix == ".pack" and what in (data := path.read_bytes()):
            path.chmod(0o644)
            path.write_bytes(data.replace(what, what[::-1]))
            hit += 1
    assert hit


def test_an_out_that_turns_out_damaged_is_made_anew(team: Team, folder: Spot) -> None:
    team.ci()
    colleague = team.clone("colleague")
    assert set(colleague.outcomes(pull=True).values()) == {"restored"}
    colleague.write("params.yaml", "rate: 2\n")
    lose(folder, b"CBA\n")  # parts/deep/a
    done = colleague.outcomes(pull=True)
    assert done["train"] == "ran"
    assert team.ran() == ["split", "train", "report"]
    assert colleague.read("model.txt") == "CBA\nrate: 2\n"
    assert set(notes(colleague, "split")) == {"parts is damaged on the remote origin"}
    assert set(colleague.outcomes(pull=True).values()) == {"up-to-date"}


def test_an_out_whose_pack_is_gone_is_made_anew(team: Team, folder: Spot) -> None:
    team.ci()
    colleague = team.clone("colleague")
    before = set(folder.files)
    assert set(colleague.outcomes(pull=True).values()) == {"restored"}
    for path in before:
        if path.suffix == ".pack" and b"CBA\n" in path.read_bytes():
            path.unlink()
    colleague.write("params.yaml", "rate: 2\n")
    assert colleague.outcomes(pull=True)["train"] == "ran"
    assert team.ran() == ["clean", "split", "train", "report"]


def test_only_what_a_gone_pack_held_is_made_anew(team: Team, folder: Spot) -> None:
    text = """
stages:
  one:
    cmd: echo one >> "$RAN"; echo first > outs/one.txt
    outs: [outs/one.txt]
  two:
    cmd: echo two >> "$RAN"; echo second > outs/two.txt
    outs: [outs/two.txt]
  all:
    cmd: cat outs/* params.yaml > all.txt
    deps: [outs]
    params: [rate]
    outs: [all.txt]
"""
    ci, colleague = team.clone("ci"), team.clone("colleague")
    for pipe in (ci, colleague):
        pipe.write("mlx.yaml", text)
    ci.outcomes()
    for target in ("one", "two", "all"):  # a pack each
        assert [item.actions for item in ci.project.do(push, [target])] == [1]
    assert set(colleague.outcomes(pull=True).values()) == {"restored"}
    team.ran()
    for path in folder.files:
        if path.suffix == ".pack" and b"second\n" in path.read_bytes():
            path.unlink()
    colleague.write("params.yaml", "rate: 2\n")
    done = colleague.outcomes(pull=True)
    assert done == {"one": "up-to-date", "two": "ran", "all": "ran"}
    assert team.ran() == ["two"]
    assert colleague.read("all.txt") == "first\nsecond\nrate: 2\n"


def test_what_was_taken_is_not_sent_back(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.ci()
    colleague = team.clone("colleague")
    colleague.outcomes(pull=True)
    asked = asked_of("", monkeypatch)
    again = pushed(colleague)
    assert (again.objects, again.actions) == (0, 0)
    assert asked == [("files", "indexes")]


def test_patterns_and_params_that_stages_make_are_found_where_they_are_absent(team: Team) -> None:
    text = """
stages:
  split:
    cmd: mkdir -p parts/x; echo 1 > parts/x/a.csv; echo 2 > parts/x/b.csv
    outs: [parts]
  tune:
    cmd: "echo 'best: 3' > best.yaml"
    outs: [best.yaml]
  train:
    cmd: cat parts/x/*.csv best.yaml params.yaml > model.txt
    deps: [parts/x/*.csv]
    params: [rate, best.yaml: [best]]
    outs: [model.txt]
"""
    pipes = [team.clone("ci"), team.clone("colleague"), team.clone("late")]
    for pipe in pipes:
        pipe.write("mlx.yaml", text)
    ci, colleague, late = pipes
    ci.outcomes()
    pushed(ci)
    assert set(colleague.outcomes(pull=True, dry_run=True).values()) == {"restore"}
    assert set(colleague.outcomes(pull=True).values()) == {"restored"}
    assert not colleague.path("parts").exists()
    colleague.write("params.yaml", "rate: 5\n")
    done = colleague.outcomes(pull=True)
    assert done == {"split": "up-to-date", "tune": "up-to-date", "train": "ran"}
    assert colleague.read("model.txt") == "1\n2\nbest: 3\nrate: 5\n"
    late.write("params.yaml", "rate: 6\n")
    assert late.outcomes(pull=True)["train"] == "ran"
    assert late.read("model.txt") == "1\n2\nbest: 3\nrate: 6\n"


def test_data_in_part_here_is_completed_for_a_stage_that_runs(team: Team, folder: Spot) -> None:
    base = team.base
    base.write("data/more/one.txt", "one\n")
    base.write("data/more/two.txt", "two\n")
    base.do(add, ["data"])
    text = "stages:\n  all:\n    cmd: cat data/more/* > all.txt\n"
    base.write("mlx.yaml", text + "    deps: [data]\n    outs: [all.txt]\n")
    base.do(add, ["data"])
    base.commit()
    base.do(push)
    colleague = team.clone("colleague")
    colleague.project.mlx("pull", "data/more/one.txt")
    colleague.write("data/more/one.txt", "edited\n")
    assert colleague.outcomes(pull=True) == {"all": "ran"}
    assert colleague.read("all.txt") == "edited\ntwo\n"


def test_a_frozen_stage_without_its_outs_stays_as_recorded(team: Team) -> None:
    ci = team.ci()
    ci.project.commit()
    fresh = team.clone("fresh")
    fresh.project.git("pull", "--quiet", str(ci.root), "main")
    text = STAGES.replace("    deps: [clean.txt]", "    frozen: true\n    deps: [clean.txt]")
    fresh.write("mlx.yaml", text.replace("seq 9", "seq 8"))
    fresh.write("params.yaml", "rate: 4\n")
    done = fresh.outcomes("train", pull=True)
    assert done == {"split": "up-to-date", "train": "ran"}
    assert team.ran() == ["train"]


def test_a_deleted_out_comes_back_also_when_the_store_has_lost_it(team: Team) -> None:
    ci = team.ci()
    ci.path("model.txt").unlink()
    for folder in ("objects", "trees", "packs"):
        shutil.rmtree(ci.path(f".git/mlx/{folder}"), ignore_errors=True)
    assert ci.outcomes(pull=True)["train"] == "restored"
    assert (ci.read("model.txt"), team.ran()) == ("CBA\nrate: 1\n", [])


def test_absent_outs_are_no_deletions_for_other_commands(team: Team) -> None:
    team.ci()
    colleague = team.clone("colleague")
    colleague.outcomes(pull=True)
    colleague.project.git("add", "--all")
    colleague.project.commit()
    assert colleague.project.mlx("status").returncode == 0
    assert "deleted" not in colleague.project.mlx("status").stdout
    assert colleague.project.mlx("checkout").returncode == 1  # not in the store, and it says so
    assert colleague.project.mlx("gc", "--grace", "0").returncode == 0
    assert set(colleague.outcomes(pull=True).values()) == {"up-to-date"}
    assert team.ran() == []


def test_outs_that_name_a_remote_come_from_theirs(team: Team, tmp_path: Path) -> None:
    text = STAGES.replace("outs: [clean.txt]", "outs: [clean.txt: {remote: second}]")
    ci, fresh = team.clone("ci"), team.clone("fresh")
    for pipe in (ci, fresh):
        pipe.project.git("config", "mlx.remote.second.url", str(tmp_path / "second"))
        pipe.project.git("config", "mlx.remote", "origin")
    ci.write("mlx.yaml", text)
    ci.outcomes(pull=True)
    done = {item.remote: item.actions for item in ci.project.do(push)}
    assert done == {"origin": 3, "second": 1}  # each where all its outs are
    ci.project.commit()
    fresh.project.git("pull", "--quiet", str(ci.root), "main")
    assert set(fresh.outcomes(pull=True).values()) == {"up-to-date"}
    team.ran()
    fresh.write("mlx.yaml", text.replace("seq 9", "seq 8"))
    assert fresh.outcomes("split", pull=True) == {"clean": "up-to-date", "split": "ran"}
    assert team.ran() == ["split"]


def test_it_can_be_killed_at_any_durable_step(team: Team, killer: Killer, tmp_path: Path) -> None:
    ci = team.ci()
    fresh = team.clone("fresh")
    fresh.write("report.txt", "old\n")  # in the way of what is restored
    for step in range(0, 60, 3):
        copy = Pipeline(Project(tmp_path / f"copy{step}"))
        shutil.copytree(fresh.root, copy.root, symlinks=True)
        was_killed = killer.killed(step, copy.project, "repro", "--pull")
        assert "failed" not in copy.outcomes(pull=True).values()
        assert copy.path("mlx.lock").read_bytes() == ci.path("mlx.lock").read_bytes()
        assert outs_here(copy) == {"metrics.json", "report.txt"}
        assert copy.read("report.txt") == ci.read("report.txt")
        if not was_killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert step > 5
    assert team.ran() == []


def test_of_several_results_the_one_in_history_is_taken(team: Team, folder: Spot) -> None:
    text = "stages:\n  draw:\n    cmd: head -c 8 /dev/urandom > d.bin\n    outs: [d.bin]\n"
    made = {}
    for name in ("one", "two", "three"):
        pipe = team.clone(name)
        pipe.write("mlx.yaml", text)
        pipe.project.git("rm", "--quiet", "--cached", "mlx.lock")
        pipe.path("mlx.lock").unlink()
        pipe.outcomes()
        assert pushed(pipe).actions == 1
        pipe.project.commit()
        made[name] = pipe
    assert len({pipe.record("draw").outs for pipe in made.values()}) == 3
    assert len(entries(folder)) == 3
    for name, pipe in made.items():
        other = team.clone(f"after-{name}")
        other.project.git("pull", "--quiet", str(pipe.root), "main")
        other.path("mlx.lock").unlink()
        assert other.outcomes(pull=True) == {"draw": "restored"}
        assert other.record("draw").outs == pipe.record("draw").outs


# the remote


def test_a_remote_out_of_reach_ends_the_run(team: Team) -> None:
    colleague = team.clone("colleague")
    colleague.project.git("config", "mlx.remote.origin.url", "s3://bucket/x")
    endpoint = f"http://127.0.0.1:{free_port()}"
    colleague.project.git("config", "mlx.remote.origin.endpoint", endpoint)
    done = colleague.project.mlx("repro", "--pull")
    assert done.returncode == 5
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert team.ran() == []


def test_another_remote_and_the_screen(team: Team, tmp_path: Path) -> None:
    ci = team.ci()
    ci.project.git("config", "mlx.remote.second.url", str(tmp_path / "second"))
    assert ci.project.mlx("push", "-r", "second").returncode == 0
    colleague = team.clone("colleague")
    colleague.project.git("config", "mlx.remote.origin.url", str(tmp_path / "none"))
    colleague.project.git("config", "mlx.remote.second.url", str(tmp_path / "second"))
    done = colleague.project.mlx("repro", "--pull", "-r", "second")
    assert "train: restored" in done.stdout
    assert "  note: taken from the remote second: made by ci@example.com on " in done.stderr
    assert colleague.project.mlx("repro", "-r", "second").returncode == 2
    assert team.ran() == []
    with pytest.raises(MlxError, match="there is no remote"):
        colleague.repro(pull=True, remote="third")
