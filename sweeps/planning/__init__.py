"""Planning: the runs of a grid that are left to do, how long they take, and what they cost."""
