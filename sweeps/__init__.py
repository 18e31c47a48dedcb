"""Many runs: plan a grid, run it on a Ray cluster, and resume it after any interruption."""
