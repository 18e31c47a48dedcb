"""Read finished runs from their folders and lay them beside the published numbers."""
