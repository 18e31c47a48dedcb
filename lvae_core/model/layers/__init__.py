"""The expensive layers, each in several arithmetics; ``reference.py`` holds the plain formulas."""
