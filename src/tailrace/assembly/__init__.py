"""Composition: from a configuration to its store, runtimes, models and limits. `instance.py` puts them
together."""
