"""Benchmarks: one file a question; `python -m benchmarks` asks them all. Never part of the tests."""
