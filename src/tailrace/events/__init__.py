"""WHAT HAPPENED: the canonical events of a run. Pure; everything else speaks these words."""
