"""The nodes of a workflow: the interface of a node, and the built-in types."""
