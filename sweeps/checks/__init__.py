"""Checks that find what could stop a sweep, before anything is scheduled."""
