"""Our items as the OpenAI Agents SDK's input, and recorded replies as its output.

The SDK uses Responses items, so the encoder of that dialect makes its input. Data that only the SDK or its
model server can read again (ids, signatures, encrypted reasoning) are kept in an item's `details`: under
`responses` those that any Responses server accepts in a later turn, under `DIALECT` those of this run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never, cast

import msgspec
from agents.items import ItemHelpers, TResponseInputItem, TResponseOutputItem
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputItem
from pydantic import BaseModel, TypeAdapter

from tailrace.events import items as i
from tailrace.events.history import CLIENTS
from tailrace.events.request import RunRequest
from tailrace.protocols.openai_responses import items as wire_items
from tailrace.runtimes.adapters.late_input import LateInput, insert_late

DIALECT = "openai_agents"
RESPONSES = wire_items.DIALECT
NO_RESULT = "There is no result of this call."
SECRETS = ("id", "encrypted_content")
_ITEM_FIELDS = frozenset(
    {"type", "role", "content", "summary", "call_id", "name", "arguments", "input", "phase"}
)
"""Fields of an output item that our items have."""

_CALL = ResponseFunctionToolCall(type="function_call", call_id="call", name="tool", arguments="")
_outputs: TypeAdapter[list[ResponseOutputItem]] = TypeAdapter(list[ResponseOutputItem])


def request_input(request: RunRequest) -> list[TResponseInputItem]:
    """A request's history and input. Calls without an output get one, which model servers require."""
    items = [_plain(item) for item in (*request.history, *request.input) if _is_theirs(item)]
    ids_with_output = {item.call_id for item in items if isinstance(item, i.ToolOutput)}
    conversation: list[i.Item] = []
    owing: list[i.Item] = []
    for item in items:
        if not isinstance(item, i.ToolCall):
            conversation += owing
            owing = []
        elif item.call_id not in ids_with_output:
            output = (i.TextPart(NO_RESULT),)
            owing.append(i.ToolOutput(call_id=item.call_id, output=output, is_error=True))
        conversation.append(item)
    messages = wire_items.encode_items([*conversation, *owing])
    for message in messages:
        if (
            message.get("role") == "assistant"
        ):  # as text: parts that the SDK accepts only with their ids
            message["content"] = "".join(part["text"] for part in message["content"])
    return cast("list[TResponseInputItem]", messages)


def with_late_inputs(
    input: str | list[TResponseInputItem], late: Sequence[LateInput]
) -> str | list[TResponseInputItem]:
    """The input for a model, with the messages that came with people's answers."""
    if isinstance(input, str) or not late:
        return input
    agents = [_is_agents(cast("dict[str, Any]", item)) for item in input]
    begins = [n for n, mine in enumerate(agents) if mine and not (n and agents[n - 1])]
    more = [(each.replies, wire_items.encode_items(each.messages)) for each in late]
    return insert_late(input, begins, cast("list[tuple[int, list[TResponseInputItem]]]", more))


def output_of(items: Iterable[i.Item]) -> list[TResponseOutputItem]:
    """The output of a reply, from its recorded items."""
    output = [_output_item(item) for item in items if not isinstance(item, i.ToolOutput)]
    return list(_outputs.validate_python(output))


def dump(item: BaseModel) -> dict[str, i.Json]:
    """An output item as JSON."""
    return item.model_dump(mode="json", exclude_none=True, by_alias=True, warnings=False)


def details(item: BaseModel) -> dict[str, i.Json]:
    """The fields of an output item that must be sent back besides its text."""
    rest = {name: value for name, value in dump(item).items() if name not in _ITEM_FIELDS}
    if "encrypted_content" not in rest:
        return {DIALECT: rest}
    secret = {name: rest.pop(name) for name in SECRETS if name in rest}
    return {RESPONSES: secret, **({DIALECT: rest} if rest else {})}


def result_text(value: object) -> str:
    """A tool's value as text for the model."""
    return output_text(ItemHelpers.tool_call_output_item(_CALL, value)["output"])


def output_text(output: i.Json) -> str:
    """The `output` of a call's output item as text; any other value as JSON."""
    if isinstance(output, str):
        return output
    parts = cast("list[dict[str, i.Json]]", output)
    if all(part.get("type") == "input_text" for part in parts):
        return "".join(part["text"] for part in parts)
    return msgspec.json.encode(parts).decode()


def texts(parts: Sequence[Any] | None) -> list[str]:
    """The texts of an output item's parts, without empty ones."""
    values = [getattr(part, "text", None) for part in parts or ()]
    return [text for text in values if text]


def _is_agents(item: dict[str, Any]) -> bool:
    """Whether an item of the SDK's input is output of an agent: all but outputs of calls, and messages of
    others."""
    if "role" in item:
        return bool(item["role"] == "assistant")
    return not str(item.get("type")).endswith(CLIENTS)


def _is_theirs(item: i.Item) -> bool:
    """Whether their model server can read it."""
    match item:
        case i.ProviderItem():
            return item.dialect == RESPONSES
        case i.Reasoning():  # without its encrypted content or its text it is refused
            return bool(item.text or item.details.get(RESPONSES, {}).get("encrypted_content"))
        case _:
            return True


def _plain(item: i.Item) -> i.Item:
    """The agent's output as text."""
    if isinstance(item, i.Message) and item.role == "assistant":
        return msgspec.structs.replace(item, content=(i.TextPart(i.text_of(item.content)),))
    return item


def _output_item(item: i.Message | i.Reasoning | i.ToolCall | i.ProviderItem) -> dict[str, i.Json]:
    fields = {
        "id": FAKE_RESPONSES_ID,
        "status": "completed",
        **item.details.get(RESPONSES, {}),
        **item.details.get(DIALECT, {}),
    }
    match item:
        case i.ProviderItem():
            return dict(item.data)
        case i.ToolCall():
            return {**fields, **wire_items.encode_item(item)}
        case i.Reasoning():
            return {
                **fields,
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": text} for text in item.summary],
                "content": [{"type": "reasoning_text", "text": text} for text in item.text] or None,
            }
        case i.Message():
            return {**fields, **wire_items.encode_item(item)}
        case _:
            assert_never(item)
