"""How long runs take, what they cost, and the order that ends a grid soonest."""
