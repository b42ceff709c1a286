"""`POST /api/chat` as `DefaultChatTransport` sends it, as a run request or an answer.

The messages that a client sends are the history, even if this server has others: a person may have edited
them, or request another answer. For a client that sends only its new `message`, the server adds the
history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events import ids
from tailrace.events.items import Item, Json
from tailrace.events.request import RunRequest, Settings, ToolSpec
from tailrace.protocols.ai_sdk_ui import messages, wire
from tailrace.protocols.ai_sdk_ui.messages import DecodedMessage, PartResult, ShownCall
from tailrace.protocols.decisions import decode_decision
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    nested,
    optional,
    text,
)

SURFACE = "ui"


_OWN_FIELDS = frozenset(
    {
        "agent",
        "approvals",
        "id",
        "message",
        "messageId",
        "messages",
        "system",
        "toolApproval",
        "tools",
        "trigger",
    }
)


class SendUiMessages(Struct, frozen=True):
    """A decoded request. `has_history`: it contains the whole conversation. `results`: answers to open
    questions, in the last message, or with `past` in the assistant's message before a new one of the user. If
    they answer no open question and `request.input` is empty, the request asks for nothing."""

    request: RunRequest
    agent: str
    has_history: bool
    results: tuple[PartResult, ...]
    calls: Mapping[str, ShownCall]
    past: bool


def decode(body: bytes) -> SendUiMessages:
    """Decode a request; `request.agent` is left empty. Raises `BadRequest`.

    Fields of the AI SDK: `id` (the chat), `messages`. Ours: `agent` (a name or number), `message`,
    `system`, `tools`, `toolApproval`, `approvals`. Any other is an app's own (`body` of `useChat`): the
    agent's code gets it in `request.fields`.
    """
    fields = body_object(body)
    chat = optional(fields, "id", str, default="")
    if not chat:
        raise BadRequest("Missing required parameter: 'id'.", param="id")
    whole_past, messages = _messages(fields)
    last = messages[-1]
    if last.role == "system":
        raise BadRequest("The last message must not be a system message.", param="messages")
    past = last.role == "user" and len(messages) > 1 and messages[-2].role == "assistant"
    answers = messages[-2] if past else last
    results = _merge(answers.results, _approvals(fields))
    knows = optional(fields, "toolApproval", bool, default=False)
    knows = knows or any(each.decision is not None for each in answers.results)
    history, new = _new(messages)
    request = RunRequest(
        agent="",
        model="",
        surface=SURFACE,
        input=new,
        history=history,
        instructions=optional(fields, "system", str, default=""),
        settings=Settings(tools=_tools(fields), origin=SURFACE),
        session=chat,
        previous_run=_previous_run(messages),
        client_names=last.id if last.role == "assistant" else "",
        include=(wire.APPROVALS,) if knows else (),
        fields={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
    )
    return SendUiMessages(request, _agent(fields), whole_past, results, answers.calls, past)


def _messages(fields: Object) -> tuple[bool, list[DecodedMessage]]:
    if "messages" in fields:
        return True, messages.decode_messages(fields["messages"])
    if "message" in fields:
        return False, [messages.decode_message(as_object(fields["message"], "message"), "message")]
    raise BadRequest("Missing required parameter: 'messages'.", param="messages")


def _new(decoded_messages: list[DecodedMessage]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """The history, and the new items: the user's last message, or the client's outputs at the end."""
    past, last = messages.before(decoded_messages[:-1]), decoded_messages[-1]
    count = last.outputs if last.role == "assistant" else len(last.items)
    cut = len(last.items) - count
    return (*past, *last.items[:cut]), last.items[cut:]


def _previous_run(decoded_messages: Sequence[DecodedMessage]) -> str:
    """The run that wrote the last message of the assistant before the new one: the new turn continues its
    state, also if the user has edited the question that followed it."""
    before = [each.id for each in decoded_messages[:-1] if each.role == "assistant"]
    return ids.run_of(before[-1]) if before else ""


def _agent(fields: Object) -> str:
    value = fields.get("agent")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return optional(fields, "agent", str, default="")


def _approvals(fields: Object) -> list[PartResult]:
    """`approvals`: decisions for which the client's messages have no form: those of AI SDK 5, and edits and
    responses of all versions."""
    if fields.get("approvals") is None:
        return []
    approvals = as_list(fields["approvals"], "approvals")
    return [_approval(as_object(each, f"approvals[{n}]"), n) for n, each in enumerate(approvals)]


def _approval(fields: Object, n: int) -> PartResult:
    where = f"approvals[{n}]"
    decision = decode_decision(fields, where, others=("id",))
    return PartResult(text(fields, "id", where), where, decision)


def _merge(
    in_message: Sequence[PartResult], in_body: Sequence[PartResult]
) -> tuple[PartResult, ...]:
    """All results. A decision in `approvals` replaces the one in the message about the same request, which
    cannot express an edit or a response: the SDK makes it when it sends the message."""
    body_ids = {each.id for each in in_body}
    return (*(each for each in in_message if each.id not in body_ids), *in_body)


def _tools(fields: Object) -> tuple[ToolSpec, ...]:
    """`tools` that the client runs: an object, by name."""
    tools = nested(fields, "tools")
    return tuple(_tool(name, as_object(tool, f"tools.{name}")) for name, tool in tools.items())


def _tool(name: str, fields: Object) -> ToolSpec:
    where = f"tools.{name}"
    schema: Json = fields.get("inputSchema", fields.get("parameters"))
    if schema is not None:
        schema = as_object(schema, f"{where}.inputSchema")
    return ToolSpec(
        name=name,
        description=optional(fields, "description", str, default="", where=where),
        parameters=schema,
    )
