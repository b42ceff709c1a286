"""Composition: which store, runtimes, models and limits a configuration means. `instance.py` puts them
together."""
