"""Responses as model servers speak it: our request to one. Its reply is read in `upstream_reply.py`.

What a client said in this dialect goes to the server as it said it. What is the run's stays here: `stream`,
`stream_options`, `store` (nothing is stored at the server), `background`, `metadata`, `previous_response_id`
and `conversation`; the server is told the whole conversation instead.
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
"""Parameters that are made of what the client said in this dialect and of settings."""
_REASONS = re.compile(r"(?:.*/)?(?:o[1-9]|codex|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
"""Models that think and, as nothing is stored, must be given their thoughts back. Others answer 400 to who
asks for thoughts, so a name that tells nothing is not asked."""

_json = msgspec.json.Encoder().encode


class ResponsesCodec:
    """`UpstreamCodec` for Responses servers."""

    dialect: str = DIALECT

    def __init__(self, *, thoughts: bool | None = None) -> None:
        """`thoughts`: whether they are asked for in the form in which they can be given back; None where the
        request, or the model's name, tells that there will be some."""
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
    """What tools under other names than their own stand for."""
    pairs = [
        (names.of(*tool.key), names.stands_for(tool, as_function=False))
        for tool in tools
        if tool.spec.kind != "provider"
    ]
    return {name: stands for name, stands in pairs if stands is not None}


def _include(settings: Settings, extra: Object, *, thoughts: bool) -> list[Json]:
    """What the client wants included, and what is needed to go on."""
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
    """Refuse what a client of another dialect asks for, where no such server can do it. Raises `NoForm`."""
    foreign.check(settings, DIALECT)
    if settings.max_output_tokens == 0:  # of Messages, where it fills a cache
        message = "A model server that speaks Responses says at least one token."
        raise NoForm(message, param="max_tokens")


def _may_choose(request: ModelRequest, extra: Object) -> bool:
    """Whether a choice has something to choose from: servers refuse it else, and so do we what another
    dialect's client demands. Raises `NoForm`."""
    settings = request.settings
    if settings.tools or "prompt" in extra or any(map(brings_tools, request.items)):
        return True
    if settings.origin == DIALECT:
        return True  # as it was sent
    if settings.tool_choice.mode == "required":
        raise foreign.no_choice(settings, DIALECT)
    return False


def _fitting_items(items: Iterable[Item], origin: str) -> Iterator[Item]:
    """The items of a conversation as a Responses server accepts them. Raises `NoForm` for an item of the
    client's that no such server knows."""
    for item in items:
        foreign.check_item(item, origin)
        match item:
            case ProviderItem() if item.dialect != DIALECT:
                yield from foreign.as_function(item, DIALECT, origin)
            case Reasoning():
                # A summary alone is refused: nothing is stored there. An id tells that the server made it.
                # OpenAI's servers refuse the words of another server's thoughts (`array_above_max_length`).
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
    """Raises `NoForm` for a part that has none here."""
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
    """A message of another dialect as servers of this one accept it: an assistant's has text only, and one
    without text is left out; any other has content."""
    if DIALECT in item.details:
        yield item
    elif item.role != "assistant":
        yield item if item.content else msgspec.structs.replace(item, content=(TextPart(""),))
    elif parts := tuple(filter(_is_legal, item.content)):
        yield msgspec.structs.replace(item, content=parts)


def _is_legal(part: Part) -> bool:
    return isinstance(part, (TextPart, RefusalPart, ProviderPart)) and part != TextPart("")
