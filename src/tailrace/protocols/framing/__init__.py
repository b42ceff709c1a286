"""Conversion between bytes and frames, in any chunking."""
