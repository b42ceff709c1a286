"""The agents of the load: small steps at a pace, tools that record their effects, a team, questions.

Steps are short: a model's reply that a crash cuts off is requested again, so a long one might never end.
"""

from __future__ import annotations

WORD_MS = 400

_CONFIG = """
heartbeat_seconds = 1.0
shutdown_seconds = 1.0

[models.paced]
dialect = "script"
scenario = "scenario.toml"
interval_ms = %(word_ms)d

[agents.walker]
model = "paced"
tools = ["helper_tools:find", "helper_tools:order"]

[agents.lead]
model = "paced"
tools = ["helper_tools:order"]
approve = ["order"]
subagents = ["researcher"]

[agents.researcher]
model = "paced"
description = "Finds things."
tools = ["helper_tools:find"]

[agents.asker]
model = "paced"
ask_user = true
"""

_STEP = """
[[replies]]
when = "{when}"
steps = [{{ text = "{words} " }}, {{ call = "{call}", arguments = {{ {given} }} }}]
"""
_LAST = '[[replies]]\nwhen = "{when}"\nsteps = [{{ text = "All done." }}]\n'


def _replies(when: str, *calls: tuple[str, str]) -> str:
    steps = [
        _STEP.format(when=when, words=f"Now step {number}.", call=call, given=given)
        for number, (call, given) in enumerate(calls)
    ]
    return "".join([*steps, _LAST.format(when=when)])


_HAT = 'what = "hat"'
SCENARIO = "\n".join(
    [
        _replies("walk", ("find", _HAT), ("order", _HAT), ("find", _HAT)),
        "[[replies]]\nwhen = 'send two'\nsteps = [{ text = 'Two look for it. ' }, "
        "{ call = 'task', arguments = { agent = 'researcher', prompt = 'look north' } }, "
        "{ call = 'task', arguments = { agent = 'researcher', prompt = 'look south' } }]",
        _replies("send two", ("order", _HAT)),
        _replies("look (north|south)", ("find", _HAT)),
        _replies("ask me", ("ask_user", 'question = "Which?"'), ("ask_user", 'question = "Sure?"')),
    ]
)


def config() -> str:
    """The configuration, without its engine."""
    return _CONFIG % {"word_ms": WORD_MS}
