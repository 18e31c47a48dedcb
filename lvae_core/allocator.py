"""Memory that a step has freed is kept for the next one.

glibc hands every large block back to the system when it is freed and asks for it anew in the next step,
which then pays for a page fault on each of its pages: dear where the machine is virtual.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>

SPARE_BYTES = 2**29
"""What may lie idle in an evaluation, whose sentences grow longer from batch to batch, so that hardly any
block that is free again is large enough for the next one."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; whether its C library could be told so (glibc's can)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_spare_memory() -> bool:
    """Let the system have what lies idle in this process, if it is much; whether anything was given back.

    The next allocations pay for it with page faults, some tenths of a second for each gigabyte.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    trim, usage = getattr(library, "malloc_trim", None), getattr(library, "mallinfo2", None)
    if trim is None or usage is None:  # glibc has both since 2.33
        return False
    usage.restype = _Usage
    if usage().fordblks <= SPARE_BYTES:
        return False
    return bool(trim(ctypes.c_size_t(0)))


class _Usage(ctypes.Structure):
    """mallinfo2 of <malloc.h>; fordblks: bytes that are free, but not given back."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]
