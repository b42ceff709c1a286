"""Agents of other makers: each file turns one kind of agent into a `Runtime`."""
