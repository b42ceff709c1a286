"""THE LIFE OF A RUN: it outlives every connection and every process."""
