"""A run as lines of a session: one JSON event a line."""
