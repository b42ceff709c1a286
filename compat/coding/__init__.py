"""Coding agents as clients: Codex and Claude Code, over model servers of every dialect."""
