"""One thread for every test and every process that a test starts: sums are then split one way only."""

import os

# Read when torch is first imported, which this file leaves to the tests that need it.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
