"""The native surface: every event of every workflow node, as it is stored."""
