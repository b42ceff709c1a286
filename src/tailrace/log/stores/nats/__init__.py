"""The engine for many machines: logs and records in NATS JetStream (docs/adr/0009-nats.md)."""
