"""The run folder: all that training, sweeps and analysis share about a run. Never imports torch."""
