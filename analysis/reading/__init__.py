"""Read run folders of one or more studies into a tidy frame of runs, and one of their learning curves."""
