"""The memory that a process keeps after it has freed it, as the system sees it."""

from __future__ import annotations

import json
import subprocess
import sys

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
