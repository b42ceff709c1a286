"""Graphs of LangGraph and deep agents as runtimes."""
