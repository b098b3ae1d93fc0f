"""Work in threads, a few pieces at a time: what is in flight is bounded, and so is memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel(
    work: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    stop: Callable[[], None] | None = None,
) -> Iterator[R]:
    """Yield what `work` makes of each item, in the order in which it is done.

    Items are asked for, one at a time and in the caller's thread, when there is room for them. The
    first error ends it: what has not begun then never does. On Ctrl-C, and when the caller gives
    up, `stop` has to end what has begun; an error of `work` waits for the others.
    """
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="mlx-transfer")
    flying: set[Future[R]] = set()
    try:
        for item in items:
            flying.add(pool.submit(work, item))
            if len(flying) >= jobs:
                yield from _landed(flying)
        while flying:
            yield from _landed(flying)
    except (KeyboardInterrupt, GeneratorExit):
        if stop is not None:
            stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _landed(flying: set[Future[R]]) -> Iterator[R]:
    done, _ = wait(flying, return_when=FIRST_COMPLETED)
    flying -= done
    for future in done:
        yield future.result()
