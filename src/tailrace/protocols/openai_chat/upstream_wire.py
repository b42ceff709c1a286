"""Types for the chunks that chat servers send in practice: the containers are typed, all other fields may
have any JSON type.

A chunk in the usual form is decoded directly to these structs; `loose` builds them from any JSON object.
Fields are read by total functions: a value of an unexpected type counts as missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object, objects
from tailrace.protocols.framing.sse import SseEvent

MOST = 2**63 - 1
"""The largest count that is stored; no server reaches it."""
UNLIKELY = -9999.0
"""The logarithm that OpenAI writes for a probability of 0; other servers write -Infinity."""


_CHUNK = frozenset(
    {
        "choices",
        "created",
        "detail",
        "error",
        "event",
        "id",
        "message",
        "model",
        "obfuscation",
        "object",
        "timings",
        "type",
        "uncounted",
        "usage",
    }
)
"""Fields of a chunk that the run sets itself, or that have a field in the structs below. Names with the
prefix `x_` are extensions of single servers."""


_BESIDE = "$beside"
"""A name that no server uses for a field."""


class Delta(Struct, gc=False, forbid_unknown_fields=True):
    """The delta of a chunk, or a whole message; `beside` holds the fields that this struct does not have."""

    content: Json = None
    reasoning: Json = None
    reasoning_content: Json = None
    reasoning_details: Json = None
    refusal: Json = None
    annotations: Json = None
    tool_calls: Json = None
    function_call: Json = None
    extra_content: Json = None
    images: Json = None
    audio: Json = None
    error: Json = None
    role: Json = None
    beside: Json = msgspec.field(default=None, name=_BESIDE)

    def rare(self) -> bool:
        """Whether it has any of the fields that few servers and models send."""
        return (
            self.annotations is not None
            or self.function_call is not None
            or self.images is not None
            or self.audio is not None
            or self.extra_content is not None
            or self.error is not None
        )


class Choice(Struct, gc=False, forbid_unknown_fields=True):
    """A choice of a chunk; servers that do not stream send `message`, very old ones `text`. `beside` holds
    the fields that this struct does not have."""

    index: Json = None
    delta: Delta | None = None
    message: Json = None
    text: Json = None
    finish_reason: Json = None
    logprobs: Json = None
    usage: Json = None
    error: Json = None
    beside: Json = msgspec.field(default=None, name=_BESIDE)


class ChatChunk(Struct, gc=False):
    """One chunk, or a whole completion. Groq puts its counts in `x_groq`, llama.cpp in `timings`."""

    id: Json = None
    choices: list[Choice] | None = None
    usage: Json = None
    x_groq: Json = None
    timings: Json = None


_NONE: Object = {}
_chunk = msgspec.json.Decoder(ChatChunk).decode


def chunk(event: SseEvent) -> ChatChunk:
    """Decode the chunk of an event; a chunk with unknown fields takes longer. Raises `msgspec.DecodeError` if
    the data is not JSON."""
    try:
        return _chunk(event.data)
    except msgspec.ValidationError:
        return loose(msgspec.json.decode(event.data))


def only_speaks(chunk: ChatChunk) -> bool:
    """Whether the chunk is of the most frequent kind: a piece of text only."""
    choices = chunk.choices
    if not choices or len(choices) != 1:
        return False
    choice = choices[0]
    return choice.finish_reason is None and choice.delta is not None and bool(choice.delta.content)


def is_last(chunk: ChatChunk) -> bool:
    """Whether the chunk ends the reply, or has its counts: such chunks also have the fields that concern the
    reply and not one chunk."""
    choices = chunk.choices or ()
    return not choices or any(choice.finish_reason is not None for choice in choices)


def beside(data: bytes) -> Object:
    """The fields of a chunk about the reply as a whole, other than its choices: service tier, sources, …"""
    try:
        fields = any_object(msgspec.json.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        name: value
        for name, value in fields.items()
        if value is not None and name not in _CHUNK and not name.startswith("x_")
    }


def add_delta(before: Json, after: Json) -> Json:
    """Add up the pieces of a field as the official SDK does: texts are concatenated, entries of lists are
    merged by their `index`."""
    if isinstance(before, dict) and isinstance(after, dict):
        fields = any_object(before)
        more = any_object(after)
        sums = {k: _piece(k, fields.get(k), value) for k, value in more.items()}
        return {**fields, **sums}
    if isinstance(before, list) and isinstance(after, list):
        entries: list[Json] = [*before]
        for entry in cast("list[Json]", after):
            place = any_object(entry).get("index")
            same = (n for n, e in enumerate(entries) if any_object(e).get("index") == place)
            n = next(same, None) if place is not None else None
            if n is None:
                entries.append(entry)
            else:
                entries[n] = add_delta(entries[n], entry)
        return entries
    if isinstance(before, str) and isinstance(after, str):
        return before + after
    return after


def _piece(name: str, before: Json, after: Json) -> Json:
    return after if before is None or name in ("index", "type") else add_delta(before, after)


def loose(value: Json) -> ChatChunk:
    """Build a chunk from any JSON object. Containers of an unexpected type count as missing; a single object
    counts as a list of one."""
    fields = any_object(value)
    values = {name: fields.get(name) for name in ChatChunk.__struct_fields__}
    return ChatChunk(
        **{**values, "choices": [_choice(choice) for choice in objects(fields.get("choices"))]}
    )


def _choice(fields: Object) -> Choice:
    values: Object = {name: fields.get(name) for name in Choice.__struct_fields__}
    values |= {"delta": delta(fields.get("delta")), "beside": _rest(fields, Choice)}
    return Choice(**values)


def delta(value: Json) -> Delta | None:
    """Build a delta or message from any JSON value; None if it is not an object or is empty."""
    fields = any_object(value)
    if not fields:
        return None
    values = {name: fields.get(name) for name in Delta.__struct_fields__}
    return Delta(**{**values, "beside": _rest(fields, Delta)})


def _rest(fields: Object, struct: type[Struct]) -> Object | None:
    """The fields that `struct` does not have and that are not null; None if there are none."""
    names = struct.__struct_encode_fields__
    return {k: v for k, v in fields.items() if k not in names and v is not None} or None


def text(value: Json) -> str:
    """The value if it is a string, else `""`."""
    return value if isinstance(value, str) else ""


def name(value: Json) -> str:
    """An id or a name: a string, or a number as some servers write it."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else text(value)


