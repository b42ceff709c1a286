"""The default engine: one SQLite file in a folder that one process owns (`store.py`)."""
