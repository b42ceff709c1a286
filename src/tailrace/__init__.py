"""tailrace: run AI agents durably; tail any run over any protocol."""

__version__ = "0.1.0"
