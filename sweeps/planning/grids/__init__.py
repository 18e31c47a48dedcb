"""The notation of grids: axes, seeds and grid files, and the texts that describe them."""
