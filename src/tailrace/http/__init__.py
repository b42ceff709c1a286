"""HTTP: the server, its protocol, routes and streams. Nothing here could exist without HTTP."""
