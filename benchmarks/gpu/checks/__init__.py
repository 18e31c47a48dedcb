"""The checks of gpu_check.py, and the formulas in float64 that they compare with."""
