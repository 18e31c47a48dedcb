"""A launch: Ray Tune, the trainable, what is shown while it runs, and what is lost."""
