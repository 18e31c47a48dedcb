"""A Ray cluster: one of this machine, or one that runs already."""
