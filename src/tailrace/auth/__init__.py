"""WHO ASKS."""
