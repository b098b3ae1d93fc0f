"""The data verbs on the command line: each word reaches its command, each result the screen."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import Any

import pytest
from sandbox import Project

from mlxrepo.cli.main import run


@pytest.fixture
def screen(project: Project, capfd: pytest.CaptureFixture[str]) -> Screen:
    return Screen(project, capfd)


class Screen:
    """A command line in this process, and what it printed."""

    def __init__(self, project: Project, capture: pytest.CaptureFixture[str]):
        self.project = project
        self._capture = capture

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        self._capture.readouterr()
        found = run(["-C", str(self.project.root), *words])
        out, err = self._capture.readouterr()
        assert found == code, err
        return out, err

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("--json", *words, code=code)[0])
        return document


def test_the_story_of_one_dataset(screen: Screen) -> None:
    project = screen.project
    project.write("data/my file.csv", "1\n")
    out, err = screen.run("add", "data/my file.csv")
    assert out.startswith("added data/my file.csv (data:my-file): 2 B")
    # The command that is proposed does what it says, in a shell.
    proposed = err.split("next: ")[1].split(" && ")[0]
    subprocess.run(shlex.split(proposed), cwd=project.root, check=True)
    project.git("commit", "-qm", "x")
    assert screen.run("status")[0] == "clean: 1 artifact, 0 stages\n"

    project.write("data/my file.csv", "2\n")
    assert "modified: data/my file.csv (data:my-file)" in screen.run("status")[0]
    screen.run("status", "--exit-code", code=1)
    _, err = screen.run("checkout", code=1)
    assert "data/my file.csv" in err
    assert "hint: mlx add records them; --force" in err
    assert screen.run("add", "-u")[0] == "updated data/my file.csv (data:my-file): 1 modified\n"
    assert screen.run("checkout", "--rev", "HEAD")[0] == "1 file written\n"
    assert screen.run("cat", "data/my file.csv")[0] == "2\n"
    assert screen.run("cat", "--rev", "HEAD", "data:my-file")[0] == "1\n"
    assert screen.run("ls")[0].split()[:2] == ["data/my", "file.csv"]
    screen.run("checkout")
    out, err = screen.run("rm", "data/my file.csv")
    assert out == "no longer tracked: data/my file.csv\n"
    assert f"next: git -C {project.root} add data/.gitignore mlx.lock mlx.yaml && " in err


def test_documents_have_a_schema_and_say_everything(screen: Screen) -> None:
    project = screen.project
    project.write("data/a.txt", "a")
    project.write("data/b.txt", "b")
    added = screen.json("add", "data")
    assert added["schema"] == 1
    assert added["command"] == "add"
    artifact = added["artifacts"][0]
    assert (artifact["path"], artifact["entry"]["files"]) == ("data", 2)
    assert set(added["to_commit"]) == {".gitignore", "mlx.lock", "mlx.yaml"}
    project.commit()

    project.write("data/a.txt", "edited")
    project.path("data/b.txt").unlink()
    found = screen.json("status", "--exit-code", code=1)
    assert not found["clean"]
    changes = {c["path"]: c["change"] for c in found["artifacts"][0]["changes"]}
    assert changes == {"a.txt": "modified", "b.txt": "deleted"}
    updated = screen.json("add", "data")["artifacts"][0]
    assert {c["path"]: c["change"] for c in updated["changes"]} == changes

    rows = screen.json("ls", "-R", "data")["entries"]
    assert [(row["path"], row["kind"], row["size"]) for row in rows] == [("data/a.txt", "file", 6)]
    done = screen.json("checkout", "--rev", "HEAD", "data")
    assert set(done["written"]) == {"data/a.txt", "data/b.txt"}
    assert screen.json("rm", "--cached", "data")["paths"] == ["data"]
    assert screen.json("init")["created"] == []


def test_a_dry_run_says_so_and_proposes_no_commit(screen: Screen) -> None:
    screen.project.write("a.csv", "a")
    screen.run("add", "a.csv")
    out, err = screen.run("mv", "--dry-run", "--yes", "a.csv", "b.csv")
    assert (out, err) == ("would move a.csv to b.csv (data:a)\n", "")
    assert not screen.json("mv", "-n", "-y", "a.csv", "b.csv")["applied"]
    out, err = screen.run("rm", "-ny", "a.csv")
    assert (out, err) == ("would no longer be tracked: a.csv\n", "")
    assert not screen.json("rm", "--dry-run", "--yes", "a.csv")["applied"]
    assert screen.project.path("a.csv").exists()
    assert screen.run("mv", "-y", "a.csv", "b.csv")[0].startswith("moved a.csv")
    assert screen.json("rm", "-y", "b.csv")["applied"]
    assert not screen.project.path("b.csv").exists()


def test_errors_are_documents_too(screen: Screen) -> None:
    error = screen.json("add", "nothing", code=2)["error"]
    assert error["kind"] == "input"
    assert error["message"] == "nothing is not here"
    assert error["hint"]


def test_names_that_are_no_text_can_be_printed(screen: Screen) -> None:
    name = os.fsdecode(b"caf\xe9\n.csv")
    screen.project.write(f"data/{name}", "x")
    screen.run("add", "data")
    screen.project.path(f"data/{name}").unlink()
    assert "deleted: caf\\udce9\\n.csv" in screen.project.mlx("status").stdout
    document = json.loads(screen.project.mlx("status", "--json").stdout)
    assert document["artifacts"][0]["changes"][0]["path"] == name
    screen.run("checkout", "-v")
    assert screen.run("cat", f"data/{name}")[0] == "x"


def test_a_path_that_looks_like_an_option_follows_two_dashes(screen: Screen) -> None:
    screen.project.write("-u", "x")
    screen.run("add", "--", "-u")
    assert screen.run("cat", "--", "-u")[0] == "x"
    screen.run("checkout", "--", "-u")
    screen.run("rm", "--", "-u")
    assert not screen.project.path("-u").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["add"], "mlx add DATA"),
        (["add", "-u", "x"], "mlx add DATA"),
        (["add", "-u", "--name", "x"], "mlx add DATA"),
        (["add", "../x"], None),
        (["add", "--kind", "picture", "x"], None),
        (["rm"], None),
        (["rm", "nothing"], "mlx ls"),
        (["checkout", "nothing"], "mlx add nothing"),
        (["status", "data:nothing"], "mlx status"),
        (["cat", "nothing"], None),
    ],
)
def test_bad_words_exit_with_2(screen: Screen, words: list[str], hint: str | None) -> None:
    before = screen.project.files()
    _, err = screen.run(*words, code=2)
    assert hint is None or hint in err.split("hint:")[1]
    assert screen.project.files() == before


def test_an_unknown_revision_exits_with_3(screen: Screen) -> None:
    screen.run("checkout", "--rev", "nothing", code=3)
    screen.run("ls", "--rev", "HEAD", code=3)


def test_missing_bytes_exit_with_1_and_are_named(screen: Screen) -> None:
    project = screen.project
    project.write("a.csv", "a")
    project.write("b.csv", "b")
    screen.run("add", "a.csv", "b.csv")
    with project.repo() as repo:
        entry = repo.scan().entry("a.csv")  # type: ignore[arg-type]
        assert entry is not None
        os.unlink(repo.store.path("blob", entry.oid))
    for name in ("a.csv", "b.csv"):
        project.path(name).unlink()
    out, err = screen.run("checkout", code=1)
    assert out == "1 file written\n"
    assert "warning: not in the store, left as before: 1 file\n  a.csv" in err
    assert screen.json("checkout", code=1)["missing"] == [{"path": "a.csv", "files": 1}]


def test_a_sub_folder_sees_the_whole_repository_and_its_own_paths(screen: Screen) -> None:
    project = screen.project
    project.write("sub/x.csv", "x")
    project.write("y.csv", "y")
    screen.run("-C", "sub", "add", "x.csv", "../y.csv")
    assert screen.run("-C", "sub", "status")[0] == "clean: 2 artifacts, 0 stages\n"
    project.path("y.csv").unlink()
    assert screen.run("-C", "sub", "checkout", "../y.csv")[0] == "1 file written\n"
    assert screen.run("-C", "sub", "cat", "x.csv")[0] == "x"


def test_a_new_project_in_a_process_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = Project(tmp_path_factory.mktemp("a new one"))
    project.git("init", "-q")
    done = project.mlx("init")
    assert done.stdout == "created mlx.yaml, .mlxignore, .gitattributes\n"
    assert "next: git add mlx.yaml .mlxignore .gitattributes && git commit" in done.stderr
    assert project.mlx("init").stdout == "nothing to do: this is an mlx project already\n"
    assert project.mlx("status").stdout == "clean: nothing is tracked yet (mlx add DATA)\n"


def test_moving_data_and_the_store_and_looking_after_them(screen: Screen) -> None:
    project = screen.project
    project.write("data/a.csv", "a")
    screen.run("add", "data/a.csv")
    out, err = screen.run("mv", "data/a.csv", "b.csv")
    assert out == "moved data/a.csv to b.csv (data:a)\n"
    assert "mlx.lock mlx.yaml" in err
    assert screen.json("mv", "data:a", "c.csv")["new"] == "c.csv"
    screen.run("mv", "c.csv", code=2)

    store = project.root.parent / "my store"
    assert screen.run("store", "dir")[0] == f"{project.root}/.git/mlx\n"
    assert screen.run("store", "move", str(store))[0].startswith("moved 1 object to ")
    assert screen.json("store", "dir")["dir"] == str(store)
    assert screen.json("store", "move", str(store))["objects"] == 0

    assert screen.run("unprotect", "c.csv")[0].startswith("nothing to do")
    project.path("c.csv").chmod(0o444)
    assert screen.json("unprotect", "c.csv")["paths"] == ["c.csv"]

    assert "ok    git" in screen.run("doctor")[0]
    assert not screen.json("doctor")["failed"]
    store.rename(project.root.parent / "gone")
    out, _ = screen.run("doctor", code=1)
    assert "fail  store" in out
    assert screen.json("doctor", code=1)["failed"]


def test_gc_tells_then_does_then_undoes(screen: Screen) -> None:
    project = screen.project
    project.write("a.txt", "a")
    screen.run("add", "a.txt")
    project.git("restore", "--source=HEAD", ".", check=False)
    project.path("mlx.lock").unlink()
    project.path(".git/mlx/worktree/placed.json").unlink()
    out, err = screen.run("gc", "--grace", "0")
    assert out.split()[:2] == ["would", "go"]
    assert "1 B" in out
    assert "mlx gc --yes" in err
    assert screen.json("gc", "--yes", "--dry-run", "--grace", "0")["applied"] is False
    out, err = screen.run("gc", "--yes", "--grace", "0")
    assert "removed" in out
    assert "--undo" in err
    assert screen.run("gc", "--undo", "-n")[0].startswith("would bring back 1 file")
    assert screen.run("gc", "--undo")[0] == "brought back 1 file of the store, 1 B\n"
    assert screen.json("gc", "--yes", "--grace", "0")["unneeded"] == {"objects": 1, "size": 1}
    assert screen.run("gc", "--empty-trash")[0] == "in the trash: 1 file, 1 B\n"
    assert screen.json("gc", "--empty-trash", "-y")["applied"] is True
    assert screen.run("gc", "--grace", "0")[0] == "nothing to do\n"
    screen.run("gc", "--undo", code=3)
    screen.run("gc", "--undo", "--empty-trash", code=2)
    screen.run("gc", "--grace", "nan", code=2)
    screen.run("gc", "--forget", "nowhere", code=2)


def test_du_shows_artifacts_and_totals(screen: Screen) -> None:
    screen.project.write("data/a.txt", "a" * 2000)
    screen.run("add", "data/a.txt")
    out, _ = screen.run("du")
    assert "data/a.txt" in out
    assert "workspace" in out
    assert "2.0 KiB" in out
    document = screen.json("du", "data:a")
    (artifact,) = document["artifacts"]
    assert (artifact["name"], artifact["unique"]) == ("data:a", 2000)
    assert artifact["versions"][0]["workspace"] is True
    screen.run("du", "data:b", code=2)
