"""The engine that keeps nothing: for tests, and for `tailrace run`."""
