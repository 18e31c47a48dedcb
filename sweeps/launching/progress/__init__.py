"""Progress: the state of a launch, and its display."""
