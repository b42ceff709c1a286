"""WHERE THEY MEET: the ASGI application, and nothing that could live without HTTP."""
