"""Killed at any step or time, nothing is lost, and the same command again ends as it should.

Every case is a real process, a real kill -9, and a copy of a project of its own. The whole campaign
is nightly; a fixed sample of it always runs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from storage import age, store_of
from user import MLX, User

from mlxrepo.failpoints import FAILPOINTS
from mlxrepo.files import SMALL
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import TEMP_PREFIX
from mlxrepo.store import gc
from mlxrepo.store.lease import binary_key

GIT_FILES = ("mlx.yaml", "mlx.lock", ".gitignore")
UNSAVED = b"only the workspace has this\n"


def make_base(root: Path) -> User:
    """Make a project with two versions, a pack that is half dead, and objects nobody needs."""
    user = User.begin(root)
    user.fill("data/folder", 40)
    user.ok("add", "data/folder")
    for number in range(10, 40):
        user.path(f"data/folder/{number:04}.txt").unlink()
    user.write("data/folder/large.bin", b"large" * (SMALL // 4))
    user.write("data/folder/sub/run.sh", "run\n").chmod(0o755)
    user.write("data/one.csv", "1,2,3\n")
    user.ok("add", "data/folder", "data/one.csv")
    user.commit()
    user.write("data/garbage.bin", b"garbage" * (SMALL // 6))
    user.ok("add", "data/garbage.bin")
    user.ok("rm", "data/garbage.bin")
    user.fill("data/folder/more", 3)
    user.ok("add", "data/folder")
    user.git("restore", ".")
    user.ok("checkout", "--force")
    age(user)
    return user


def with_new(user: User) -> None:
    user.fill("data/new", 20)
    user.write("data/new/large.bin", b"new" * (SMALL // 2))
    user.write("data/single.txt", "single\n")
    user.write("data/folder/0003.txt", "changed\n")


def with_links(user: User) -> None:
    with_new(user)
    user.git("config", "mlx.link", "hardlink")


def with_unsaved(user: User) -> None:
    user.path("data/one.csv").write_bytes(UNSAVED)
    user.path("data/folder/large.bin").unlink()
    for number in range(3):
        user.path(f"data/folder/{number:04}.txt").unlink()
    user.write("data/folder/0004.txt", "4\n")
    user.ok("add", "data/folder/0004.txt")
    user.git("restore", ".")


def with_trash(user: User) -> None:
    user.ok("gc", "--yes")


@dataclass(frozen=True)
class Scene:
    """A command, and the project before it."""

    words: tuple[str, ...]
    prepare: Callable[[User], None] = lambda user: None


SCENES = {
    "add": Scene(("add", "data/new", "data/single.txt", "data/folder"), with_new),
    "add-links": Scene(("add", "data/new", "data/single.txt", "data/folder"), with_links),
    "checkout": Scene(("checkout", "--force"), with_unsaved),
    "rm": Scene(("rm", "--force", "data/folder", "data/one.csv"), with_unsaved),
    "gc": Scene(("gc", "--yes")),
    "undo": Scene(("gc", "--undo", "--yes"), with_trash),
    "mv": Scene(("mv", "data/folder", "kept/place"), with_new),
}

# Each durable step at least once, each verb, and a later hit where there are many.
SAMPLE = [
    ("add", "publish-all.before-rename", 1),
    ("add", "publish.before-flush", 1),
    ("add", "write.before-rename", 3),
    ("add-links", "adopt.after-link", 5),
    ("checkout", "materialize.before-rename", 2),
    ("checkout", "move.after-rename", 1),
    ("rm", "write.after-rename", 2),
    ("gc", "gc.repacked", 1),
    ("gc", "move.after-rename", 2),
    ("undo", "gc.brought-back", 1),
    ("mv", "move.before-rename", 1),
]


class Stage:
    """A scene that is played again and again, each time on a copy."""

    def __init__(self, scene: Scene, base: User, folder: Path):
        self.words = scene.words
        self._folder = folder
        self._number = 0
        self._template = base
        self._template = self.copy()
        scene.prepare(self._template)
        self.before = Look(self._template)
        user = self.copy()
        begun = time.monotonic()
        user.ok(*self.words)
        self.seconds = time.monotonic() - begun
        self.after = Look(user)
        assert_sound(user)

    def copy(self) -> User:
        """Return a project of its own; hard links and times are as in the template."""
        self._number += 1
        place = self._folder / f"copy{self._number}"
        subprocess.run(["cp", "-a", self._template.root, place], check=True)
        return User(place)

    def reached(self) -> dict[str, int]:
        """Return how often the command comes to each failpoint."""
        user = self.copy()
        done = subprocess.run(
            [sys.executable, "-c", _COUNT, "-q", "-C", str(user.root), *self.words],
            env=user.environment(),
            capture_output=True,
            check=True,
            text=True,
        )
        counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        return counts

    def play(self, point: str, hit: int) -> None:
        """Kill the command at a failpoint, look, and give it again."""
        user = self.copy()
        killed = user.mlx(*self.words, env={"MLXREPO_FAILPOINT": f"{point}:{hit}"})
        assert killed.returncode == -signal.SIGKILL, (point, hit, killed.stdout, killed.stderr)
        self.check(user, f"{self.words} killed at {point}:{hit}")

    def play_for(self, seconds: float) -> None:
        """Kill the command after some time, look, and give it again."""
        user = self.copy()
        process = subprocess.Popen(
            [str(MLX), *self.words],
            cwd=user.root,
            env=user.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        process.kill()
        if process.wait() == -signal.SIGKILL:
            self.check(user, f"{self.words} killed after {seconds:.4f} s")

    def check(self, user: User, when: str) -> None:
        """Check what a kill has left, and that the command given again ends as it should.

        When all was done there may be nothing left to do, and the command says so.
        """
        left = Look(user)
        for path, data in left.files.items():
            known = [look.files.get(path) for look in (self.before, self.after)]
            fine = TEMP_PREFIX in path or data in known or _is_between(path, data, *known)
            assert fine, f"{when}: {path}"
        user.records()  # can be read
        assert {"mlx.yaml", "mlx.lock"} <= left.files.keys(), when
        assert self.before.kept() <= left.kept(), when
        again = user.mlx(*self.words)
        had_ended = again.returncode in (2, 3) and left.files == self.after.files
        assert had_ended or again.returncode == 0, f"{when}: {again.stdout}{again.stderr}"
        now = Look(user)
        assert now.files == self.after.files, when
        assert now.objects == self.after.objects, when
        assert self.after.kept() <= now.kept(), when
        assert_sound(user)


def _is_between(path: str, data: bytes, before: bytes | None, after: bytes | None) -> bool:
    """Say whether a file of git's is on its way: each target of a command is recorded by itself."""
    known = {*(before or b"").splitlines(), *(after or b"").splitlines()}
    return os.path.basename(path) in GIT_FILES and known.issuperset(data.splitlines())


