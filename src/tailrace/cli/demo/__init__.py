"""The demo: a scripted agent with two tools, and a model that repeats its input."""
