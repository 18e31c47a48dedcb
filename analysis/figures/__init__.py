"""Draw figures from cells and comparisons; figures compute no statistics."""
