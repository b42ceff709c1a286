"""Bytes to frames and back, fed in any pieces."""
