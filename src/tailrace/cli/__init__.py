"""The command line."""

from tailrace.cli.main import main

__all__ = ["main"]
