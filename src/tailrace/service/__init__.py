"""The operations on runs, for every transport."""
