"""The store: it gives the bytes that were put, or an error, and never other bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig, run, temporaries

from mlxrepo.errors import Damaged, EnvironmentFailed, InputError, MlxError, ObjectMissing
from mlxrepo.files import SMALL, temp_file
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.store.objects import LOOSE_MAX, Store
from mlxrepo.store.pack import FOOTER, MAGIC, ROW, Pack, PackWriter
from mlxrepo.store.tree import Entry, children

LARGE = bytes(range(256)) * (SMALL // 256) + b"the end"


def put(store: Store, *contents: bytes) -> list[Entry]:
    with store.batch() as batch:
        return [Entry("file", batch.put("blob", data), len(data)) for data in contents]


def written(store: Store, entry: Entry) -> bytes:
    """Return what `write_to` writes."""
    with tempfile.TemporaryFile() as stream:
        store.write_to(stream.fileno(), entry)
        stream.seek(0)
        return stream.read()


def streamed(store: Store, entry: Entry) -> bytes:
    with tempfile.TemporaryFile() as stream:
        store.stream(entry, stream.fileno())
        stream.seek(0)
        return stream.read()


READERS = [lambda store, entry: store.read("blob", entry.oid), written, streamed]
several = pytest.mark.parametrize("count", [1, LOOSE_MAX + 5], ids=["loose", "packed"])


@several
@pytest.mark.parametrize("read", READERS)
def test_what_was_put_comes_back(rig: Rig, count: int, read) -> None:
    contents = [b"number %d" % number * number for number in range(count)]  # one is empty
    entries = put(rig.store, *contents)
    rig.fresh()
    assert [read(rig.store, entry) for entry in entries] == contents
    assert [entry.oid for entry in entries] == [blob_oid(data) for data in contents]


@pytest.mark.parametrize("read", READERS)
def test_a_large_file_comes_back(rig: Rig, read) -> None:
    rig.write("large", LARGE)
    entry = rig.add("large")
    rig.fresh()
    assert read(rig.store, entry) == LARGE
    assert os.stat(rig.store.path("blob", entry.oid)).st_mode & 0o777 == 0o444


def test_nothing_is_visible_of_a_batch_that_failed(rig: Rig) -> None:
    contents = [b"number %d" % number for number in range(LOOSE_MAX + 5)]
    batch = rig.store.batch()
    for data in contents:
        batch.put("blob", data)
    batch.__exit__(RuntimeError)
    rig.fresh()
    assert not any(rig.store.has("blob", blob_oid(data)) for data in contents)
    assert temporaries(rig.store_root) == []


def test_a_batch_that_cannot_be_published_leaves_no_temporary(rig: Rig) -> None:
    rig.store.prepare()
    (rig.store_root / "packs").write_bytes(b"in the way")
    with pytest.raises(OSError, match="packs"):
        put(rig.store, *(b"number %d" % number for number in range(LOOSE_MAX + 5)))
    assert temporaries(rig.store_root) == []


def test_a_batch_can_be_published_half_way(rig: Rig) -> None:
    with rig.store.batch() as batch:
        first = batch.put("blob", b"first")
        batch.publish()
        assert Store(str(rig.store_root)).read("blob", first) == b"first"
        second = batch.put("blob", b"second")
    assert rig.store.read("blob", second) == b"second"


def test_what_is_stored_is_not_stored_again(rig: Rig) -> None:
    rig.write("large", LARGE)
    rig.add("large")
    put(rig.store, b"small")
    rig.fresh()
    with rig.store.batch() as batch:
        batch.put("blob", b"small")
        batch.put_file(str(rig.root / "large"))
    assert (batch.new_objects, batch.new_bytes) == (0, 0)


def test_a_blob_is_no_tree(rig: Rig) -> None:
    with rig.store.batch() as batch:
        data = b"mlx tree 1\n"
        blob, tree = batch.put("blob", data), batch.put_tree(data)
    assert blob != tree
    with pytest.raises(ObjectMissing):
        rig.store.read("tree", blob)
    with pytest.raises(ObjectMissing):
        rig.store.read("blob", tree)


def test_what_another_process_stored_meanwhile_is_found(rig: Rig) -> None:
    oid = blob_oid(b"later")
    assert not rig.store.has("blob", oid)
    put(Store(str(rig.store_root)), b"later")
    assert rig.store.read("blob", oid) == b"later"


def test_what_is_missing_is_named_with_its_path(rig: Rig) -> None:
    files = {f"{n:05}": b"" for n in range(5000)}
    entry = rig.keep({"a": {"one": b"1"}, "b": {"two": b"2"}, "split": files})
    two = rig.store.tree(rig.store.tree(entry.oid)["b"].oid)["two"]
    os.unlink(rig.store.path("blob", two.oid))
    index = rig.store.tree(entry.oid)["split"].oid
    os.unlink(rig.store.path("tree", children(rig.store.read("tree", index), index)[1]))
    rig.fresh()
    assert sorted(path for path, _ in rig.store.missing(entry)) == ["b/two", "split"]
    assert len(rig.store.missing(entry, limit=1)) == 1
    assert not rig.store.is_whole(entry)


# damage


def store_files(rig: Rig) -> Iterator[Path]:
    for here, _, names in os.walk(rig.store_root):
        for name in names:
            yield Path(here, name)


def outcome(rig: Rig, entries: list[Entry], contents: list[bytes]) -> set[str]:
    """Read everything in every way; return what happened, "wrong" for other bytes."""
    seen: set[str] = set()
    for read in READERS:
        for entry, data in zip(entries, contents, strict=True):
            try:
                seen.add("right" if read(Store(str(rig.store_root)), entry) == data else "wrong")
            except MlxError as error:
                seen.add(type(error).__name__)
    return seen


@several
def test_no_flipped_byte_anywhere_gives_wrong_bytes(rig: Rig, count: int) -> None:
    contents = [b"%d" % number for number in range(count)]
    entries = put(rig.store, *contents)
    for path in store_files(rig):
        good = path.read_bytes()
        path.chmod(0o644)
        step = max(1, len(good) // 60)
        for at in (*range(0, len(good), step), *range(max(0, len(good) - 12), len(good))):
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :])
            seen = outcome(rig, entries[-1:], contents[-1:])
            assert seen <= {"right", "Damaged", "ObjectMissing", "InputError"}, (path, at)
        path.write_bytes(good)
    assert outcome(rig, entries, contents) == {"right"}


@several
def test_no_file_cut_short_gives_wrong_bytes(rig: Rig, count: int) -> None:
    contents = [b"number %d" % number for number in range(count)]
    entries = put(rig.store, *contents)
    for path in store_files(rig):
        good = path.read_bytes()
        path.chmod(0o644)
        for length in range(0, len(good), max(1, len(good) // 40)):
            path.write_bytes(good[:length])
            seen = outcome(rig, entries[-1:], contents[-1:])
            assert "wrong" not in seen, (path, length)
        path.write_bytes(good)


@pytest.mark.parametrize("at", [0, SMALL // 2, len(LARGE) - 1])
def test_a_damaged_large_object_is_an_error_before_a_byte_is_shown(rig: Rig, at: int) -> None:
    rig.write("large", LARGE)
    entry = rig.add("large")
    path = Path(rig.store.path("blob", entry.oid))
    path.chmod(0o644)
    for bad in (LARGE[:at] + b"?" + LARGE[at + 1 :], LARGE[:at], LARGE + b"?"):
        path.write_bytes(bad)
        assert outcome(rig, [entry], [LARGE]) == {"Damaged"}
        with tempfile.TemporaryFile() as stream:
            with pytest.raises(Damaged):
                rig.store.stream(entry, stream.fileno())
            assert stream.tell() == 0


@pytest.fixture(params=[b"small", LARGE], ids=["small", "large"])
def twice(rig: Rig, request: pytest.FixtureRequest) -> tuple[Entry, bytes, dict[str, Path]]:
    """An object that lies in two packs and in a file of its own, and where that is."""
    data: bytes = request.param
    entry = Entry("file", blob_oid(data), len(data))
    loose = Path(rig.store.path("blob", entry.oid))
    rig.write("file", data)
    rig.add("file")
    places = {"loose": loose}
    for name in (b"one", b"two"):
        places[name.decode()], _ = write_pack(rig, ("blob", data), ("blob", name))
    rig.fresh()
    return entry, data, places


@pytest.mark.parametrize("good", ["loose", "one", "two"])
@pytest.mark.parametrize("fault", ["flip", "cut", "grow", "gone"])
def test_one_good_copy_of_an_object_is_enough(
    rig: Rig, twice: tuple[Entry, bytes, dict[str, Path]], good: str, fault: str
) -> None:
    entry, data, places = twice
    for name, path in places.items():
        if name == good:
            continue
        at = path.read_bytes().index(data) if name != "loose" else 0
        path.chmod(0o644)
        if fault == "gone":
            path.unlink()
        elif fault in ("cut", "grow") and name == "loose":
            os.truncate(path, len(data) // 2 if fault == "cut" else len(data) + 1)
        else:
            with path.open("r+b") as stream:
                stream.seek(at)
                stream.write(b"?")
    assert outcome(rig, [entry], [data]) == {"right"}
    # Known from before the fault, too.
    assert [read(rig.store, entry) for read in READERS] == [data] * len(READERS)
    places[good].unlink()
    assert outcome(rig, [entry], [data]) == {"ObjectMissing" if fault == "gone" else "Damaged"}


def test_a_link_is_not_made_to_a_damaged_file_but_its_good_copy_comes(rig: Rig) -> None:
    rig.store.link = "hardlink"
    rig.write("data", b"good")
    entry = rig.add("data")
    write_pack(rig, ("blob", b"good"))
    (rig.root / "data").unlink()
    path = Path(rig.store.path("blob", entry.oid))
    path.chmod(0o644)
    path.write_bytes(b"evil")
    rig.store.refresh()
    rig.materialize("out", entry)
    assert rig.read("out") == b"good"


def test_an_object_in_the_place_of_another_is_an_error(rig: Rig) -> None:
    one, two = put(rig.store, b"one", b"two")
    os.replace(rig.store.path("blob", one.oid), rig.store.path("blob", two.oid))
    with pytest.raises(Damaged):
        rig.store.read("blob", two.oid)


def test_a_store_of_a_newer_format_is_refused_by_name(rig: Rig) -> None:
    (entry,) = put(rig.store, b"content")
    (rig.store_root / "format").write_text("2 blake4\n")
    for use in (
        lambda store: store.read("blob", entry.oid),
        lambda store: store.has("blob", entry.oid),
        lambda store: store.batch(),
    ):
        with pytest.raises(InputError, match="2 blake4"):
            use(Store(str(rig.store_root)))


# packs


def write_pack(rig: Rig, *items: tuple[str, bytes]) -> tuple[Path, list[Oid]]:
    writer = PackWriter(rig.store.temp, rig.store.pack_folder)
    oids = [blob_oid(data) for _, data in items]
    for (kind, data), oid in zip(items, oids, strict=True):
        writer.add(kind, oid, data)
    return Path(writer.close()), oids


def test_a_pack_gives_back_what_it_was_given(rig: Rig) -> None:
    contents = [b"", b"a", b"b" * 70_000, b"MLXPEND1"]
    path, oids = write_pack(rig, *(("blob", data) for data in contents), ("tree", b"a"))
    pack = Pack(str(path))
    for data, oid in zip(contents, oids, strict=False):
        slot = pack.find("blob", bytes.fromhex(oid))
        assert slot is not None
        with open(path, "rb") as stream:
            assert pack.read(slot, stream.fileno()) == data
    assert pack.find("tree", bytes.fromhex(blob_oid(b"a"))) is not None
    assert pack.find("tree", bytes.fromhex(blob_oid(b""))) is None
    assert pack.find("blob", b"\xff" * 32) is None
    assert {(oid, slot.kind) for oid, slot in pack.items()} == {
        *((oid, "blob") for oid in oids[:4]),
        (oids[4], "tree"),
    }


def test_equal_packs_have_equal_names(rig: Rig) -> None:
    first, _ = write_pack(rig, ("blob", b"a"), ("blob", b"b"))
    second, _ = write_pack(rig, ("blob", b"a"), ("blob", b"b"))
    assert first == second
    assert temporaries(rig.store_root) == []


def reseal(path: Path, rows: bytes) -> None:
    """Put another table into a pack, with the sum that belongs to it."""
    from mlxrepo.hashing import PACK_CONTEXT, keyed_oid

    data = path.read_bytes()
    offset, count, _, end = FOOTER.unpack(data[-FOOTER.size :])
    digest = bytes.fromhex(keyed_oid(PACK_CONTEXT, rows))
    path.chmod(0o644)
    path.write_bytes(data[:offset] + rows + FOOTER.pack(offset, count, digest, end))


@pytest.mark.parametrize(
    "place",
    [
        (7, 0, len(MAGIC), 5, 5),  # a kind nobody knows
        (0, 9, len(MAGIC), 5, 5),  # a codec of a newer mlx
        (0, 0, 0, 5, 5),
        (0, 0, len(MAGIC), 6, 6),  # into the table
        (0, 0, 1 << 63, 5, 5),
        (0, 0, len(MAGIC), 1 << 63, 5),
    ],
)
def test_a_table_that_names_what_cannot_be_is_damage(rig: Rig, place: tuple[int, ...]) -> None:
    path, (oid,) = write_pack(rig, ("blob", b"12345"))
    reseal(path, ROW.pack(bytes.fromhex(oid), *place))
    with pytest.raises(Damaged):
        rig.store.read("blob", oid)


def test_a_store_of_many_packs_needs_few_descriptors(rig: Rig) -> None:
    oids = [write_pack(rig, ("blob", b"%d" % number))[1][0] for number in range(60)]
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from mlxrepo.store.objects import Store\n"
        "store = Store(sys.argv[1])\n"
        "print(*[store.read('blob', oid).decode() for oid in sys.argv[2:]])"
    )
    done = run(code, rig.store_root, *oids)
    assert done.stdout.split() == [str(number) for number in range(60)], done.stderr


ADD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from rig import Rig
from mlxrepo.store.objects import Store
store = Store(sys.argv[1])
first = int(sys.argv[2])
with store.batch() as batch:
    for number in range(first, first + 200):
        batch.put("blob", b"number %d" % number)
    batch.put("blob", b"x" * (1 << 20))
"""


