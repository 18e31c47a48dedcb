"""Many runs: a grid planned, placed on a Ray cluster, killed at any moment and taken up again."""
