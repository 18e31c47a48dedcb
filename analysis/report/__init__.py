"""Compose reports: of merged studies, of two studies side by side, and of the best points of a search."""
