"""What a workspace writer refuses to touch: what is behind a link, not there, or not ours."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from rig import Rig, as_nobody

from mlxrepo.paths import RepoPath


def test_removing_what_is_not_there_makes_nothing(rig: Rig) -> None:
    rig.workspace.remove([RepoPath("a/b/file")])
    rig.workspace.remove_folders([RepoPath("a/b")])
    assert os.listdir(rig.root) == []


def test_permission_bits_behind_a_link_stay(rig: Rig) -> None:
    outside = rig.root.parent / "outside"
    outside.write_bytes(b"")
    outside.chmod(0o640)
    (rig.root / "link").symlink_to(outside)
    with pytest.raises(OSError):  # noqa: PT011
        rig.workspace.make_executable(RepoPath("link"), True)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640


def test_a_pipe_where_a_file_was_stops_nobody(rig: Rig) -> None:
    os.mkfifo(rig.root / "pipe")
    rig.workspace.make_executable(RepoPath("pipe"), True)


def test_a_folder_that_cannot_be_removed_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for one user
        os.chmod(folder, 0o755)
        rig = Rig(Path(folder))
        (rig.root / "empty").mkdir()
        rig.root.chmod(0o555)

        def check() -> None:
            with pytest.raises(PermissionError):
                rig.workspace.remove_folders([RepoPath("empty")])

        as_nobody(check)
        rig.root.chmod(0o755)
