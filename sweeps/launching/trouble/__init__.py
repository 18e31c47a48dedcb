"""Trouble: what happens to a launch from outside, noticed and remedied or reported."""
