"""`RunAgentInput` as a run request, or as the answers for a waiting run.

The server accepts the list of messages as the client's view of the past. Fields that the run's agent may need
and that have no canonical field (`state`, `forwardedProps`, `parentRunId`, `protocolVersion`, the answers
themselves as `resume`) are kept in `settings.extra`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events import ids
from tailrace.events.items import Item, Json
from tailrace.events.request import RunRequest, Settings, ToolSpec
from tailrace.protocols.ag_ui.messages import decode_messages
from tailrace.protocols.ag_ui.wire import SURFACE
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    objects,
    only,
    optional,
    text,
    without_empty,
)

Status = Literal["resolved", "cancelled"]
STATUSES: tuple[Status, ...] = ("resolved", "cancelled")
_EXTRA = ("state", "forwardedProps", "resume")


class Resume(Struct, frozen=True):
    """An answer to one interrupt; `where` is its path in the request."""

    interrupt: str
    status: Status
    payload: Json
    where: str


class RunAgentInput(Struct, frozen=True):
    """A decoded request. A request with answers (`resume`) has no input yet: the run's state determines which
    of its `messages` are new to the run."""

    request: RunRequest
    resume: tuple[Resume, ...]
    messages: tuple[Item, ...]


class RunNames(Struct, frozen=True):
    """The client's own ids of a run."""

    thread: str
    run: str


def decode(body: bytes) -> RunAgentInput:
    """Decode a `RunAgentInput`; `request.agent` is left empty. Raises `BadRequest`."""
    fields = body_object(body)
    names = _names(fields)
    resume = tuple(
        _resume(as_object(each, f"resume[{n}]"), f"resume[{n}]")
        for n, each in enumerate(_list(fields, "resume"))
    )
    history, new = decode_messages(fields.get("messages"), "messages")
    if not new and not resume:
        raise BadRequest(
            "The last message must be a user's, or the output of a call.", param="messages"
        )
    extra: Object = {name: fields.get(name) for name in _EXTRA}
    for name in ("parentRunId", "protocolVersion"):
        extra[name] = optional(fields, name, str, default="")
    request = RunRequest(
        agent="",
        model="",
        surface=SURFACE,
        input=() if resume else new,
        history=() if resume else history,
        instructions=_context(fields),
        settings=Settings(
            tools=_tools(fields),
            origin=SURFACE,
            extra=without_empty(extra),
        ),
        session=names.thread,
        client_names=names.run,
        previous_run="" if resume else _previous_run(fields),
        fields=without_empty({name: fields.get(name) for name in ("forwardedProps", "context")}),
    )
    return RunAgentInput(request, resume, (*history, *new))


def decode_cancel(body: bytes) -> RunNames:
    """Decode which run is to be cancelled. Raises `BadRequest`."""
    return _names(body_object(body))


def _names(fields: Object) -> RunNames:
    thread, run = (optional(fields, name, str, default="") for name in ("threadId", "runId"))
    for name, value in (("threadId", thread), ("runId", run)):
        if not value:
            raise BadRequest(f"Missing required parameter: '{name}'.", param=name)
    return RunNames(thread, run)


def _list(fields: Object, name: str) -> list[Json]:
    value = fields.get(name)
    return [] if value is None else as_list(value, name)


def _resume(fields: Object, where: str) -> Resume:
    only(fields, ("interruptId", "status", "payload"), where)
    status = fields.get("status")
    if status not in STATUSES:
        raise BadRequest(
            f"{where}.status must be one of {', '.join(STATUSES)}, not {status!r}.",
            param=f"{where}.status",
        )
    return Resume(text(fields, "interruptId", where), status, fields.get("payload"), where)


def _previous_run(fields: Object) -> str:
    """The run that wrote the last message of an assistant: the new run continues its state."""
    ids_of_replies = [
        str(each.get("id"))
        for each in objects(fields.get("messages"))
        if each.get("role") == "assistant"
    ]
    return ids.run_of(ids_of_replies[-1]) if ids_of_replies else ""


def _context(fields: Object) -> str:
    """The entries of `context` as text: the description of each, and its value below."""
    entries: list[str] = []
    for n, each in enumerate(_list(fields, "context")):
        where = f"context[{n}]"
        entry = as_object(each, where)
        entries.append(f"{text(entry, 'description', where)}:\n{text(entry, 'value', where)}")
    return "\n\n".join(entries)


def _tools(fields: Object) -> tuple[ToolSpec, ...]:
    """Decode the tools that the client runs."""
    tools = _list(fields, "tools")
    return tuple(
        _tool(as_object(each, f"tools[{n}]"), f"tools[{n}]") for n, each in enumerate(tools)
    )


def _tool(fields: Object, where: str) -> ToolSpec:
    schema: Json = fields.get("parameters")
    if schema is not None:
        schema = as_object(schema, f"{where}.parameters")
    return ToolSpec(
        name=text(fields, "name", where),
        description=optional(fields, "description", str, default="", where=where),
        parameters=schema,
    )