class Look:
    """What is in a project: workspace files, objects, and what lies in the trash."""

    def __init__(self, user: User):
        self.files = user.files()
        root = store_of(user)
        self.objects = set(_objects(str(root)))
        self.trash: set[bytes] = set()
        for folder in (root / "trash").glob("gc-*"):
            self.trash.update(_objects(str(folder)))
        for path in (root / "trash").rglob("*"):
            if path.is_file() and not path.parts[len(root.parts) + 1].startswith("gc-"):
                self.trash.add(binary_key("blob", blob_oid(path.read_bytes())))

    def kept(self) -> set[bytes]:
        """Return the keys of all that can be had: objects, trash, and the user's data."""
        data = {
            binary_key("blob", blob_oid(data))
            for path, data in self.files.items()
            if os.path.basename(path) not in GIT_FILES
        }
        return self.objects | self.trash | data


def _objects(root: str) -> Iterator[bytes]:
    yield from (item.key for item in gc.loose(root))
    for _, pack in gc.packs(root):
        yield from (key for key, _ in gc.packed(pack))


def assert_sound(user: User) -> None:
    """Check that every object is what its name says, and that nothing temporary is left."""
    user.ok("fsck", "--data")
    left = [str(path) for path in user.root.rglob(f"{TEMP_PREFIX}*")]
    assert left == []


_COUNT = """
import json, sys
from collections import Counter
from mlxrepo import files
from mlxrepo.cli.main import run

counts = Counter()
files.failpoint = lambda name: counts.update([name])
code = run(sys.argv[1:])
print(json.dumps(counts))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stage]:
    """Return what gives the stage of a scene; each is set up once."""
    known: dict[str, Stage] = {}
    base = make_base(tmp_path_factory.mktemp("base") / "project")

    def stage(name: str) -> Stage:
        if name not in known:
            known[name] = Stage(SCENES[name], base, tmp_path_factory.mktemp(name))
        return known[name]

    return stage


@pytest.mark.parametrize(("scene", "point", "hit"), SAMPLE)
def test_killed_at_a_step_and_done_again(
    stages: Callable[[str], Stage], scene: str, point: str, hit: int
) -> None:
    stages(scene).play(point, hit)


@pytest.mark.nightly
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_every_step_and_done_again(stages: Callable[[str], Stage], scene: str) -> None:
    stage = stages(scene)
    for point, times in stage.reached().items():
        for hit in sorted({1, 2, (times + 1) // 2, times} & set(range(1, times + 1))):
            stage.play(point, hit)


@pytest.mark.nightly
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("seed", range(25))
def test_killed_at_any_time_and_done_again(
    stages: Callable[[str], Stage], scene: str, seed: int
) -> None:
    stage = stages(scene)
    stage.play_for(random.Random(f"{scene}{seed}").uniform(0.05, 1.0) * stage.seconds)


@pytest.mark.nightly
def test_every_step_is_reached_by_one_of_the_scenes(stages: Callable[[str], Stage]) -> None:
    reached = {point for scene in SCENES for point in stages(scene).reached()}
    far = {"move.copied", "move.before-remove"}  # from disk to disk: tests/test_publishing.py
    # With a remote: tests/remotes/test_killed.py.
    far |= {point for point in FAILPOINTS if point.startswith(("push.", "fetch.", "to-remote."))}
    assert reached | far == set(FAILPOINTS)
