"""Scripts that speak to a server with Python clients; each runs in the client's own environment."""
