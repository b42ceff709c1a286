"""Adapters: each turns the agents of one framework into a `Runtime`."""
