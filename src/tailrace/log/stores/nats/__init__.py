"""The engine for many machines: logs and records in NATS JetStream. Why it is built so: docs/adr/0009-nats.md."""
