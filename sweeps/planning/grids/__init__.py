"""How a grid is written: axes, seeds, grid files, and what follows from them."""
