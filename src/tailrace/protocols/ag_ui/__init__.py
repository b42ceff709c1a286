"""AG-UI 1.0: runs as the events that `HttpAgent` of `@ag-ui/client` and the protocol's Python models know."""
