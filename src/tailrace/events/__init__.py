"""The canonical events of a run, which all other folders use. Pure."""
