"""Wire protocols, one folder for each, both directions. Pure: no I/O, clock or random numbers."""
