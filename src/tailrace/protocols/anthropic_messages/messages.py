"""A model request as an Anthropic Messages body (anthropic 2.11's `MessageCreateParams`)."""

from __future__ import annotations

from typing import assert_never

import msgspec

from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.request import ModelRequest, Settings, ToolSpec
from tailrace.protocols.fields import Object, given, nested

DIALECT = "messages"
BETA = "anthropic-beta"
"""The header that names what of the API is not stable yet: fields of a request that a server knows only with
it. Under the same name it travels in a request's settings."""
SYSTEM_BREAK = "\n\n"
"""Between the texts of a system prompt."""
DEFAULT_MAX_TOKENS = 8192
"""The API requires a limit; this one every current model accepts."""


def encode(request: ModelRequest, model: str) -> Object:
    """The body of `POST /messages`, streamed."""
    settings = request.settings
    own: Object = dict(settings.extra) if settings.origin == DIALECT else {}
    blocks = own.pop("system", [])
    system = [request.instructions] if request.instructions else []
    turns: list[Object] = []
    for item in request.items:
        if isinstance(item, Message) and item.role in ("system", "developer"):
            system.append(_text(item.content))
        else:
            _add(turns, item)
    body: Object = {
        "model": model,
        "messages": turns,
        "max_tokens": settings.max_output_tokens or DEFAULT_MAX_TOKENS,
        "stream": True,
        **given(
            {
                "system": _system(SYSTEM_BREAK.join(system), blocks),
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "stop_sequences": list(settings.stop),
                "tools": [_tool(tool, settings) for tool in settings.tools if _known(tool)],
                "tool_choice": _choice(settings),
            }
        ),
    }
    if settings.user:
        body["metadata"] = {"user_id": settings.user}
    return body | own | given({"output_config": _output_config(settings, own)})


def _add(turns: list[Object], item: Item) -> None:
    """Append an item to the turns: items of one role in a row are one message of many blocks."""
    match item:
        case Message():
            role = "assistant" if item.role == "assistant" else "user"
            blocks = _blocks(item, item.content)
        case Reasoning():
            role, blocks = "assistant", _thinking(item)
        case ToolCall():
            role, blocks = "assistant", [_call(item)]
        case ToolOutput():
            role, blocks = "user", [_result(item)]
        case ProviderItem():
            role, blocks = "assistant", [dict(item.data)] if item.dialect == DIALECT else []
        case _:
            assert_never(item)
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"].extend(blocks)
    else:
        turns.append({"role": role, "content": blocks})


def _thinking(item: Reasoning) -> list[Object]:
    """Thinking goes back only with the signature it came with."""
    kept: Object = item.details.get(DIALECT, {})
    if "data" in kept:
        return [{"type": "redacted_thinking", "data": kept["data"]}]
    if "signature" in kept:
        thinking = "".join(item.text)
        return [{"type": "thinking", "thinking": thinking, "signature": kept["signature"]}]
    return []


def _call(item: ToolCall) -> Object:
    try:
        arguments: Json = msgspec.json.decode(item.arguments or "{}")
    except msgspec.MsgspecError:
        arguments = {"arguments": item.arguments}
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    call: Object = {"type": "tool_use", "id": item.call_id, "name": item.name, "input": arguments}
    return {**call, **_cached(item)}


def _result(item: ToolOutput) -> Object:
    blocks = _blocks(item, item.output)
    result: Object = {"type": "tool_result", "tool_use_id": item.call_id, "content": blocks}
    return {**result, **_cached(item), **given({"is_error": item.is_error or None})}


def _cached(item: Item) -> Object:
    """The mark up to where the client wants the prompt cached."""
    return given({"cache_control": item.details.get(DIALECT, {}).get("cache_control")})


def _blocks(item: Item, parts: tuple[Part, ...]) -> list[Object]:
    """The blocks of an item's parts, with what a client of this dialect said of them besides."""
    kept: Object = item.details.get(DIALECT, {}).get("blocks", {})
    told = [(part, kept.get(str(place), {})) for place, part in enumerate(parts)]
    return [
        more if "type" in more else {**_block(part), **more}
        for part, more in told
        if part != TextPart("") or "type" in more
    ]


def _system(said: str, blocks: list[Object]) -> Json:
    """The system prompt; where the client's own blocks stand in it, as blocks, since they say more."""
    theirs = SYSTEM_BREAK.join(block["text"] for block in blocks)
    before, found, after = said.partition(theirs) if theirs else (said, "", "")
    if not found:
        return said
    texts = [before.removesuffix(SYSTEM_BREAK), after.removeprefix(SYSTEM_BREAK)]
    ours = [[{"type": "text", "text": text}] if text else [] for text in texts]
    return [*ours[0], *blocks, *ours[1]]


def _block(part: Part) -> Object:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case RefusalPart():
            return {"type": "text", "text": part.refusal}
        case ImagePart():
            return {"type": "image", "source": _source(part.url, part.file_id)}
        case FilePart():
            document = {"type": "document", "source": _source(part.data or part.url, part.file_id)}
            return {**document, **given({"title": part.filename})}
        case AudioPart():
            return {"type": "text", "text": f"[{part.format} audio, which this model cannot hear]"}
        case _:
            assert_never(part)


def _source(url: str, file_id: str) -> Object:
    if file_id:
        return {"type": "file", "file_id": file_id}
    if url.startswith("data:"):
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "base64", "media_type": kind, "data": data}
    return {"type": "url", "url": url}


def _known(tool: ToolSpec) -> bool:
    """Functions, and the provider tools of this very dialect (they have a versioned type)."""
    return tool.kind == "function" or (tool.kind == "provider" and "name" in tool.raw)


def _tool(tool: ToolSpec, settings: Settings) -> Object:
    if tool.kind == "provider":
        return dict(tool.raw)
    schema: Json = tool.parameters or {"type": "object", "properties": {}}
    return {
        "name": tool.name,
        "input_schema": schema,
        **given({"description": tool.description}),
        **(tool.raw if settings.origin == DIALECT else {}),
    }


def _choice(settings: Settings) -> Object:
    if not settings.tools:
        return {}
    choice = settings.tool_choice
    if choice.mode == "required" and len(choice.names) == 1:
        form: Object = {"type": "tool", "name": choice.names[0]}
    else:
        form = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    if settings.parallel_tool_calls is False and choice.mode != "none":
        form["disable_parallel_tool_use"] = True
    return form if form != {"type": "auto"} else {}


def _output_config(settings: Settings, own: Object) -> Object:
    """The answer's form; how hard to think is told in the client's own words where they are ours."""
    form: Object = {}
    if settings.output.kind == "json_schema":
        form["format"] = {"type": "json_schema", "schema": settings.output.schema}
    if settings.origin == DIALECT:
        return {**nested(own, "output_config"), **form}
    return {**form, **given({"effort": settings.reasoning_effort})}


def _text(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))
