"""Async generators as runtimes."""
