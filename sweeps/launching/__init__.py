"""Launching: runs on Ray Tune, the display of their progress, and the recovery of lost ones."""
