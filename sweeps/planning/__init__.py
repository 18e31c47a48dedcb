"""Plan = grid - done: what there is to do, and how long it takes."""
