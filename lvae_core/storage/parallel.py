"""Reading from thousands of run folders: several at once where that pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
T = TypeVar("T")

_READERS = 16
# So many items tell whether a folder is on a disk of this machine, where parsing is what takes long and
# threads are in each other's way, or on another machine's, where waiting is.
_TRIED = 32
_WAITING = 4.0


def read_each(url: str, read: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """What ``read`` gives for each of ``items``, in their order.

    Args:
        url: of the store that ``read`` reads from. Of an object store several are read at once; of a
            folder, where the first ones have been waited for more than worked on.
        read: must be safe to call from several threads.
        items: to be read, all of which are taken at once.
    """
    rest = iter(list(items))
    if "://" not in url:
        wall, busy = time.perf_counter(), time.thread_time()
        first = list(map(read, islice(rest, _TRIED)))
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        yield from first
        if wall < _WAITING * busy:
            yield from map(read, rest)
            return
    with ThreadPoolExecutor(_READERS) as readers:
        yield from readers.map(read, rest)
