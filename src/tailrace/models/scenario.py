"""The scenario file of a scripted model: its replies, in order. TOML or JSON.

    [[replies]]
    when = "weather"                    # a regular expression on the last user text; optional
    steps = [
      { reasoning = "I should look it up." },
      { text = "Let me see. " },
      { call = "get_weather", arguments = { city = "Oslo" } },
    ]
    [[replies]]                         # the reply after the tool's answer
    when = "weather"
    steps = [{ text = "It rains in Oslo." }]

Which reply is played is a function of the request alone: of those whose `when` fits, the one whose place
is the number of replies the model has given since the last user message; past the last, the last. So a
reply that is requested again after a crash is the same reply.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from tailrace.errors import ConfigError
from tailrace.events.items import Item, Json, Message, Reasoning, ToolCall
from tailrace.events.request import ModelRequest
from tailrace.events.types import Finish
from tailrace.models.echo import last_user_text


class ScenarioStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One step of the model; exactly one of the first eight fields is given.

    `call` names a tool (with `arguments`, `call_id`, `custom`). `delay_ms` waits. `fail` ends the reply
    with an error message, `cut` as if the connection had died.
    """

    text: str | None = None
    reasoning: str | None = None
    summary: str | None = None
    refusal: str | None = None
    call: str | None = None
    annotation: dict[str, Json] | None = None
    delay_ms: float | None = None
    fail: str | None = None
    cut: bool = False
    arguments: Json = None
    call_id: str = ""
    custom: bool = False
    code: str = "server_error"


class ScenarioReply(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model reply. Token counts are words unless `input` and `output` are given."""

    steps: tuple[ScenarioStep, ...]
    when: str = ""
    finish: Finish | Literal[""] = ""
    input: int | None = None
    output: int | None = None
    cached: int = 0
    reasoning: int = 0


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """All replies of a scripted model."""

    replies: tuple[ScenarioReply, ...]


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises `ConfigError`."""
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            scenario = msgspec.json.decode(data, type=Scenario)
        else:
            scenario = msgspec.convert(tomllib.loads(data.decode()), Scenario)
        for reply in scenario.replies:
            re.compile(reply.when)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError, re.error) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not scenario.replies:
        raise ConfigError(f"{path}: a scenario needs at least one reply")
    return scenario


def choose(scenario: Scenario, request: ModelRequest) -> ScenarioReply | None:
    """The reply to play, or None when no `when` fits."""
    text = last_user_text(request)
    fitting = [reply for reply in scenario.replies if re.search(reply.when, text)]
    if not fitting:
        return None
    special = [reply for reply in fitting if reply.when]
    among = special or fitting
    return among[min(turns_since_user(request.items), len(among) - 1)]


def turns_since_user(items: Sequence[Item]) -> int:
    """The number of replies of the model since the last user message."""
    turns, in_reply = 0, False
    for item in reversed(items):
        if isinstance(item, Message) and item.role == "user":
            break
        mine = isinstance(item, ToolCall | Reasoning) or (
            isinstance(item, Message) and item.role == "assistant"
        )
        if mine and not in_reply:
            turns += 1
        in_reply = mine
    return turns
