"""What holds for every test: one thread, examples that are the same every time, and places that fail."""

import os

import hypothesis
import pytest

from .chaos.faults import disk, eio, eio_library, s3, s3_server  # noqa: F401 (fixtures for all)
from .told import nothing_unexpected

# Read when torch is first imported, which this file leaves to the tests that need it. One thread, so that
# sums are split one way only, in the processes that tests start as well.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

# No deadline: machines that run tests are busy. No database: nothing is left behind.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def told():
    """A message for people that a test does not expect is an error, as a warning of Python is."""
    with nothing_unexpected():
        yield
