"""The run folder: the only truth between training, sweeping and analysis. Never imports torch."""
