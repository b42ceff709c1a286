"""Agent runtimes. Each emits events; none numbers, stores or streams them."""