def place(value: Json) -> int | None:
    """An index; also accepts a string of digits, and a float with an integral value. None for any other
    value."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 9:
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    return None


def count(value: Json) -> int:
    """A number of tokens; 0 if the value cannot be read."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < 30 else 0
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST:
        return 0
    return min(int(value), MOST)


def logprobs(value: Json) -> tuple[Json, ...]:
    """The log probabilities of a chunk's content."""
    return tuple(map(_probable, objects(any_object(value).get("content"))))


def _probable(token: Object) -> Object:
    top = token.get("top_logprobs")
    others = {"top_logprobs": [_probable(other) for other in objects(top)]} if top else {}
    return {
        **token,
        "logprob": UNLIKELY if token.get("logprob") is None else token["logprob"],
        **others,
    }


def counts(chunk: ChatChunk) -> Object:
    """The counts of tokens in a chunk, from any of the fields that servers use; empty if there are none."""
    choices = chunk.choices or ()
    nowhere = chunk.usage is None and chunk.x_groq is None and chunk.timings is None
    if nowhere and all(choice.usage is None for choice in choices):
        return _NONE
    candidates: list[Json] = [chunk.usage, any_object(chunk.x_groq).get("usage")]
    candidates += [choice.usage for choice in choices]
    timings = any_object(chunk.timings)
    if timings:
        candidates.append(
            {
                "prompt_tokens": timings.get("prompt_n"),
                "completion_tokens": timings.get("predicted_n"),
            }
        )
    return any_object(next(filter(any_object, candidates), None))


def totals(usage: Object) -> Mapping[str, int]:
    """The fields of `Usage` from a server's counts, whichever names the server uses."""
    before, after = _details(usage, "prompt", "input"), _details(usage, "completion", "output")
    cached = (
        before.get("cached_tokens"),
        usage.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
    )
    return {
        "input": _first(usage.get("prompt_tokens"), usage.get("input_tokens")),
        "cached": _first(*cached),
        "cache_write": _first(before.get("cache_write_tokens")),
        "output": _first(usage.get("completion_tokens"), usage.get("output_tokens")),
        "reasoning": _first(after.get("reasoning_tokens"), usage.get("reasoning_tokens")),
    }


def _details(usage: Object, *names: str) -> Object:
    candidates = (usage.get(f"{name}_tokens_details") for name in names)
    return any_object(next(filter(any_object, candidates), None))


def _first(*values: Json) -> int:
    return next((tokens for tokens in map(count, values) if tokens), 0)


def citation(note: Object) -> Object | None:
    """An annotation in Responses form; None if `note` is not an annotation."""
    inner = note.get("url_citation")
    if note.get("type") == "url_citation" and isinstance(inner, dict):
        blank: Object = {"start_index": 0, "end_index": 0, "title": "", "url": ""}
        fields = any_object(inner)
        return {
            "type": "url_citation",
            **blank,
            **{k: v for k, v in fields.items() if v not in (None, "")},
        }
    return note if isinstance(note.get("type"), str) else None


def join_details(details: Sequence[Object]) -> list[Object]:
    """Join the pieces of `reasoning_details` to the form that is sent back: consecutive pieces with the same
    type, index and id are one entry."""
    entries: list[Object] = []
    for piece in details:
        last = entries[-1] if entries else {}
        key = ("type", "index", "id")
        same = all(piece.get(k) in (None, last.get(k)) or last.get(k) is None for k in key)
        if not entries or not same or piece.get("type") != last.get("type"):
            entries.append(dict(piece))
            continue
        for field, value in piece.items():
            if field in ("text", "summary", "data") and isinstance(last.get(field), str):
                last[field] += text(value)
            elif value is not None:
                last[field] = value
    return entries


def thoughts(part: Object) -> Iterator[str]:
    """The texts of a thinking part of Mistral's."""
    thinking = part.get("thinking")
    if isinstance(thinking, str):
        yield thinking
    yield from (text(part_of_thinking.get("text")) for part_of_thinking in objects(thinking))


FINISH: Mapping[str, t.Finish] = {
    "stop": "stop",
    "complete": "stop",
    "completed": "stop",
    "done": "stop",
    "end": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "finished": "stop",
    "finish": "stop",
    "normal": "stop",
    "stop_sequence": "stop",
    "success": "stop",
    "length": "length",
    "max_length": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "model_length": "length",
    "token_limit": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
"""By the finish reason of a server: how a reply ended if it is complete or reached a limit. Any other reason
is a failure."""
GOES_ON = frozenset({"", "null", "none"})
"""Finish reasons that some servers send while a reply has not ended."""


def finish(value: Json) -> str:
    """A finish reason, normalized to compare with the keys of `FINISH`; `""` if the reply has not ended."""
    reason = text(value).strip().lower()
    return "" if reason in GOES_ON else reason
