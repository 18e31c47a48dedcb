"""The parts of core_speed.py: cases, the two implementations, the measuring process, the table."""
