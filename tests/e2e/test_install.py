"""`mlx install` and `mlx uninstall`: settings and hooks of a clone, beside those of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clones import Clone, hook, without_mlx
from user import User

from mlxrepo.repo.hooks import HOOKS


def settings(clone: User) -> str:
    return clone.git("config", "--local", "--list")


def hooks(clone: User, folder: str = ".git/hooks") -> dict[str, tuple[bytes, int]]:
    """Return every hook that git would take, with its permission bits."""
    place = clone.root / folder
    return {
        path.name: (path.read_bytes(), path.stat().st_mode)
        for path in place.iterdir()
        if not path.name.endswith(".sample")
    }


def test_it_sets_what_git_needs_once_and_uninstall_leaves_nothing(tmp_path: Path) -> None:
    clone = Clone.begin(tmp_path / "p")
    before = settings(clone), hooks(clone)
    first = clone.json("install")
    assert set(first["hooks"]) == set(HOOKS)
    assert "merge.mlx.driver" in settings(clone)
    now = settings(clone), hooks(clone)
    again = clone.json("install")
    assert (again["settings"], again["hooks"], again["present"]) == ([], [], list(HOOKS))
    assert "nothing to do" in clone.ok("install")
    assert (settings(clone), hooks(clone)) == now
    clone.ok("uninstall")
    assert (settings(clone), hooks(clone)) == before
    assert "nothing to do" in clone.ok("uninstall")


def test_without_hooks_only_settings_are_set(tmp_path: Path) -> None:
    clone = Clone.begin(tmp_path / "p")
    clone.ok("install", "--no-hooks")
    assert hooks(clone) == {}
    assert "diff.mlx.textconv" in settings(clone)


def test_an_older_hook_of_ours_is_brought_up_to_date_and_others_stay(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    now = hooks(clone)
    place = clone.root / ".git/hooks/pre-push"
    place.write_text(place.read_text().replace("rev-list", "rev-parse"))
    assert clone.json("install")["hooks"] == ["pre-push"]
    assert hooks(clone) == now
    # Where git kept what it was told of a lockfile: also what it was told without mlx.
    clone.git("config", "diff.mlx.cachetextconv", "true")
    clone.git("log", "-p")
    assert "refs/notes/textconv/mlx" in clone.git("for-each-ref")
    assert clone.json("install")["settings"] == ["diff.mlx.cachetextconv"]
    clone.git("log", "-p")
    assert "textconv/mlx" not in clone.git("for-each-ref")


SHELL = '#!/bin/sh\necho "shell ran $*" >&2\nexit ${HOOK_EXIT:-0}\n'
PYTHON = "#!{python}\nimport os, sys\nprint('python ran', file=sys.stderr)\n"


def test_hooks_that_are_there_run_first_and_their_status_counts(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    folder = clone.root / ".git/hooks"
    script = hook(folder / "post-checkout", SHELL)
    hook(folder / "pre-commit", SHELL)
    chained = clone.json("install")["chained"]
    assert chained == ["post-checkout", "pre-commit"]
    clone.branch_with("two", "data/a.txt", "a of two\n")
    said = clone.run("checkout", "--quiet", "main", env={"HOOK_EXIT": "7"}, code=1)
    assert "shell ran" in said
    assert clone.read("data/a.txt") == "a of main\n"  # and ours ran all the same
    before = clone.git("rev-parse", "HEAD")
    clone.run("commit", "--allow-empty", "-m", "refused", env={"HOOK_EXIT": "1"}, code=1)
    assert clone.git("rev-parse", "HEAD") == before
    clone.ok("uninstall")
    assert (folder / "post-checkout").read_bytes() == script
    assert set(hooks(clone)) == {"post-checkout", "pre-commit"}


def test_programs_links_and_files_that_git_ignores_are_put_back_as_they_were(
    tmp_path: Path,
) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    folder = clone.root / ".git/hooks"
    program = Path("/bin/true").read_bytes()
    (folder / "pre-commit").write_bytes(program)
    (folder / "pre-commit").chmod(0o700)
    hook(tmp_path / "team/hook", SHELL)
    (folder / "post-merge").symlink_to("../../../team/hook")
    hook(folder / "pre-push", "#!/bin/sh\nexit 1\n", mode=0o644)  # git would not run it
    before = hooks(clone)
    clone.ok("install")
    clone.commit("through a program")
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    clone.run("push", str(tmp_path / "bare.git"), "main")
    clone.branch_with("two", "data/a.txt", "two\n")
    clone.run("checkout", "--quiet", "main")
    assert "shell ran 0" in clone.run("merge", "--quiet", "two")
    assert (tmp_path / "team/hook").read_text() == SHELL
    clone.ok("uninstall")
    assert hooks(clone) == before
    assert os.readlink(folder / "post-merge") == "../../../team/hook"


def test_what_git_says_to_a_hook_reaches_both(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    note = tmp_path / "rows"
    hook(clone.root / ".git/hooks/pre-push", f'#!/bin/sh\ncat > "{note}"\n')
    clone.ok("install")
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    clone.ok("remote", "add", "store", str(tmp_path / "remote"))
    said = clone.run("push", str(tmp_path / "bare.git"), "main")
    assert note.read_text().startswith("refs/heads/main ")
    assert "sent 3 objects" in said


def test_a_hook_that_took_the_place_of_ours_is_not_touched(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    folder = clone.root / ".git/hooks"
    old = hook(folder / "pre-commit", SHELL)
    clone.ok("install")
    new = hook(folder / "pre-commit", "#!/bin/sh\nexit 0\n")
    done = clone.mlx("install")
    assert done.returncode == 1
    assert "hooks.before-mlx/pre-commit" in done.stderr
    assert (folder / "pre-commit").read_bytes() == new
    assert "hooks.before-mlx/pre-commit" in clone.mlx("uninstall").stderr
    assert (clone.root / ".git/hooks.before-mlx/pre-commit").read_bytes() == old


def test_lines_that_others_add_to_our_hooks_run_and_stay(tmp_path: Path) -> None:
    """As `git lfs update --manual` tells users to; also where there is nothing for mlx."""
    clone = Clone.with_data(tmp_path / "p")
    folder = clone.root / ".git/hooks"
    added = {name: f'echo "{name} $*: $(cat)" >&2\n' for name in ("post-checkout", "pre-push")}
    for name, line in added.items():
        (folder / name).write_text((folder / name).read_text() + line)
    # One of an mlx that did not mark where its part ends.
    mark = (folder / "pre-commit").read_text().splitlines()[1]
    older = f'#!/bin/sh\n{mark}\nmlx hook pre-commit "$@"\n'
    hook(folder / "pre-commit", older + "echo added >&2\n")
    assert clone.json("install")["hooks"] == ["pre-commit"]
    assert clone.run("commit", "-q", "--allow-empty", "-m", "x") == "added\n"
    assert "post-checkout " in clone.run("checkout", "-q", "-b", "two")
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    said = clone.run("push", "-q", str(tmp_path / "bare.git"), "two")
    assert "bare.git: refs/heads/two " in said
    clone.ok("install")
    hook(clone.root / ".git/hooks.before-mlx/pre-push", SHELL)
    done = clone.mlx("uninstall")
    assert ".git/hooks/pre-push.after-mlx" in done.stderr
    assert (folder / "pre-push").read_text() == SHELL
    assert (folder / "pre-push.after-mlx").read_text().endswith("\n" + added["pre-push"])
    assert (folder / "pre-commit").read_text() == "#!/bin/sh\necho added >&2\n"
    assert (folder / "post-checkout").read_text() == "#!/bin/sh\n" + added["post-checkout"]


@pytest.mark.parametrize("found", ['"$0.d"', '"$(dirname "$0")/$(basename "$0").d"'])
def test_a_hook_that_goes_by_its_own_name_and_place_finds_both(tmp_path: Path, found: str) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    folder = clone.root / ".git/hooks"
    hook(folder / "pre-commit", f'#!/bin/sh\nfor x in {found}/*; do "$x" || exit 1; done\n')
    hook(folder / "pre-commit.d/x", "#!/bin/sh\ncat\necho refused >&2\nexit 1\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    clone.ok("install")
    said = clone.run("commit", "--allow-empty", "-m", "x", code=1)
    assert said == "refused\n"
    # Where an older mlx kept it.
    (clone.root / ".git/hooks.before-mlx/pre-commit").rename(folder / "pre-commit.before-mlx")
    clone.ok("install")
    clone.run("commit", "--allow-empty", "-m", "x", code=1)
    clone.ok("uninstall")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (clone.root / ".git/hooks.before-mlx").exists()


def test_uninstall_cleans_the_folder_that_git_looked_into_before(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.git("config", "core.hooksPath", "")
    done = clone.mlx("install")
    assert done.returncode == 1
    assert "git config --unset core.hooksPath" in done.stderr
    clone.git("config", "core.hooksPath", str(tmp_path / "elsewhere"))
    assert clone.json("uninstall")["hooks"] == list(HOOKS)
    assert hooks(clone) == {}


def test_a_folder_of_hooks_in_the_repository_is_written_to_unless_git_tracks_it(
    tmp_path: Path,
) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    clone.git("config", "core.hooksPath", ".githooks")
    clone.ok("install")
    assert set(hooks(clone, ".githooks")) == set(HOOKS)
    clone.ok("uninstall")
    committed = hook(clone.root / ".githooks/pre-commit", SHELL)
    clone.commit("our hooks")
    done = clone.mlx("install")
    assert done.returncode == 1
    assert 'mlx hook pre-commit "$@" || exit $?' in done.stdout
    assert "git tracks" in done.stderr
    assert hooks(clone, ".githooks") == {"pre-commit": (committed, 0o100755)}
    for name in HOOKS:
        line = next(row for row in done.stdout.splitlines() if f"add to {name}:" in row)
        hook(clone.root / ".githooks" / name, f"#!/bin/sh\n# {line.split(':  ')[1]}\n")
    assert clone.mlx("install").returncode == 1  # in a comment
    for name in HOOKS:  # the user does as told, and it works
        place = clone.root / ".githooks" / name
        hook(place, place.read_text().replace("# ", ""), mode=0o644)
    assert clone.mlx("install").returncode == 1  # git does not run what is not executable
    for name in HOOKS:
        (clone.root / ".githooks" / name).chmod(0o755)
    assert clone.json("install")["present"] == list(HOOKS)
    few = without_mlx(tmp_path)  # as a colleague has it who does not use mlx
    clone.run("add", "--all")
    said = clone.run("commit", "--quiet", "-m", "without mlx", env=few)
    assert said == "mlx is not on PATH: its pre-commit hook did nothing (pip install mlxrepo)\n"
    clone.commit("they call mlx")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    assert clone.read("data/a.txt") == "a of main\n"


def test_nothing_is_written_outside_of_the_repository(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    outside = tmp_path / "everybody's hooks"
    outside.mkdir()
    clone.git("config", "core.hooksPath", str(outside))
    done = clone.mlx("install")
    assert (done.returncode, list(outside.iterdir())) == (1, [])
    assert "outside" in done.stderr
    assert 'mlx hook post-checkout "$@" || true' in done.stdout
    assert "merge.mlx.driver" in settings(clone)
    clone.git("config", "--unset", "core.hooksPath")
    (clone.root / ".git/hooks").rename(tmp_path / "moved")
    (clone.root / ".git/hooks").symlink_to(tmp_path / "moved")
    before = sorted(os.listdir(tmp_path / "moved"))
    assert clone.mlx("install").returncode == 1
    assert sorted(os.listdir(tmp_path / "moved")) == before


def test_worktrees_share_them_and_submodules_have_their_own(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    linked = tmp_path / "linked"
    said = clone.run("worktree", "add", "--quiet", str(linked), "-b", "side")
    assert "2 files written" in said
    assert (linked / "data/a.txt").read_text() == "a of main\n"
    assert Clone(linked).json("install")["hooks"] == []
    outer = Clone.begin(tmp_path / "outer")
    local = ("-c", "protocol.file.allow=always")
    outer.run(*local, "submodule", "--quiet", "add", str(clone.root), "sub")
    inner = Clone(outer.root / "sub")
    inner.ok("install")
    assert set(HOOKS) < {path.name for path in (outer.root / ".git/modules/sub/hooks").iterdir()}
    assert hooks(outer) == {}
    inner.write("more.txt", "of the submodule\n")
    inner.ok("add", "more.txt")
    inner.commit("in the submodule")
    assert "12 B not here: mlx pull" in inner.run("checkout", "--quiet", "HEAD~1")
    assert not inner.path("more.txt").exists()
    inner.run("checkout", "--quiet", "-")
    assert inner.read("more.txt") == "of the submodule\n"


@pytest.mark.parametrize("name", ["status", "ls"])
def test_a_clone_that_is_not_prepared_is_told_once(tmp_path: Path, name: str) -> None:
    origin = Clone.with_data(tmp_path / "p")
    clone = origin.clone(tmp_path / "clone", prepared=False)
    assert "mlx install" not in clone.mlx(name, "--json").stderr
    assert "mlx install" not in clone.mlx("-q", name).stderr
    assert "mlx install" not in clone.mlx(name, env={"CI": "true"}).stderr
    assert "mlx install" in clone.mlx(name).stderr
    assert "mlx install" not in clone.mlx(name).stderr


def test_a_prepared_clone_is_told_nothing(tmp_path: Path) -> None:
    origin = Clone.with_data(tmp_path / "p")
    clone = origin.clone(tmp_path / "clone")
    assert "install" not in clone.mlx("status").stderr
    clone.ok("uninstall")  # who does that knows
    assert "install" not in clone.mlx("status").stderr
    other = origin.clone(tmp_path / "other", prepared=False)
    other.git("config", "--global", "merge.mlx.driver", "mlx lock merge %O %A %B %P")
    try:
        assert "install" not in other.mlx("status").stderr
    finally:
        other.git("config", "--global", "--remove-section", "merge.mlx")


def test_without_mlx_on_path_git_goes_on_and_says_one_line(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    few = without_mlx(tmp_path)
    clone.branch_with("two", "data/a.txt", "a of two\n")
    said = clone.run("checkout", "--quiet", "main", env=few)
    assert said == "mlx is not on PATH: its post-checkout hook did nothing (pip install mlxrepo)\n"
    said = clone.run("commit", "--quiet", "--allow-empty", "-m", "no mlx", env=few)
    assert said.count("\n") == 1
    assert clone.git("log", "-1", "--format=%s") == "no mlx\n"
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    said = clone.run("push", "--quiet", str(tmp_path / "bare.git"), "main", env=few)
    assert said.count("mlx") == 2


def test_a_variable_switches_the_hooks_off(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    assert clone.run("checkout", "--quiet", "main", env={"MLXREPO_NO_HOOKS": "1"}) == ""
    assert clone.read("data/a.txt") == "a of two\n"


def test_the_drivers_do_without_mlx(tmp_path: Path) -> None:
    """Git's own merge of text steps in: with marks where two sides changed one record."""
    clone = Clone.with_data(tmp_path / "p")
    few = without_mlx(tmp_path)
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    clone.branch_with("three", "data/b.txt", "b of three\n")
    said = clone.run("merge", "two", env=few, code=1)
    assert "mlx is not on PATH: mlx.lock is merged as text" in said
    assert "<<<<<<< ours" in clone.read("mlx.lock")
    clone.run("merge", "--abort")
    clone.run("merge", "--quiet", "--no-edit", "two")  # with mlx it is merged path by path
    assert (clone.read("data/a.txt"), clone.read("data/b.txt")) == ("a of two\n", "b of three\n")
    shown = clone.shell("git", "diff", "main", "two", env=few)
    assert (shown.returncode, "mlx.lock" in shown.stdout) == (0, True)
