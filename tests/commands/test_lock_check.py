"""lock check: fresh, stale or unknown, in a clone that has git's files and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.lock_check import Checked, lock_check
from mlxrepo.errors import CannotDecide
from mlxrepo.pipeline.freshness import freshness
from mlxrepo.repo.committed import Commits

PIPELINE = """
datasets:
  raw: {path: data/raw}
  table: {path: data/table.csv}
environment:
  files: [uv.lock]
  interpreter: python
  variables: [FLAVOUR]
stages:
  prepare:
    cmd: cat data/raw/* > prepared.txt
    deps: [data/raw, prepare.py]
    outs: [prepared.txt]
  train:
    cmd: cat prepared.txt data/table.csv params.yaml > model.txt; wc -c < model.txt > size.json
    deps: [prepared.txt, data/table.csv]
    params: [lr]
    outs: [model.txt]
    metrics: [size.json: {cache: false}]
"""


class Clone:
    """A pipeline that ran, and a clone of it without data and store."""

    def __init__(self, project: Project):
        self.origin = project
        project.fill("data/raw", 3)
        for path, text in {
            "data/table.csv": "1,2\n",
            "prepare.py": "code\n",
            "params.yaml": "lr: 1\n",
            "uv.lock": "numpy 2\n",
        }.items():
            project.write(path, text)
        project.do(add, ["data/raw", "data/table.csv"])
        pipeline = Pipeline(project)
        pipeline.declare(PIPELINE)
        assert pipeline.outcomes() == {"prepare": "ran", "train": "ran"}
        project.commit()
        self.anew()

    def anew(self) -> None:
        """Clone the origin as it is now."""
        root = self.origin.root.parent / "clone"
        if root.exists():
            shutil.rmtree(root)
        self.origin.git("clone", "--quiet", str(self.origin.root), str(root))
        self.project = Project(root)

    def edit(self, path: str, old: str, new: str) -> None:
        text = self.project.read(path)
        assert old in text
        self.project.write(path, text.replace(old, new))

    def check(self, *targets: str) -> dict[str, Checked]:
        """Check the workspace; what is committed of it has to be answered in the same way."""
        found = {item.stage: item for item in self.project.do(lock_check, targets)}
        committed = self.check_commit()
        assert {name: committed[name] for name in found} == found
        return found

    def check_commit(self) -> dict[str, Checked]:
        """Check a commit of all that git sees, on no branch."""
        self.project.git("add", "--all")
        tree = self.project.git("write-tree").strip()
        commit = self.project.git("commit-tree", "-m", "all", tree).strip()
        with self.project.repo() as repo, Commits.of(repo) as commits:
            return freshness(commits.at(commit))

    def states(self, *targets: str) -> dict[str, str]:
        return {name: item.state for name, item in self.check(*targets).items()}

    def whys(self) -> dict[str, str]:
        return {name: item.why for name, item in self.check().items()}


@pytest.fixture
def clone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("FLAVOUR", "plain")
    return Clone(project)


FRESH = {"prepare": "fresh", "train": "fresh"}


def test_a_clone_without_data_is_fresh_and_stays_as_it_was(clone: Clone) -> None:
    before = clone.project.files()
    assert not clone.project.path("data/raw").exists()
    assert clone.states() == FRESH
    assert clone.project.files() == before
    assert not clone.project.path(".git/mlx/objects").exists()


def test_so_is_the_workspace_where_it_ran(clone: Clone) -> None:
    assert {item.state for item in clone.origin.do(lock_check)} == {"fresh"}


def test_interpreter_and_variables_count_as_recorded(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAVOUR", "other")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert clone.states() == FRESH


@pytest.mark.parametrize(
    ("path", "old", "new", "stale", "why"),
    [
        ("params.yaml", "1", "2", ["train"], "params.yaml:lr 1 -> 2"),
        ("prepare.py", "code", "more", ["prepare", "train"], "prepare.py changed"),
        ("uv.lock", "2", "3", ["prepare", "train"], "uv.lock changed"),
        ("mlx.yaml", "cat data/raw", "cat  data/raw", ["prepare", "train"], "the command changed"),
        ("mlx.yaml", "lr]", "lr, rate]", ["train"], "params.yaml:rate is a new param"),
        ("mlx.yaml", "FLAVOUR", "TASTE", ["prepare", "train"], "the variable FLAVOUR is no longer"),
        ("mlx.yaml", "  interpreter: python\n", "", ["prepare", "train"], "the interpreter is no"),
        ("size.json", "", "7", ["train"], "size.json was changed"),
    ],
)
def test_what_git_keeps_is_read_and_the_reason_is_that_of_status(
    clone: Clone, path: str, old: str, new: str, stale: list[str], why: str
) -> None:
    if "rate" in new:
        clone.project.write("params.yaml", "lr: 1\nrate: 2\n")
    clone.edit(path, old, new)
    found = clone.check()
    assert [name for name, item in found.items() if item.state == "stale"] == stale
    assert why in found[stale[0]].why
    if stale == ["prepare", "train"] and path == "prepare.py":
        assert [tuple(reason)[:2] for reason in found["train"].reasons] == [("upstream", "prepare")]


def test_a_metric_that_is_gone_and_a_stage_that_never_ran_are_stale(clone: Clone) -> None:
    clone.project.path("size.json").unlink()
    assert clone.whys()["train"] == "size.json is missing"
    clone.edit("mlx.yaml", "stages:\n", "stages:\n  new: {cmd: echo, outs: [x]}\n")
    assert clone.whys()["new"] == "it never ran"


def test_data_that_was_recorded_anew_and_not_run_on_is_stale(clone: Clone) -> None:
    clone.origin.write("data/table.csv", "3,4\n")
    clone.origin.do(add, ["data/table.csv"])
    clone.origin.commit()
    clone.anew()
    assert clone.states() == {"prepare": "fresh", "train": "stale"}
    assert clone.whys()["train"] == "data/table.csv changed"


def test_data_that_lies_here_and_is_not_what_is_recorded_does_not_count(clone: Clone) -> None:
    clone.origin.write("data/table.csv", "3,4\n")
    clone.origin.write("data/raw/0009.txt", "more")
    clone.origin.write("prepared.txt", "by hand")
    assert {item.state for item in clone.origin.do(lock_check)} == {"fresh"}


def test_targets_are_checked_with_what_they_need(clone: Clone) -> None:
    clone.edit("params.yaml", "1", "2")
    assert clone.states("prepare") == {"prepare": "fresh"}
    assert clone.states("model.txt") == {"prepare": "fresh", "train": "stale"}


def test_a_part_of_a_folder_needs_its_listing(clone: Clone) -> None:
    text = clone.origin.read("mlx.yaml")
    clone.origin.write("mlx.yaml", text.replace("[data/raw, ", "[data/raw/0001.txt, "))
    Pipeline(clone.origin).outcomes()
    clone.origin.commit()
    clone.anew()
    assert clone.states() == {"prepare": "unknown", "train": "unknown"}
    assert "data/raw/0001.txt" in clone.whys()["prepare"]
    assert {item.state for item in clone.origin.do(lock_check)} == {"fresh"}


def test_what_is_nowhere_is_unknown_and_what_is_stale_for_sure_is_not(clone: Clone) -> None:
    clone.project.path("prepare.py").unlink()
    assert clone.states() == {"prepare": "unknown", "train": "unknown"}
    clone.edit("params.yaml", "1", "2")
    assert clone.states() == {"prepare": "unknown", "train": "stale"}


@pytest.mark.parametrize("dep", ["code", "code/run.py", "'code/*.py'", "link.py"])
def test_folders_patterns_and_links_in_git_count_in_a_commit_as_in_the_workspace(
    project: Project, dep: str
) -> None:
    """What mlx leaves out, what is executable and what a link leads to: all as a run sees it."""
    project.write("code/run.py", "1")
    project.path("code/run.py").chmod(0o755)
    project.write("code/deep/er.py", "2")
    project.write("code/__pycache__/run.pyc", "made")
    project.write("code/notes.tmp", "left out")
    project.write("code/.mlxignore", "*.tmp\n")
    project.path("code/here.py").symlink_to("deep/er.py")
    project.path("link.py").symlink_to("code/run.py")
    pipeline = Pipeline(project)
    pipeline.declare(
        f"stages:\n  only: {{cmd: 'echo 1 > m.json', deps: [{dep}], metrics: [m.json]}}"
    )
    assert pipeline.outcomes() == {"only": "ran"}
    project.git("add", "--all", "--force")
    before = project.commit()
    project.write("code/run.py", "other")
    project.path("code/run.py").chmod(0o755)
    after = project.commit()
    with project.repo() as repo, Commits.of(repo) as commits:
        states = [freshness(commits.at(rev))["only"] for rev in (before, after)]
    assert (states[0].state, states[0].why) == ("fresh", "")
    assert states[1].state == "stale"
    assert states[1] == project.do(lock_check)[0]


@pytest.mark.parametrize("target", ["../outside.py", "/etc/hostname", "gone.py", "loop.py"])
def test_a_link_to_what_git_does_not_keep_is_unknown(project: Project, target: str) -> None:
    project.write("../outside.py", "1")
    project.write("gone.py", "1")
    project.path("loop.py").symlink_to("gone.py")
    pipeline = Pipeline(project)
    pipeline.declare(
        "stages:\n  only: {cmd: 'echo 1 > m.json', deps: [loop.py], metrics: [m.json]}"
    )
    pipeline.outcomes()
    project.path("loop.py").unlink()
    project.path("loop.py").symlink_to(target)
    project.path("gone.py").unlink()
    commit = project.commit()
    with project.repo() as repo, Commits.of(repo) as commits:
        found = freshness(commits.at(commit))["only"]
    assert found.state == "unknown"
    assert "symbolic link to what git does not keep" in found.why


def test_a_commit_with_sha256_names_is_read_too(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    Project(root).git("init", "--quiet", "--object-format=sha256")
    project = Project.create(root)
    project.write("code/run.py", "1")
    pipeline = Pipeline(project)
    pipeline.one("echo 1 > m.json", deps=["code"], metrics=["m.json"])
    pipeline.outcomes()
    commit = project.commit()
    assert len(commit) == 64
    with project.repo() as repo, Commits.of(repo) as commits:
        assert freshness(commits.at(commit))["only"].state == "fresh"


def test_an_unverified_record_is_unknown_unless_it_is_stale(clone: Clone) -> None:
    clone.edit("mlx.lock", '"params":', '"state":{"unverified":true},"params":')
    assert clone.states() == {"prepare": "fresh", "train": "unknown"}
    clone.edit("params.yaml", "1", "2")
    assert clone.states()["train"] == "stale"


def test_an_accepted_record_is_fresh_and_says_so(clone: Clone) -> None:
    state = {"accepted": {"by": "Ada", "why": "reformatted"}}
    clone.edit("mlx.lock", '"params":', f'"state":{json.dumps(state)},"params":')
    assert clone.check()["train"].accepted == state["accepted"]
    assert clone.states() == FRESH
    done = clone.project.mlx("lock", "check")
    assert "stage train  accepted by Ada: reformatted" in done.stdout
    assert done.returncode == 0


def test_a_record_that_a_hand_changed_is_stale(clone: Clone) -> None:
    lock = clone.project.read("mlx.lock")
    at = lock.index('"key":"', lock.index("stage:train")) + 7
    clone.project.write("mlx.lock", lock[:at] + "0" * 64 + lock[at + 64 :])
    assert clone.whys()["train"] == "its record was changed by hand"


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize(
    ("old", "new"), [("1}", "2}"), ('"m.json":{', '"n.json":{"x":1},"m.json":{')]
)
def test_numbers_that_are_not_of_the_recorded_files_are_by_hand(
    project: Project, cache: bool, old: str, new: str
) -> None:
    """Also where only the store has the file, and where the record has no such file."""
    pipeline = Pipeline(project)
    pipeline.one("echo '{\"auc\": 1}' > m.json", metrics=[{"m.json": {"cache": cache}}])
    pipeline.outcomes()
    if cache:
        project.path("m.json").unlink()
    commits = [project.commit()]
    head, metrics, rest = project.read("mlx.lock").partition('"metrics":')
    project.write("mlx.lock", head + metrics + rest.replace(old, new, 1))
    commits.append(project.commit())
    assert project.do(lock_check)[0].why == "its record was changed by hand"
    with project.repo() as repo, Commits.of(repo) as many:
        states = [freshness(many.at(commit))["only"].state for commit in commits]
    assert states == ["fresh", "stale"]


def test_a_frozen_stage_is_as_recorded_and_one_that_always_runs_is_not(clone: Clone) -> None:
    clone.edit("mlx.yaml", "    params: [lr]", "    frozen: true\n    params: [lr]")
    clone.edit("prepare.py", "code", "more")
    clone.edit("params.yaml", "1", "2")
    assert clone.states() == {"prepare": "stale", "train": "fresh"}
    clone.edit("mlx.yaml", "frozen", "always_changed")
    assert "it always runs" in clone.whys()["train"]


def test_patterns_and_folders_above_count_what_is_recorded(clone: Clone) -> None:
    text = clone.origin.read("mlx.yaml")
    clone.origin.write("data/notes.md", "kept by git")
    clone.origin.write("mlx.yaml", text.replace("[data/raw, ", "['data/*.csv', data, "))
    Pipeline(clone.origin).outcomes()
    clone.origin.commit()
    clone.anew()
    assert clone.states() == FRESH
    clone.project.write("data/notes.md", "changed")
    assert clone.states()["prepare"] == "stale"


def test_a_lock_that_cannot_be_read_is_unknown_with_its_line(clone: Clone) -> None:
    lines = clone.project.read("mlx.lock").splitlines(keepends=True)
    lines.insert(3, "<<<<<<< HEAD\n")
    clone.project.write("mlx.lock", "".join(lines))
    with pytest.raises(CannotDecide) as caught:
        clone.project.do(lock_check)
    assert caught.value.where is not None
    assert caught.value.where.line == 4
    assert "mlx lock merge" in str(caught.value.hint)


def test_exit_codes_and_json(clone: Clone) -> None:
    done = clone.project.mlx("lock", "check")
    assert (done.returncode, done.stdout) == (0, "fresh: 2 stages\n")
    clone.project.path("prepare.py").unlink()
    assert clone.project.mlx("lock", "check").returncode == 3
    clone.edit("params.yaml", "1", "2")
    done = clone.project.mlx("lock", "check", "--json")
    assert done.returncode == 1
    prepare, train = json.loads(done.stdout)["stages"]
    assert (prepare["state"], train["state"]) == ("unknown", "stale")
    assert train["reasons"] == [{"what": "param", "name": "params.yaml:lr", "old": 1, "new": 2}]
