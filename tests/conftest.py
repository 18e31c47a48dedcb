"""Settings and fixtures for all tests: one thread, repeatable examples, storage that fails on demand."""

import gc
import os
import shutil
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

from .chaos.faults import disk, eio, eio_library, s3, s3_server  # noqa: F401 (fixtures for all)
from .chaos.users import theirs  # noqa: F401 (a fixture for all)
from .logs import no_unexpected_warnings

# torch reads these variables at its first import, so this file must not import it. One thread, also in the
# processes that tests start, because the way a sum is split over threads changes its last bits.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

# The lines that name a command say `python` for the Python on the path, which here is the one that runs.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# Without this, a call into Ray before ray.init starts one, which stays for all later tests.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"

# The product waits until each file is on the disk, and the tests write tens of thousands: in memory, where
# there is room, nothing waits.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 6 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# No deadline, because test machines are busy. No database, so that no files are left behind.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


LONG_FIRST = ("integration", "test_readme.py", "chaos", "wandb_mirror", "benchmarks")
"""Folders and files of few, long tests that wait for other processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with one at the end."""
    order = {name: rank for rank, name in enumerate(LONG_FIRST)}

    def rank(item: pytest.Item) -> int:
        first = item.path.relative_to(Path(__file__).parent).parts[0]
        return order.get(first, len(order))

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the objects of imported modules: it would visit them time and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def signals_as_on_a_terminal():
    """Undo that a background shell ignores Ctrl-C, and nohup SIGHUP, for the tests that send them."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    for number, handler in usual.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def fail_on_unexpected_log_warnings():
    """Fail on log warnings that the test does not expect, as pytest fails on Python warnings."""
    with no_unexpected_warnings():
        yield
