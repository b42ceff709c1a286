"""Requests in canonical form, from whatever surface.

`RunRequest` is the content of a log's first event, so it has all that a later process needs to continue the
run and all that a surface echoes. `ModelRequest` is the request of one model call.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from tailrace.events.items import Item, Json

ToolKind = Literal["function", "custom", "provider"]
ChoiceMode = Literal["auto", "none", "required"]
FormatKind = Literal["text", "json_object", "json_schema"]


class Canonical(Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Base: frozen, keyword-only, defaults left out when stored."""


class ToolSpec(Canonical, frozen=True, kw_only=True):
    """A tool the model may call. `parameters` is a JSON schema; `raw` is a `provider` tool as sent, or what
    only the dialect of its client (`origin`, `""` for tools of ours) says of another tool."""

    kind: ToolKind = "function"
    name: str = ""
    description: str = ""
    parameters: Json = None
    strict: bool | None = None
    raw: dict[str, Json] = {}
    origin: str = ""


class ToolChoice(Canonical, frozen=True, kw_only=True):
    """How freely the model may choose; non-empty `names` limit it to those tools. `raw` is the choice as
    sent, for servers of the same dialect."""

    mode: ChoiceMode = "auto"
    names: tuple[str, ...] = ()
    raw: dict[str, Json] = {}


class OutputFormat(Canonical, frozen=True, kw_only=True):
    """The form of the answer's text; `schema`, `name`, `strict`, `description` for `json_schema`."""

    kind: FormatKind = "text"
    name: str = ""
    schema: Json = None
    strict: bool | None = None
    description: str = ""


class Settings(Canonical, frozen=True, kw_only=True):
    """The parameters of a model call besides its input. `None` and `""` mean: not set.

    `extra` has the parameters of the request's own surface (`origin`) that are no field here. They are
    forwarded unchanged, to model servers of the same dialect only.
    """

    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_tool_calls: bool | None = None
    output: OutputFormat = field(default_factory=OutputFormat)
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    reasoning_effort: str = ""
    reasoning_summary: str = ""
    verbosity: str = ""
    service_tier: str = ""
    user: str = ""
    origin: str = ""
    extra: dict[str, Json] = {}


class ModelRequest(Canonical, frozen=True, kw_only=True):
    """One model call: the conversation in order, and the settings for the reply. `beginning` is the beginning
    of a reply that a crash interrupted: a server with that ability continues it."""

    items: tuple[Item, ...]
    instructions: str = ""
    settings: Settings = field(default_factory=Settings)
    beginning: str = ""


class RunCaller(Canonical, frozen=True, kw_only=True):
    """The caller that started a run, as the server authenticated the request; a client cannot set it. `token`
    is the id of the token, not the token; `claims` are those of a JWT. On an open server all have the
    defaults."""

    tenant: str = "local"
    user: str = ""
    token: str = ""
    scopes: tuple[str, ...] = ()
    claims: dict[str, Json] = {}


LOCAL_CALLER = RunCaller()
"""The caller on a server that needs no key."""


class RunRequest(Canonical, frozen=True, kw_only=True):
    """One request for a run.

    `agent` is the id of what runs, `model` the name the client used. `history` holds the items of the earlier
    turns, resolved when the run began, so that the run needs no other log to continue. `session` and
    `client_names` (`called` in JSON) are the client's own names for the conversation and for this turn, where
    it has such. `previous_run` is the suffix of the completed run whose state this one continues, and
    `history_differs` says that the history may be another than the one that the state has. `headers` are
    those that `[server] run_headers` allows, by name in lower case; `fields` are fields that the client added
    to the body, on surfaces where it may.
    """

    agent: str
    model: str
    surface: str
    input: tuple[Item, ...]
    history: tuple[Item, ...] = ()
    instructions: str = ""
    settings: Settings = field(default_factory=Settings)
    metadata: dict[str, str] = {}
    previous: str = ""
    conversation: str = ""
    session: str = ""
    client_names: str = field(default="", name="called")
    store: bool = True
    background: bool = False
    truncation: str = ""
    include: tuple[str, ...] = ()
    caller: RunCaller = LOCAL_CALLER
    previous_run: str = ""
    history_differs: bool = False
    headers: dict[str, str] = {}
    fields: dict[str, Json] = {}
