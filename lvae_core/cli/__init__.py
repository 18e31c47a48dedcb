"""Commands of ``python -m lvae_core`` that are longer than a few lines."""
