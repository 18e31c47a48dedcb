"""Checks: what could stop a sweep is found before anything is scheduled."""
