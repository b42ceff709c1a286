"""A client's `POST /responses` as a run request (`ResponseCreateParams` of openai 3.52).

Decoding is as lenient as OpenAI's: unknown parameters are kept and passed on to a Responses server; a known
parameter of the wrong type is a `BadRequest` that names it.
"""

from __future__ import annotations

from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.items import Item, Json, Part, ToolOutput, parts_of
from tailrace.events.request import OutputFormat, RunRequest, Settings, ToolChoice
from tailrace.protocols import sealed
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    metadata,
    nested,
    number,
    optional,
    strings,
    without_empty,
)
from tailrace.protocols.openai_responses import items, tools

SURFACE = "responses"
_CANONICAL = frozenset(
    {
        "background",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)


class CreateResponse(Struct, frozen=True):
    """A decoded request. `references` are items named by id: the index in the input, and the id."""

    request: RunRequest
    references: tuple[tuple[int, str], ...]
    stream: bool


def decode(body: bytes) -> CreateResponse:
    """Decode a create request; `request.agent` is left empty. Raises `BadRequest`."""
    return _decode(body_object(body))


def decode_input_tokens(body: bytes) -> CreateResponse:
    """Decode a `POST /responses/input_tokens`, where all parameters are optional. Raises `BadRequest`."""
    fields = body_object(body)
    return _decode({"input": "", "model": "", **fields})


def _decode(fields: Object) -> CreateResponse:
    if "input" not in fields:
        raise BadRequest("Missing required parameter: 'input'.", param="input")
    input_items, references = _input(fields["input"])
    previous, conversation = (
        optional(fields, "previous_response_id", str, default=""),
        _conversation(fields),
    )
    if previous and conversation:
        raise BadRequest(
            "previous_response_id and conversation exclude each other.",
            param="previous_response_id",
        )
    request = RunRequest(
        agent="",
        model=optional(fields, "model", str, default=""),
        surface=SURFACE,
        input=input_items,
        instructions=optional(fields, "instructions", str, default=""),
        settings=_settings(fields),
        metadata=metadata(fields),
        previous=previous,
        conversation=conversation,
        store=optional(fields, "store", bool, default=True),
        background=optional(fields, "background", bool, default=False),
        truncation=optional(fields, "truncation", str, default=""),
        include=strings(fields, "include"),
    )
    return CreateResponse(request, references, optional(fields, "stream", bool, default=False))


def place(body: bytes, item: Item, part: Part | None) -> str:
    """The path of an item in the request body, or of a part of the item; `""` if the request does not contain
    it."""
    value = body_object(body).get("input")
    if not isinstance(value, list):
        return ""
    for n, entry in enumerate(as_list(value, "input")):
        where = f"input[{n}]"
        if _reference(entry, where) is None and items.decode_item(entry, where) == item:
            if part is None:
                return where
            field = "output" if isinstance(item, ToolOutput) else "content"
            return f"{where}.{field}[{parts_of(item).index(part)}]"
    return ""


def _input(value: Json) -> tuple[tuple[Item, ...], tuple[tuple[int, str], ...]]:
    if not isinstance(value, list):
        return items.decode_input(value), ()
    decoded_items: list[Item] = []
    references: list[tuple[int, str]] = []
    for n, entry in enumerate(as_list(value, "input")):
        reference = _reference(entry, f"input[{n}]")
        if reference is None:
            decoded_items.append(items.decode_item(entry, f"input[{n}]"))
        else:
            references.append((n, reference))
    return sealed.unseal(decoded_items), tuple(references)


def _reference(value: Json, where: str) -> str | None:
    """The id in an item reference: `{type: "item_reference", id}`, or just `{id}`; a `type` of `null` counts
    as missing."""
    if not isinstance(value, dict):
        return None
    item = as_object(value, where)
    bare = item.get("type") is None and set(item) - {"type"} == {"id"}
    if item.get("type") != "item_reference" and not bare:
        return None
    id = item.get("id")
    if not isinstance(id, str):
        raise BadRequest(f"{where}.id must be a string.", param=f"{where}.id")
    return id


def _settings(fields: Object) -> Settings:
    reasoning, text = nested(fields, "reasoning"), nested(fields, "text")
    include = strings(fields, "include")
    more = {
        "include": list(include),
        "truncation": fields.get("truncation"),
        "reasoning": {k: v for k, v in reasoning.items() if k not in ("effort", "summary")},
        "text": {k: v for k, v in text.items() if k not in ("format", "verbosity")},
    }
    # These parameters are only passed on, but the Response object repeats them, so their types are checked.
    optional(fields, "max_tool_calls", int, default=None)
    optional(fields, "prompt_cache_key", str, default=None)
    optional(fields, "safety_identifier", str, default=None)
    return Settings(
        tools=tools.decode_tools(fields["tools"]) if fields.get("tools") else (),
        tool_choice=(
            tools.decode_choice(fields["tool_choice"])
            if fields.get("tool_choice") is not None
            else ToolChoice()
        ),
        parallel_tool_calls=optional(fields, "parallel_tool_calls", bool, default=None),
        output=tools.decode_format(text["format"]) if text.get("format") else OutputFormat(),
        temperature=number(fields, "temperature"),
        top_p=number(fields, "top_p"),
        max_output_tokens=optional(fields, "max_output_tokens", int, default=None),
        logprobs="message.output_text.logprobs" in include,
        top_logprobs=optional(fields, "top_logprobs", int, default=None),
        reasoning_effort=optional(reasoning, "effort", str, default="", where="reasoning"),
        reasoning_summary=optional(reasoning, "summary", str, default="", where="reasoning"),
        verbosity=optional(text, "verbosity", str, default="", where="text"),
        service_tier=optional(fields, "service_tier", str, default=""),
        user=optional(fields, "user", str, default=""),
        origin=SURFACE,
        extra={**{k: v for k, v in fields.items() if k not in _CANONICAL}, **without_empty(more)},
    )


def _conversation(fields: Object) -> str:
    value = fields.get("conversation")
    if isinstance(value, dict):
        return optional(
            as_object(value, "conversation"), "id", str, default="", where="conversation"
        )
    return optional(fields, "conversation", str, default="")
