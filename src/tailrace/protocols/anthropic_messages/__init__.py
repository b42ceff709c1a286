"""Anthropic Messages, as a client sends it and as model servers implement it."""
