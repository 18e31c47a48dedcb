"""Statistics over seeds: averages, intervals, tests and verdicts, as functions that draw nothing."""
