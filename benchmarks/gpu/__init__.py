"""The parts of gpu_check.py: checks, timings and the command that runs them one after another."""
