"""The datasets that are known by name: built here, or downloaded."""
