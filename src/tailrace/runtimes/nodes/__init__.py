"""The nodes of a workflow: what a node is, and the kinds that come with tailrace."""
