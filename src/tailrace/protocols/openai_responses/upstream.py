"""Responses as model servers speak it: encodes a model request. `upstream_reply.py` decodes the reply.

Parameters that a client sent in this dialect are sent to the server unchanged. Parameters that concern the
run are not passed on: `stream`, `stream_options`, `store` (the server stores nothing), `background`,
`metadata`, `previous_response_id` and `conversation`; the server receives the whole conversation instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import assert_never, cast

import msgspec

from tailrace.errors import ModelFailed, NoForm
from tailrace.events.items import (
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    ProviderPart,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.request import ModelRequest, Settings, ToolChoice
from tailrace.events.tools import ToolDeclaration, brings_tools
from tailrace.protocols import foreign
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.offered import Names, OfferedTools
from tailrace.protocols.openai_responses import items as wire_items
from tailrace.protocols.openai_responses import tools
from tailrace.protocols.openai_responses.upstream_reply import ResponsesDecoder
from tailrace.protocols.upstream import http_failure

DIALECT = wire_items.DIALECT
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
_COMPOSED_FIELDS = ("include", "reasoning", "text")
"""Parameters that are composed of the client's parameters in this dialect and of settings."""
_REASONS = re.compile(r"(?:.*/)?(?:o[1-9]|codex|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
"""Matches the names of models that reason; because the server stores nothing, their reasoning must be sent
back to them. Other models answer a request for encrypted reasoning with status 400, so it is not requested
for names that do not match."""

_json = msgspec.json.Encoder().encode


class ResponsesCodec:
    """`UpstreamCodec` for Responses servers."""

    dialect: str = DIALECT

    def __init__(self, *, thoughts: bool | None = None) -> None:
        """`thoughts`: whether the server is asked for encrypted reasoning, which can be sent back. If None,
        it is asked if the request sets parameters of reasoning or the model's name matches."""
        self._thoughts = thoughts

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        settings = request.settings
        _check(settings)
        declared_tools = [ToolDeclaration(tool) for tool in settings.tools]
        names = Names(declared_tools, DIALECT, settings.origin)
        extra = settings.extra if settings.origin == self.dialect else {}
        expected = bool(_reasoning(settings, extra) or _REASONS.match(model))
        thoughts = expected if self._thoughts is None else self._thoughts
        chooses = _may_choose(request, extra)
        body: Object = {
            "model": model,
            "input": wire_items.encode_items(_fitting_items(request.items, settings.origin), names),
            "stream": True,
            "store": False,
            **without_empty(
                {
                    "instructions": request.instructions,
                    "max_output_tokens": settings.max_output_tokens,
                    "temperature": settings.temperature,
                    "top_p": settings.top_p,
                    "top_logprobs": settings.top_logprobs,
                    "parallel_tool_calls": settings.parallel_tool_calls if chooses else None,
                    "service_tier": settings.service_tier,
                    "user": settings.user,
                    "tools": tools.encode_tools(settings, names=names),
                    "include": _include(settings, extra, thoughts=thoughts),
                    "reasoning": _reasoning(settings, extra),
                    "text": _text(settings, extra),
                }
            ),
        }
        if settings.tool_choice != ToolChoice() and chooses:
            body["tool_choice"] = tools.encode_choice(settings, names)
        body |= {name: value for name, value in extra.items() if name not in _COMPOSED_FIELDS}
        return HttpRequest(
            "/responses", {}, _json(body), offered_tools=_offered_tools(declared_tools, names)
        )

    def decoder(self, model: str) -> ResponsesDecoder:
        return ResponsesDecoder(model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body, self.dialect)


def _offered_tools(tools: list[ToolDeclaration], names: Names) -> dict[str, OfferedTools]:
    """By name: the tools that the server knows by another name than their own."""
    pairs = [
        (names.of(*tool.key), names.stands_for(tool, as_function=False))
        for tool in tools
        if tool.spec.kind != "provider"
    ]
    return {name: stands for name, stands in pairs if stands is not None}


def _include(settings: Settings, extra: Object, *, thoughts: bool) -> list[Json]:
    """The values of `include`: those that the client wants, and those that later requests of the run need."""
    include: list[Json] = list(cast("list[Json]", extra.get("include") or []))
    if thoughts:
        include.append(ENCRYPTED)
    if settings.logprobs:
        include.append(LOGPROBS)
    return list(dict.fromkeys(include))


def _reasoning(settings: Settings, extra: Object) -> Object:
    own = without_empty(
        {"effort": settings.reasoning_effort, "summary": settings.reasoning_summary}
    )
    return {**any_object(extra.get("reasoning")), **own}


def _text(settings: Settings, extra: Object) -> Object:
    text = {**any_object(extra.get("text")), **without_empty({"verbosity": settings.verbosity})}
    if settings.output.kind != "text":
        text["format"] = tools.encode_format(settings.output)
    return text


def _check(settings: Settings) -> None:
    """Reject settings of another dialect's client that no Responses server supports. Raises `NoForm`."""
    foreign.check(settings, DIALECT)
    if settings.max_output_tokens == 0:  # only in Messages, where 0 fills a cache
        message = "A model server that speaks Responses says at least one token."
        raise NoForm(message, param="max_tokens")


def _may_choose(request: ModelRequest, extra: Object) -> bool:
    """Whether there are tools to choose from: without tools, servers reject a choice. Raises `NoForm` if a
    client of another dialect requires a call."""
    settings = request.settings
    if settings.tools or "prompt" in extra or any(map(brings_tools, request.items)):
        return True
    if settings.origin == DIALECT:
        return True  # sent unchanged
    if settings.tool_choice.mode == "required":
        raise foreign.no_choice(settings, DIALECT)
    return False


def _fitting_items(items: Iterable[Item], origin: str) -> Iterator[Item]:
    """The items of a conversation that a Responses server accepts. Raises `NoForm` for a client's item that
    no such server knows."""
    for item in items:
        foreign.check_item(item, origin)
        match item:
            case ProviderItem() if item.dialect != DIALECT:
                yield from foreign.as_function(item, DIALECT, origin)
            case Reasoning():
                # Servers reject a summary alone, because they store nothing. An id shows that the server
                # produced the item.
                # OpenAI's servers reject the text of another server's reasoning (`array_above_max_length`).
                own = any_object(item.details.get(DIALECT))
                theirs = item.text and origin == DIALECT
                if theirs or own.get("encrypted_content") or "id" in own:
                    yield item
            case Message():
                _check_parts(item, item.content, origin)
                yield from _legal(item)
            case ToolOutput():
                _check_parts(item, item.output, origin)
                yield item
            case ToolCall() | ProviderItem():
                yield item
            case _:
                assert_never(item)


def _check_parts(item: Item, parts: Iterable[Part], origin: str) -> None:
    """Raises `NoForm` for a part without a form in this dialect."""
    param = foreign.LISTS.get(origin, "messages")
    for part in parts:
        if isinstance(part, ProviderPart) and part.dialect != DIALECT:
            raise foreign.unknown(DIALECT, part.data, param, item=item, part=part)
        if origin == "messages" and isinstance(part, (ImagePart, FilePart)) and part.file_id:
            message = (
                "A model server that speaks Responses takes no file by the id of another provider."
            )
            raise NoForm(message, param=param, item=item, part=part)


def _legal(item: Message) -> Iterator[Message]:
    """A message of another dialect in a form that Responses servers accept: an assistant message has text
    only and is left out if it has none; any other message has content."""
    if DIALECT in item.details:
        yield item
    elif item.role != "assistant":
        yield item if item.content else msgspec.structs.replace(item, content=(TextPart(""),))
    elif parts := tuple(filter(_is_legal, item.content)):
        yield msgspec.structs.replace(item, content=parts)


def _is_legal(part: Part) -> bool:
    return isinstance(part, (TextPart, RefusalPart, ProviderPart)) and part != TextPart("")
