"""A hyperparameter search: trials in rounds, their history and their tables."""
