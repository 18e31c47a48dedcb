"""Published numbers, read from CSV files: docs/published.md describes their columns."""
