"""The model: parts, and the one class assembled from them."""
