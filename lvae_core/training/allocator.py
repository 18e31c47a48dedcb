"""Memory of this process: huge pages, and what becomes of freed memory.

Training keeps what it has freed, and an evaluation returns it to the system. Both take memory from the
heap, for which the kernel is asked for huge pages: a training step goes through hundreds of megabytes, far
more small pages than a processor remembers the addresses of, and in a virtual machine looking one up takes
several steps (``benchmarks/huge_pages.py``).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>
_MADV_HUGEPAGE = 14  # <linux/mman.h>

_HUGE_PAGE = 2**21

_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")

_HEAP_BYTES = 3 * 2**29
"""Addresses by which the heap grows at once, for huge pages; only what is written takes memory. Less than
what the heap keeps when all is freed."""


SPARE_BYTES = 2**29
"""Growth of the process, in bytes, after which :func:`give_back_spare_memory` returns freed memory to the
system. The batches of an evaluation grow longer, so a freed block is seldom large enough for the next."""


_needed = 0
"""Resident bytes just after all freed memory had been given back."""


def keep_freed_memory() -> bool:
    """Let this process keep freed memory; return whether its C library can (glibc's can)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    kept = bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
    if kept:
        _ask_for_huge_pages()
    return kept


def _ask_for_huge_pages() -> None:
    """Let the heap grow, and ask for huge pages there: many kernels give them to those who ask only.

    Without them, for whatever reason, everything is slower and else the same.
    """
    if _OVERCOMMIT.exists() and _OVERCOMMIT.read_text().strip() == "2":
        return  # there addresses count as memory, which other processes would lack
    libc = ctypes.CDLL(None)
    malloc, free, madvise = libc.malloc, libc.free, libc.madvise
    malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    free(malloc(_HEAP_BYTES))  # free takes the null pointer of a malloc that has failed, too
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("[heap]"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
            if end > first:
                madvise(first, end - first, _MADV_HUGEPAGE)


def give_back_spare_memory() -> bool:
    """Return freed memory to the system if the process has grown by much; return whether it did so.

    The next allocations pay for it with page faults, some tenths of a second for each gigabyte.
    """
    global _needed
    if not sys.platform.startswith("linux") or resident_bytes() <= _needed + SPARE_BYTES:
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    _needed = resident_bytes()
    _ask_for_huge_pages()  # the heap has become shorter
    return True


def resident_bytes() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
