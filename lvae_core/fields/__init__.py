"""The fields of a config by subject; ``lvae_core/config.py`` joins them."""
