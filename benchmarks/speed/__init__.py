"""The parts of core_speed.py: cases, two implementations, the measuring process and the table."""
