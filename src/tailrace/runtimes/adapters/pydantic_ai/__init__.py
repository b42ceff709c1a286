"""Agents of Pydantic AI as runtimes."""
