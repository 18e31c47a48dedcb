"""Datasets as checked text, vocabularies, and batches of class numbers."""
