"""What moves the parameters: objective, steps, optimisers and their schedules."""
