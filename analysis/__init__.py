"""Read finished runs from their folders and compare them with the published numbers."""
