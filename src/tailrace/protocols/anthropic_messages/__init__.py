"""Anthropic Messages, as model servers speak it."""
