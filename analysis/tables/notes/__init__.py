"""Notes on a dataset: warnings for a reader who compares its numbers with others."""