def test_two_writers_at_once_lose_nothing(rig: Rig) -> None:
    import subprocess
    import sys

    here = Path(__file__).parent
    running = [
        subprocess.Popen([sys.executable, "-c", ADD, rig.store_root, str(first), here])
        for first in (0, 0, 100)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    for number in range(300):
        data = b"number %d" % number
        assert rig.store.read("blob", blob_oid(data)) == data
    assert temporaries(rig.store_root) == []


def test_a_living_writers_temporary_is_left_alone_and_a_dead_ones_is_removed(rig: Rig) -> None:
    rig.store.prepare()
    with temp_file(rig.store.temp) as (_, alive):
        dead = Path(rig.store.temp, ".mlx-tmp-dead")
        dead.write_bytes(b"what a killed writer left")
        rig.write("large", LARGE)
        rig.add("large")
        assert os.path.exists(alive)
        assert not dead.exists()


# memory

MEMORY = """
import os, resource, sys
from mlxrepo.store.objects import Store
from mlxrepo.store.tree import Entry, children
store, path = Store(sys.argv[1]), sys.argv[2]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
with store.batch() as batch:
    content = batch.put_file(path)
entry = Entry("file", content.oid, content.stat.size)
null = os.open(os.devnull, os.O_WRONLY)
store.stream(entry, null)
with open(path + ".back", "wb") as stream:
    store.write_to(stream.fileno(), entry)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_size_of_a_file(rig: Rig) -> None:
    size = 256 << 20
    with (rig.root / "huge").open("wb") as stream:
        stream.truncate(size)
        stream.write(b"not all zeros")
    done = run(MEMORY, rig.store_root, rig.root / "huge")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64
    assert (rig.root / "huge.back").stat().st_size == size


def test_a_file_that_vanished_is_named(rig: Rig) -> None:
    with pytest.raises((EnvironmentFailed, FileNotFoundError), match="gone"):
        rig.store.batch().put_file(str(rig.root / "gone"))
