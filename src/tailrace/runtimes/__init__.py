"""WHO WORKS: agent runtimes. Each yields events; none numbers, stores or streams them."""
