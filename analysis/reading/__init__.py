"""Read run folders of one or more studies into two tidy frames: of runs, and of learning curves."""
