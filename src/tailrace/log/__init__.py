"""Storage: one durable, append-only log per run, and the records that find runs."""
