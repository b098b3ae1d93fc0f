"""Sending objects to a remote: packs and large blobs side by side, and last the index.

What arrived is noted at once, so that a push that was cut off goes on where it was; nobody sees
any of it before the index names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from mlxrepo.failpoints import failpoint
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.objects import Store
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remote import Remote, object_file, pack_file
from mlxrepo.store.remoteindex import WHOLE, Known, Spot
from mlxrepo.store.remotepack import make
from mlxrepo.store.survey import Survey, oid_in

PACK_SIZE = 16 << 20  # bytes of objects in a pack that is sent
PACK_OBJECTS = 50_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What a push sent: objects, their bytes, and how many bytes that took on the way.

    `resumed` objects had arrived with an earlier push that was cut off. `index` says where all of
    it is; "" when there was nothing to say.
    """

    objects: int = 0
    bytes: int = 0
    stored: int = 0
    resumed: int = 0
    index: str = ""


def with_sent(remote: Remote, known: Known) -> tuple[Known, list[Spot]]:
    """Return what is there with what earlier pushes sent and did not index, and these spots."""
    spots = [spot for spot in remote.sent() if not known.has(spot.key)]
    return (Extended(known, spots) if spots else known), spots


class Extended(Known):
    """What the indexes say, and spots that are there and in none of them."""

    def __init__(self, known: Known, spots: list[Spot]):
        super().__init__(known.indexes, sweeps=known.sweeps)
        self._known = known
        self._more = {spot.key: spot for spot in spots}

    def find(self, key: bytes) -> Spot | None:
        """Return where an object lies."""
        return self._known.find(key) or self._more.get(key)


def send(
    store: Store,
    remote: Remote,
    survey: Survey,
    earlier: list[Spot],
    *,
    jobs: int,
    prepare: Callable[[], None],
    known: Known,
    progress: Progress = SILENT,
) -> Sent:
    """Send what a survey found, then write the index; `prepare` comes before the first object.

    Raises:
        EnvironmentFailed: when the remote does not take it, or not all arrived; what did stays.
        Damaged: when an object here holds other bytes than its name says.
    """
    if not (survey.objects or earlier or survey.reclosed):
        return Sent()
    prepare()
    progress.start(f"push to {remote.name}", survey.amount, "bytes")
    sent = Sent(resumed=len(earlier))
    spots = list(earlier)
    work = chain(_packs(store, survey), _large(survey))
    for arrived in parallel(
        lambda job: job(store, remote, progress.advance), work, jobs, remote.door.stop
    ):
        spots += arrived
        remote.note_sent(arrived)
        failpoint("push.sent")
        size = sum(spot.size for spot in arrived)
        stored = sum(spot.length for spot in arrived)
        count = len(arrived)
        sent = replace(
            sent, objects=sent.objects + count, bytes=sent.bytes + size, stored=sent.stored + stored
        )
    spots += [spot for key in survey.reclosed if (spot := known.find(key))]
    failpoint("push.before-index")
    index = remote.publish(
        [spot._replace(closed=survey.closed.get(spot.key, False)) for spot in spots]
    )
    remote.forget_sent()
    progress.done()
    return replace(sent, index=index)


_Advance = Callable[[int], None]
_Job = Callable[[Store, Remote, _Advance], list[Spot]]


def _packs(store: Store, survey: Survey) -> Iterator[_Job]:
    """Yield the sending of each pack; its objects are read here, in the caller's thread."""
    for part in (survey.trees, survey.small):
        for keys in _groups(part.items()):
            objects = [
                (key, store.read("blob" if key[0] == 0 else "tree", oid_in(key))) for key in keys
            ]
            yield partial(_send_pack, objects)


def _groups(sizes: Iterable[tuple[bytes, int]]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    total = 0
    for key, size in sizes:
        if group and (total + size > PACK_SIZE or len(group) >= PACK_OBJECTS):
            yield group
            group, total = [], 0
        group.append(key)
        total += size
    if group:
        yield group


def _send_pack(
    objects: list[tuple[bytes, bytes]], _: Store, remote: Remote, advance: _Advance
) -> list[Spot]:
    pack = make(objects)
    objects.clear()  # several packs are in memory at a time
    file = pack_file(pack.name)
    if not remote.has_file(file, pack.data):  # a push that was cut off may have sent it
        remote.write(file, pack.data)
    advance(sum(spot.size for spot in pack.spots))
    return pack.spots


def _large(survey: Survey) -> Iterator[_Job]:
    for key, size in survey.large.items():
        yield partial(_send_large, key, size)


def _send_large(
    key: bytes, size: int, store: Store, remote: Remote, advance: _Advance
) -> list[Spot]:
    """Send one blob as a file of its own, unless it came with an earlier push."""
    oid = oid_in(key)
    if remote.door.size(object_file(oid)) == size and remote.holds(oid, size):
        advance(size)
    else:
        try:
            remote.send(store.path("blob", oid), oid, size, advance)
        except FileNotFoundError:  # in a pack, then it is not so large
            remote.write(object_file(oid), store.read("blob", oid))
            advance(size)
    return [Spot(key, WHOLE, 0, True, "", 0, size, size)]
