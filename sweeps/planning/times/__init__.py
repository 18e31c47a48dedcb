"""Expected times of runs, their cost, and the order that ends a grid soonest."""
