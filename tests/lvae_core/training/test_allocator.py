"""The memory that a process keeps after it has freed it, as the system sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json
from lvae_core.training.allocator import SPARE_BYTES, give_back_spare_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

kept = keep_freed_memory()
start = resident()
little = [bytes([1]) * 2**20 for _ in range(64)]
del little
after_little, given_little = resident(), give_back_spare_memory()
much = [bytes([1]) * 2**20 for _ in range(SPARE_BYTES // 2**20 + 64)]
wall = bytes([1]) * 2**20  # what lies behind the much is not its to give
del much
after_much, given_much = resident(), give_back_spare_memory()
print(json.dumps({
    "kept": kept, "start": start, "after_little": after_little, "given_little": given_little,
    "after_much": after_much, "given_much": given_much, "end": resident(),
    "given_again": give_back_spare_memory(),
}))
"""


HUGE = """
import json, re, sys
from pathlib import Path
from lvae_core.training import allocator
from lvae_core.training.allocator import keep_freed_memory

def pages():
    return int(re.search(r"AnonHugePages: *([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])

if sys.argv[1:]:
    allocator._OVERCOMMIT = Path(sys.argv[1])
kept, before = keep_freed_memory(), pages()
block = bytes([1]) * 2**26
print(json.dumps({"kept": kept, "before": before, "after": pages(), "again": keep_freed_memory()}))
"""

_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not _THP.exists() or "[never]" in _THP.read_text(), reason="this kernel gives no huge pages"
)
@pytest.mark.parametrize("overcommit", ["0", "1", "2"])
def test_the_heap_has_huge_pages_where_the_kernel_gives_them(overcommit, tmp_path):
    (tmp_path / "overcommit_memory").write_text(f"{overcommit}\n")
    command = [sys.executable, "-c", HUGE, str(tmp_path / "overcommit_memory")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if not found["kept"]:
        pytest.skip("not glibc")
    assert found["again"]
    has_some = found["after"] - found["before"] > 2**15  # of 64 MiB, in kB
    # Where addresses count as memory, none are taken in advance.
    assert has_some == (overcommit != "2") or "[always]" in _THP.read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_kept_up_to_a_limit_and_then_returned():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if not found["kept"]:
        pytest.skip("not glibc")
    MiB = 2**20
    assert found["after_little"] - found["start"] > 60 * MiB
    assert not found["given_little"]
    assert found["after_much"] - found["start"] > 512 * MiB
    assert found["given_much"]
    assert found["end"] - found["start"] < 64 * MiB
    assert not found["given_again"]
