"""The chunks of chat servers, as they really come: every field optional, types as loose as needed."""

from __future__ import annotations

from msgspec import Struct

from tailrace.events.items import Json


class Function(Struct):
    """A call's name and a piece of its arguments."""

    name: str | None = None
    arguments: Json = None


class Custom(Struct):
    """A custom tool call's name and a piece of its input."""

    name: str | None = None
    input: str | None = None


class Call(Struct):
    """A piece of a tool call; `index` says which, where the server numbers them."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Delta(Struct):
    """`content` is text, or a list of parts at Mistral; reasoning has three names."""

    content: str | list[Json] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Json] | None = None
    refusal: str | None = None
    annotations: list[Json] | None = None
    tool_calls: list[Call] | None = None


class Logprobs(Struct):
    """Only the content's log probabilities are passed on."""

    content: list[Json] | None = None


class Choice(Struct):
    """A choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class InputDetails(Struct):
    """`prompt_tokens_details`."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct):
    """`completion_tokens_details`."""

    reasoning_tokens: int | None = None


class ChunkUsage(Struct):
    """`usage`."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class Chunk(Struct):
    """One chunk, or an error in its place."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: ChunkUsage | None = None
    error: Json = None
