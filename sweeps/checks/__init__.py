"""What could stop a sweep, found out before anything is scheduled."""
