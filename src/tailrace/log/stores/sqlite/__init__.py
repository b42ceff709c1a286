"""The default engine: one SQLite file in a folder that one process owns (docs/adr/0002-sqlite-log.md)."""
