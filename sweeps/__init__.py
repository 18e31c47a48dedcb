"""Many runs: plan a grid, run it on a Ray cluster, and resume it after any interruption."""

import os

# Ray reads this at its first import. Its own handler of SIGTERM would print a stack of C++ before ours is
# called, and abort the process at its end.
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
