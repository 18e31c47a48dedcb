"""One run from first step to final estimates."""
