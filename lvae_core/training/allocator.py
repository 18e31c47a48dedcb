"""Freed memory of this process: training keeps it, and an evaluation returns it to the system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>


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
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


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
    return True


def resident_bytes() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
