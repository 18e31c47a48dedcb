"""Finished runs read from their folders and laid beside the published numbers."""
