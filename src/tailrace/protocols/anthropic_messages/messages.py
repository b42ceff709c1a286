"""A model request as an Anthropic Messages body (anthropic 2.11's `MessageCreateParams`)."""

from __future__ import annotations

from typing import assert_never

import msgspec

from tailrace.errors import NoForm
from tailrace.events.items import (
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.request import ModelRequest, Settings
from tailrace.events.tools import declarations
from tailrace.protocols import foreign
from tailrace.protocols.anthropic_messages import parts, tools
from tailrace.protocols.anthropic_messages.history import legal
from tailrace.protocols.anthropic_messages.wire import DIALECT, SERVER
from tailrace.protocols.fields import Object, any_object, nested, without_empty
from tailrace.protocols.offered import Names

BETA = "anthropic-beta"
"""The header that enables unstable parts of the API: a server accepts some fields only with it. In the
settings of a request it has the same name."""
SYSTEM_BREAK = "\n\n"
"""The separator of the texts of a system prompt."""
EFFORTS = {"none": "", "minimal": "low"}
"""OpenAI's low reasoning efforts, which this API refuses: its models think only on request."""
DEFAULT_MAX_TOKENS = 8192
"""The API requires a limit; every current model accepts this one."""


def names_of(request: ModelRequest) -> Names:
    """The names of the tools of a request at the server."""
    tools = declarations(request.settings.tools, request.items)
    return Names(tools, DIALECT, request.settings.origin)


def encode(request: ModelRequest, model: str) -> Object:
    """The body of `POST /messages`, streamed. Raises `NoForm` for content that the API cannot express."""
    settings, names = request.settings, names_of(request)
    foreign.check(settings, DIALECT)
    own: Object = dict(settings.extra) if settings.origin == DIALECT else {}
    blocks = own.pop("system", [])
    turns = MessageTurns(settings.origin, names)
    for item in request.items:
        try:
            turns.add(item)
        except NoForm as refusal:
            raise refusal.about(item=item) from None
    system = [*([request.instructions] if request.instructions else []), *turns.system]
    limit = settings.max_output_tokens
    body: Object = {
        "model": model,
        "messages": turns.turns if settings.origin == DIALECT else legal(turns.turns),
        "max_tokens": DEFAULT_MAX_TOKENS if limit is None else limit,
        "stream": True,
        **without_empty(
            {
                "system": _system(SYSTEM_BREAK.join(system), blocks),
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "stop_sequences": list(settings.stop),
            }
        ),
        **tools.encode(request, names),
    }
    if settings.user:
        body["metadata"] = {"user_id": settings.user}
    return body | own | without_empty({"output_config": _output_config(settings, own)})


class MessageTurns:
    """The messages of a conversation, item by item; `origin` is the surface of the request.

    Consecutive items of one role are one message of several blocks, as the API itself reads them. Messages
    of a client of this dialect that have fields of their own, and its system messages, stay separate; other
    system and developer messages belong to the system prompt.
    """

    def __init__(self, origin: str, names: Names) -> None:
        self.turns: list[Object] = []
        self.system: list[str] = []
        self._origin = origin
        self._param = foreign.LISTS.get(origin, "messages")
        self._names = names
        self._theirs = origin == DIALECT
        self._closed = True
        self._ours: set[str] = set()
        """Calls of tools that ran here, and that the client received as calls of an MCP server."""

    def add(self, item: Item) -> None:
        """Add the next item."""
        foreign.check_item(item, self._origin)
        if isinstance(item, ProviderItem) and item.dialect != DIALECT:
            for each in foreign.as_function(item, DIALECT, self._origin, self._names):
                self.add(each)
            return
        own: Object = item.details.get(DIALECT, {})
        if isinstance(item, Message) and item.role in ("system", "developer") and "turn" not in own:
            self.system.append(_text(item.content))
            return
        role, blocks = self._message(item, own)
        if "turn" in own:
            self._add_blocks(role, blocks, own["turn"])
        elif blocks:
            if self._closed or self.turns[-1]["role"] != role:
                self.turns.append({"role": role, "content": []})
            self.turns[-1]["content"].extend(blocks)
            self._closed = False

    def _add_blocks(self, role: str, blocks: list[Object], turn: Object | None) -> None:
        if turn is not None:
            self.turns.append({"role": role, **({"content": []} if blocks else {}), **turn})
        if blocks:
            self.turns[-1].setdefault("content", []).extend(blocks)
        self._closed = True

    def _message(self, item: Item, own: Object) -> tuple[str, list[Object]]:
        """The role of the message with an item, and its blocks."""
        match item:
            case Message():
                role = {"assistant": "assistant", "user": "user"}.get(item.role, "system")
                theirs = self._theirs or item.role != "assistant"
                parts = item.content if theirs else tuple(filter(_is_words, item.content))
                return role, self._blocks(own, parts)
            case Reasoning():
                return own.get("role", "assistant"), _thinking(item, own)
            case ToolCall():
                return own.get("role", "assistant"), [self._call(item, own)]
            case ToolOutput():
                result = self._result(item, own)
                theirs = self._theirs and result["type"] == _own(own).get("type", "tool_result")
                return own.get("role", "user") if theirs else "user", [result]
            case ProviderItem():
                return item.role, [dict(item.data)]
            case _:
                assert_never(item)

    def _blocks(self, own: Object, content: tuple[Part, ...]) -> list[Object]:
        """The blocks of an item's parts, with the other fields that a client of this dialect set."""
        more: Object = own.get("blocks", {})
        pairs = [(part, more.get(str(place), {})) for place, part in enumerate(content)]
        return [
            parts.encode(part, rest, self._param)
            for part, rest in pairs
            if part != TextPart("") or "type" in rest
        ]

    def _call(self, item: ToolCall, details: Object) -> Object:
        """A call. A client's `mcp_tool_use` is a call of an MCP server of the client's own and stays one,
        or a call of our tools: then it is a plain call for the model."""
        own = _own(details)
        if own.get("type") == "mcp_tool_use" and not self._passed_on(own):
            self._ours.add(item.call_id)
            own = {"cache_control": own["cache_control"]} if "cache_control" in own else {}
        return {
            "type": "tool_use",
            "id": item.call_id,
            "name": self._names.of_call(item),
            "input": {"input": item.arguments} if item.custom else _arguments(item.arguments),
            **own,
        }

    def _passed_on(self, own: Object) -> bool:
        return self._theirs and own.get("server_name") != SERVER

    def _result(self, item: ToolOutput, details: Object) -> Object:
        own = _own(details)
        if own.get("type") == "mcp_tool_result" and (
            item.call_id in self._ours or not self._theirs
        ):
            own = {"cache_control": own["cache_control"]} if "cache_control" in own else {}
        content = self._blocks(details, item.output)
        return {
            "type": "tool_result",
            "tool_use_id": item.call_id,
            **without_empty({"content": content, "is_error": item.is_error or None}),
            **own,
        }


def _is_words(part: Part) -> bool:
    """Whether an assistant message may contain the part: images and files belong to users."""
    return not isinstance(part, (ImagePart, FilePart))


def _own(own: Object) -> Object:
    """The fields of a call's or a result's block that only this dialect has."""
    return without_empty({"cache_control": own.get("cache_control")}) | any_object(own.get("block"))


def _thinking(item: Reasoning, details: Object) -> list[Object]:
    """Thinking of this dialect is sent back unchanged; that of other dialects is omitted, because it has no
    signature."""
    own = {name: value for name, value in details.items() if name not in ("turn", "role")}
    if not own:
        return []
    if "data" in own:
        return [{"type": "redacted_thinking", **own}]
    return [{"type": "thinking", "thinking": "".join(item.text), **own}]


def _arguments(text: str) -> Object:
    """A call's arguments as an object, also if the model wrote something else."""
    try:
        value: Json = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, RecursionError):
        value = text
    return any_object(value) if isinstance(value, dict) else {"arguments": value}


def _system(words: str, blocks: list[Object]) -> Json:
    """The system prompt; as blocks if the client sent blocks, since those may have other fields."""
    theirs = SYSTEM_BREAK.join(block["text"] for block in blocks)
    before, marker, after = words.partition(theirs) if theirs else (words, "", "")
    if not marker:
        return words
    texts = [before.removesuffix(SYSTEM_BREAK), after.removeprefix(SYSTEM_BREAK)]
    ours = [[{"type": "text", "text": text}] if text else [] for text in texts]
    return [*ours[0], *blocks, *ours[1]]


def _output_config(settings: Settings, own: Object) -> Object:
    """The format of the answer; the reasoning effort is the client's own value if this API has it."""
    form: Object = {}
    if settings.output.kind == "json_schema":
        form["format"] = {"type": "json_schema", "schema": settings.output.schema}
    if settings.origin == DIALECT:
        return {**form, **nested(own, "output_config")}
    effort = EFFORTS.get(settings.reasoning_effort, settings.reasoning_effort)
    return {**form, **without_empty({"effort": effort})}


def _text(content: tuple[Part, ...]) -> str:
    return "".join(part.text for part in content if isinstance(part, TextPart))
