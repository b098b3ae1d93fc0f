"""Roots: whatever git, an index, a workspace or `placed` names is found, wherever it hides."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.repro import repro
from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.lockfile import DataRecord, encode_lock
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, roots, roots_of
from mlxrepo.store.tree import Entry

PLACES = {"workspace", "placed", "index"}


def lock(*words: str) -> bytes:
    """Return a lockfile in which each word is the content of a file."""
    entries = {word: Entry("file", blob_oid(word.encode()), len(word)) for word in words}
    return encode_lock({f"data:{w}": DataRecord(RepoPath(w), e) for w, e in entries.items()})


def found(project: Project) -> dict[str, set[str]]:
    """Return by path where its roots are named."""
    places: dict[str, set[str]] = {}
    with Repo.find(str(project.root)) as repo:
        for root in roots(repo):
            places.setdefault(root.path, set()).add(root.where)
    return places


def spared(project: Project) -> set[str]:
    common = project.git("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    return {root.entry.oid for root in roots_of(common, None, sparing=True)}


def test_without_a_commit_the_workspace_is_all(project: Project) -> None:
    assert found(project) == {}
    project.write("a.csv", "a")
    project.do(add, ["a.csv"])
    with project.repo() as repo:
        assert set(roots(repo)) == {
            Root(Entry("file", blob_oid(b"a"), 1), RepoPath("a.csv"), "data:a", "workspace"),
            Root(Entry("file", blob_oid(b"a"), 1), RepoPath("a.csv"), "", "placed"),
        }


def test_every_commit_that_changed_a_lockfile_is_named(project: Project) -> None:
    project.write("mlx.lock", lock("a"))
    one = project.commit()[:12]
    project.write("mlx.lock", lock("a", "b"))
    project.write("sub/mlx.lock", lock("c"))
    two = project.commit()[:12]
    places = found(project)
    assert places == {
        "a": {one, two, "index", "workspace"},
        "b": {two, "index", "workspace"},
        "c": {two, "index", "workspace"},
    }


def test_stages_are_named_by_their_address_and_only_outs_are_roots(project: Project) -> None:
    project.write(
        "sub/mlx.yaml",
        "stages:\n  make:\n    cmd: printf 2 > out.txt && printf 3 > kept.json\n"
        "    deps: [in.txt]\n    outs: [out.txt]\n    metrics: [kept.json]\n",
    )
    project.write("sub/in.txt", "1")
    project.do(repro)
    with project.repo() as repo:
        named = {(root.path, root.address) for root in roots(repo) if root.where == "workspace"}
    assert named == {("sub/out.txt", "sub/mlx.yaml:make")}
    # gc leaves a dep, and what git keeps, where they are as well.
    assert spared(project) == {blob_oid(data) for data in (b"1", b"2", b"3")}


def _merged(project: Project) -> str:
    """Make a merge whose lockfile is that of neither side."""
    project.write("mlx.lock", lock("base"))
    project.commit()
    project.git("switch", "-qc", "side")
    project.write("mlx.lock", lock("side"))
    project.commit()
    project.git("switch", "-q", "main")
    project.write("mlx.lock", lock("main"))
    project.commit()
    project.git("merge", "--quiet", "--strategy=ours", "--no-commit", "side")
    project.write("mlx.lock", lock("evil"))
    project.commit()
    project.write("mlx.lock", lock("after"))
    project.commit()
    return "base side main evil after"


def _merged_away(project: Project) -> str:
    """Merge a branch of which nothing is taken, and forget the branch."""
    project.write("mlx.lock", lock("base"))
    project.commit()
    project.git("switch", "-qc", "side")
    project.write("mlx.lock", lock("side"))
    project.commit()
    project.git("switch", "-q", "main")
    project.git("merge", "--quiet", "--strategy=ours", "--no-edit", "side")
    project.git("branch", "-qD", "side")
    project.git("reflog", "expire", "--expire=now", "--all")
    return "base side"


def _copied(project: Project) -> str:
    """Commit a lockfile whose bytes git meets first under another name."""
    project.write("mlx.lock", lock("a"))
    project.write("a-copy.txt", lock("a"))
    project.commit()
    project.write("mlx.lock", lock("b"))
    project.commit()
    return "a b"


def _reverted(project: Project) -> str:
    for word in ("a", "b", "a", "c"):
        project.write("mlx.lock", lock(word))
        project.commit()
    return "a b c"


def _replaced(project: Project) -> str:
    """Hide a commit behind another, as `git replace` does."""
    project.write("mlx.lock", lock("hidden"))
    hidden = project.commit()
    project.write("mlx.lock", lock("shown"))
    shown = project.commit()
    project.write("mlx.lock", lock("now"))
    project.commit()
    base = project.git("commit-tree", "-m", "x", f"{shown}^{{tree}}").strip()
    project.git("replace", hidden, base)
    return "hidden shown now"


def _unrelated(project: Project) -> str:
    project.write("mlx.lock", lock("one"))
    project.commit()
    project.git("checkout", "-q", "--orphan", "other")
    project.write("deep/er/mlx.lock", lock("two"))
    project.commit()
    return "one two"


def _tagged_tree(project: Project) -> str:
    project.write("mlx.lock", lock("a"))
    project.git("add", "--all")
    tree = project.git("write-tree").strip()
    project.git("tag", "-a", "-m", "x", "tree", tree)
    project.git("rm", "-q", "--cached", "mlx.lock")
    project.path("mlx.lock").unlink()
    return "a"


def _user_settings(project: Project) -> str:
    """Set what changes what `git log` and `git diff` show."""
    words = _copied(project) + " " + _merged(project)
    settings = "log.showRoot=false log.follow=true diff.renames=copies diff.orderFile=nowhere"
    for setting in settings.split():
        project.git("config", *setting.split("="))
    return words


HISTORIES = [
    _merged,
    _merged_away,
    _copied,
    _reverted,
    _replaced,
    _unrelated,
    _tagged_tree,
    _user_settings,
]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda f: f.__name__)
def test_no_version_of_a_lockfile_is_overlooked(
    project: Project, history: Callable[[Project], str]
) -> None:
    words = history(project).split()
    assert found(project).keys() >= set(words)
    assert spared(project) >= {blob_oid(word.encode()) for word in words}


def test_both_sides_of_a_conflict_count_by_the_index(project: Project) -> None:
    project.write("mlx.lock", lock("base"))
    project.commit()
    project.git("switch", "-qc", "side")
    project.write("mlx.lock", lock("mine"))
    project.commit()
    project.git("switch", "-q", "main")
    project.write("mlx.lock", lock("theirs"))
    project.commit()
    project.git("merge", "--quiet", "side", check=False)
    with pytest.raises(InputError, match="conflict") as caught:
        found(project)
    assert str(project.path("mlx.lock")) in str(caught.value)
    project.path("mlx.lock").write_bytes(lock("mine"))
    assert "index" in found(project)["theirs"]
    assert "index" in found(project)["mine"]


def test_a_conflict_that_was_committed_keeps_both_sides(project: Project) -> None:
    one, two = lock("one", "same").splitlines(), lock("two", "same").splitlines()
    text = b"\n".join(
        [one[0], b"<<<<<<< a", *one[1:3], b"=======", *two[3:], b">>>>>>> b", *one[3:]]
    )
    project.write("mlx.lock", text + b"\n")
    project.commit()
    project.write("mlx.lock", lock("now"))
    assert spared(project) >= {blob_oid(word.encode()) for word in ("one", "two", "same", "now")}


@pytest.mark.parametrize("cut", range(1, 400, 30))
def test_a_lockfile_that_was_committed_cut_off_keeps_what_it_still_names(
    project: Project, cut: int
) -> None:
    whole = lock("one", "two")
    project.write("mlx.lock", whole[:-cut] if cut < len(whole) else b"")
    project.commit()
    project.write("mlx.lock", lock("now"))
    left = whole[:-cut] if cut < len(whole) else b""
    words = [word for word in (b"one", b"two") if f'{blob_oid(word)}"'.encode() in left]
    assert spared(project) >= {blob_oid(word) for word in words}


def test_a_lockfile_of_another_format_stops_it(project: Project) -> None:
    project.write("mlx.lock", lock("a").replace(b'"format":1', b'"format":2'))
    commit = project.commit()
    project.write("mlx.lock", lock("b"))
    with pytest.raises(InputError, match="format 2") as caught:
        found(project)
    assert commit[:12] in str(caught.value) or "index" in str(caught.value)


def test_every_worktree_counts_with_what_is_on_its_disk(project: Project) -> None:
    project.commit()
    other = project.worktree("other")
    other.write("mlx.lock", lock("there"))
    project.write("ignored/mlx.yaml", "")
    project.write("ignored/mlx.lock", lock("ignored"))
    project.write(".gitignore", "mlx.lock\n")
    for place in (project, other):
        assert found(place).keys() == {"there", "ignored"}
    shutil.rmtree(other.root)
    assert found(project).keys() == {"ignored"}


def test_a_submodule_knows_its_worktree(project: Project, tmp_path: Path) -> None:
    inner = Project.create(tmp_path / "inner")
    inner.commit()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "in")
    sub = Project(project.path("in"))
    sub.write("mlx.lock", lock("a"))
    assert found(sub).keys() == {"a"}
    assert blob_oid(b"a") in spared(sub)


def test_a_bare_repository_has_roots_too(project: Project, tmp_path: Path) -> None:
    project.write("mlx.lock", lock("a"))
    project.commit()
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(project.root), str(bare)], check=True)
    assert {root.path for root in roots_of(str(bare), None)} == {"a"}


@pytest.mark.parametrize("option", ["--depth=1", "--filter=blob:none"])
def test_a_clone_without_its_whole_history_cannot_tell(
    project: Project, tmp_path: Path, option: str
) -> None:
    project.write("mlx.lock", lock("a"))
    project.commit()
    project.commit()
    project.git("config", "uploadpack.allowFilter", "true")
    clone = Project(tmp_path / "clone")
    source = f"file://{project.root}"
    subprocess.run(["git", "clone", "-q", option, source, str(clone.root)], check=True)
    with pytest.raises(CannotDecide, match="clone"):
        found(clone)


def test_a_long_history_is_marked_whole(project: Project) -> None:
    words = [f"w{number}" for number in range(600)]
    stream = []
    for number, word in enumerate(words):
        data = lock("always", word)
        stream.append(
            b"commit refs/heads/long\ncommitter a <b> %d +0000\ndata 1\nx\n"
            b"M 100644 inline mlx.lock\ndata %d\n%s\n" % (number, len(data), data)
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=project.root, input=b"".join(stream), check=True
    )
    oids = {blob_oid(word.encode()) for word in ("always", *words)}
    assert spared(project) == oids
    places = found(project)
    assert places.keys() == {"always", *words}
    assert len(places["always"]) == 600
