"""Hyperparameter search: trials in rounds, the record of their proposals, and their tables."""
