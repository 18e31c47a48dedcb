"""Packing: probes that choose how many runs share a device (``--gpus-per-run auto``)."""
