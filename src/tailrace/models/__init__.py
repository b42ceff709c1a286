"""The I/O with model servers, and models without a server."""
