"""Layers that cost time, each in several arithmetics; ``reference.py`` holds the plain formulas."""
