"""WHO THINKS: the I/O with model servers, and the models that need none."""
