"""Pictures of a report: each draws what it is given and computes no statistics."""
