"""The life of a run, which outlives every connection and every process."""
