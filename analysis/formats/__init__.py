"""Write reports: to the terminal, as Markdown, LaTeX, CSV, web page and W&B report."""
