"""A Ray cluster: one that is started on this machine, or one that is already running."""
