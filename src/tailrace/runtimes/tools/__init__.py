"""What agents can do besides talk."""
