"""Read from thousands of run folders, concurrently if that is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
T = TypeVar("T")

_READERS = 16
# The first items of a folder show whether its disk is local or remote. On a local disk parsing takes most
# of the time and threads slow each other down; on a remote one waiting takes most of it.
_SAMPLE = 32
_REMOTE_RATIO = 4.0
"""Ratio of wall time to CPU time from which a folder counts as remote."""


def read_each(
    url: str, read: Callable[[Item], T], items: Iterable[Item], readers: int = _READERS
) -> Iterator[T]:
    """Yield ``read(item)`` for each item, in order.

    Args:
        url: address of the store that ``read`` reads from. An object store is read by several threads. A
            folder is read by several threads if the first items show that it is remote.
        read: must be safe to call from several threads.
        items: the items to read; the whole iterable is consumed at once.
        readers: the number of threads.
    """
    rest = iter(list(items))
    if "://" not in url:
        wall, busy = time.perf_counter(), time.thread_time()
        first = list(map(read, islice(rest, _SAMPLE)))
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        yield from first
        if wall < _REMOTE_RATIO * busy:
            yield from map(read, rest)
            return
    with ThreadPoolExecutor(readers) as pool:
        yield from pool.map(read, rest)
