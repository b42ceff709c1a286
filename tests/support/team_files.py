"""A team on disk: a lead, two researchers, a tool that needs approval, a question; for real servers."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import TOOLS, ChildServer

CONFIG = """
[server]
data = "data"
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"
interval_ms = 1
price = {{ input = 1.0, output = 2.0 }}

[agents.lead]
id = 9
model = "script"
tools = ["helper_tools:order"]
approve = ["order"]
subagents = ["researcher", "asker"]

[agents.researcher]
model = "script"
description = "Finds things."
tools = ["helper_tools:find"]

[agents.asker]
model = "script"
ask_user = true
"""

SCARF = "A hat, and a scarf."
"""The lead's reply to a message that arrives with an answer."""

SCENARIO = """
[[replies]]
when = "a scarf"
steps = [{ text = "A hat, and a scarf." }]

[[replies]]
when = "order a hat"
steps = [
  { text = "I let two look. " },
  { call = "task", arguments = { agent = "researcher", prompt = "look north" } },
  { call = "task", arguments = { agent = "researcher", prompt = "look south" } },
]
[[replies]]
when = "order a hat"
steps = [{ text = "Now I order. " }, { call = "order", arguments = { what = "hat" } }]
[[replies]]
when = "order a hat"
steps = [{ text = "All is done now." }]

[[replies]]
when = "paint and order"
steps = [
  { call = "paint", arguments = { what = "hat" }, call_id = "call_paint" },
  { call = "order", arguments = { what = "hat" } },
]
[[replies]]
when = "paint and order"
steps = [{ text = "Painted and ordered." }]

[[replies]]
when = "look (north|south)"
steps = [{ text = "Looking. " }, { call = "find", arguments = { what = "hat" } }]
[[replies]]
when = "look (north|south)"
steps = [{ text = "Found it." }]

[[replies]]
when = "ask them"
steps = [{ call = "task", arguments = { agent = "asker", prompt = "which colour" } }]
[[replies]]
when = "ask them"
steps = [{ text = "I asked." }]

[[replies]]
when = "which colour"
steps = [{ call = "ask_user", arguments = { question = "Which colour?", options = ["red", "blue"] } }]
[[replies]]
when = "which colour"
steps = [{ text = "Thank you." }]
"""


def team_server(folder: Path, *, server: str = "") -> ChildServer:
    """A server with the team, not started."""
    return ChildServer(folder, server=server, config=CONFIG, scenario=SCENARIO, tools=TOOLS)


def effects(folder: Path, tool: str) -> int:
    """How often a tool of the team took effect."""
    file = folder / "effects.txt"
    return file.read_text(encoding="utf-8").split().count(tool) if file.exists() else 0
