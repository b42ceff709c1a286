"""The tools of built-in agents."""
