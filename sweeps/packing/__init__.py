"""How many runs share a device (``--gpus-per-run auto``)."""
