"""The update of the parameters: objective, steps, optimisers and their schedules."""
