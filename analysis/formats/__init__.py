"""Output: terminal, Markdown, LaTeX, CSV, W&B and the page."""
