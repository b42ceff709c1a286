"""The server under attack: its agents, their texts, and tools that record their effects. Steps are short: a
model's reply that a crash cuts off is requested again, so a long one might never end."""

from __future__ import annotations

_CONFIG = """
[server]
data = "data"
heartbeat_seconds = 1.0
shutdown_seconds = 1.0
max_body_bytes = 1000000
write_timeout_seconds = 10

[limits.token]
requests_per_minute = 0
concurrent_runs = 0

[limits.tenant]
requests_per_minute = 0
concurrent_runs = 0

[limits.reply]
bytes = 4000000
events = 20000

[models.echo]
dialect = "echo"
interval_ms = 6

[models.script]
dialect = "script"
scenario = "scenario.toml"
interval_ms = 8

[models.wild]
dialect = "chat"
base_url = "%(wild)s"
model = "wild"
retries = 0
idle_seconds = 2
first_byte_seconds = 2

[agents.talker]
model = "echo"

[agents.walker]
model = "script"
tools = ["helper_tools:find", "helper_tools:order"]

[agents.lead]
model = "script"
tools = ["helper_tools:order"]
subagents = ["researcher"]

[agents.researcher]
model = "script"
description = "Finds things."
tools = ["helper_tools:find"]

[agents.payer]
model = "script"
tools = ["helper_tools:order"]
approve = ["order"]

[agents.asker]
model = "script"
ask_user = true
tools = ["helper_tools:order"]

[agents.victim]
model = "wild"
max_turns = 3
max_seconds = 8
"""

LAST = "All done."
SCENARIO = f"""
[[replies]]
when = "walk"
steps = [{{ text = "Now I look for it. " }}, {{ call = "find", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "walk"
steps = [{{ summary = "It is there." }}, {{ call = "order", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "walk"
steps = [{{ text = "I have it now, and " }}, {{ call = "order", arguments = {{ what = "box" }} }}]
[[replies]]
when = "walk"
steps = [{{ text = "{LAST}" }}]

[[replies]]
when = "send two"
steps = [
  {{ text = "Two look for it. " }},
  {{ call = "task", arguments = {{ agent = "researcher", prompt = "look north" }} }},
  {{ call = "task", arguments = {{ agent = "researcher", prompt = "look south" }} }},
]
[[replies]]
when = "send two"
steps = [{{ call = "order", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "send two"
steps = [{{ text = "{LAST}" }}]

[[replies]]
when = "look (north|south)"
steps = [{{ text = "I look there. " }}, {{ call = "find", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "look (north|south)"
steps = [{{ text = "Found it there." }}]

[[replies]]
when = "pay"
steps = [{{ text = "It costs a lot. " }}, {{ call = "order", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "pay"
steps = [{{ text = "{LAST}" }}]

[[replies]]
when = "ask me"
steps = [{{ text = "Let me ask. " }}, {{ call = "ask_user", arguments = {{ question = "Which?" }} }}]
[[replies]]
when = "ask me"
steps = [{{ call = "order", arguments = {{ what = "hat" }} }}]
[[replies]]
when = "ask me"
steps = [{{ text = "{LAST}" }}]

[[replies]]
when = "long"
steps = [{{ text = "{"word by word it goes on and on " * 40}" }}]
"""


def config(wild: str) -> str:
    """The configuration; `wild` is the URL of the misbehaving model server."""
    return _CONFIG % {"wild": wild}
