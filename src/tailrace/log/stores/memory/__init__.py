"""The engine without storage: for tests, and for `tailrace run`."""
