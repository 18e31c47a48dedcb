"""The parts of collate.py: synthetic run folders, Tune trials, and the measurements."""
