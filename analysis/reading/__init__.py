"""Run folders of one or more studies as one tidy frame, and their learning curves."""
