"""Where the trash or a new pack cannot be written, gc stops, and nothing goes for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxrepo.store import gc
from mlxrepo.store.gc import NOTHING, Amount, Plan, Share
from mlxrepo.store.inventory import list_packs
from mlxrepo.store.objects import Store


def filled(root: Path, count: int) -> None:
    store = Store(str(root))
    with store.batch() as batch:
        for number in range(count):
            batch.put("blob", b"content %d" % number)
    store.close()


def test_what_cannot_go_to_the_trash_stays(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    loose = tuple(gc.loose(str(tmp_path)))
    (tmp_path / "trash").write_bytes(b"in the way")
    plan = Plan(loose, (), (), NOTHING, NOTHING, NOTHING)
    with pytest.raises((FileExistsError, NotADirectoryError)):
        gc.sweep(str(tmp_path), plan, set(), set)
    assert tuple(gc.loose(str(tmp_path))) == loose


def test_a_pack_that_cannot_be_written_anew_is_an_error_and_stays(tmp_path: Path) -> None:
    filled(tmp_path, 40)
    [file] = list_packs(str(tmp_path))
    live = {key for _, pack in gc.packs(str(tmp_path)) for key, _ in gc.packed(pack)}
    (tmp_path / "tmp").rmdir()
    (tmp_path / "tmp").write_bytes(b"in the way")
    share = Share(file, 0, Amount(40, 40), Amount(30, 30))
    with pytest.raises((FileExistsError, NotADirectoryError)):
        gc.sweep(str(tmp_path), Plan((), (), (share,), NOTHING, NOTHING, NOTHING), live, set)
    assert list_packs(str(tmp_path)) == [file]
