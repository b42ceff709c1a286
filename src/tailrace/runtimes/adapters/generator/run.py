"""The argument of an agent that is a plain async generator, and the values that it yields.

    async def poet(run: Run):
        yield run.reasoning("pick a metre")
        search = run.tool("search", query=run.input)
        yield search
        yield search.result(await find(run.input))
        yield "a plain string is text"

A piece describes one event of the agent; `runtime.py` turns it into events of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from tailrace.events import history
from tailrace.events.items import Item, Json, Message, text_of
from tailrace.events.request import RunRequest
from tailrace.events.types import MAIN, Payload, Usage
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.current import AboutRequest


class TextPiece(Struct, frozen=True):
    """A piece of text or of reasoning; consecutive pieces make one item."""

    kind: Literal["message", "reasoning"]
    text: str
    agent: str = MAIN


class ToolCallPiece(Struct, frozen=True):
    """A tool call: of one of the agent's own tools, or with `client` of one that the client runs.

    The call of a client's tool ends the turn; its output comes with the next request.
    """

    id: str
    name: str
    arguments: Json
    agent: str = MAIN
    client: bool = False

    def result(self, output: Json, *, is_error: bool = False) -> ToolResultPiece:
        """The result of the tool: text, or any JSON value."""
        return ToolResultPiece(self.id, output, is_error)


class ToolResultPiece(Struct, frozen=True):
    """A tool's result."""

    id: str
    output: Json
    is_error: bool = False


class Custom(Struct, frozen=True):
    """An event of the author; shown on surfaces that have a form for it."""

    name: str
    data: Json = None
    agent: str = MAIN


class AgentEnd(Struct, frozen=True):
    """A subagent has ended."""

    agent: str


GeneratorPiece: TypeAlias = (
    str | TextPiece | ToolCallPiece | ToolResultPiece | Custom | AgentEnd | Usage | Payload
)
"""The values that a generator may yield. A bare event (`tailrace.events.types`) is passed on as the main
agent's."""


class Speaker:
    """An agent of the run; its methods make pieces under its name."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self._calls = 0

    def text(self, text: str) -> TextPiece:
        """A piece of the answer."""
        return TextPiece("message", text, self.agent)

    def reasoning(self, text: str) -> TextPiece:
        """A piece of reasoning."""
        return TextPiece("reasoning", text, self.agent)

    def tool(self, name: str, **arguments: Json) -> ToolCallPiece:
        """A call of one of the agent's own tools; yield it, then its `result`."""
        return ToolCallPiece(self._call_id(), name, arguments, self.agent)

    def custom(self, name: str, data: Json = None) -> Custom:
        """An event of the author."""
        return Custom(name, data, self.agent)

    def done(self) -> AgentEnd:
        """This subagent has ended."""
        return AgentEnd(self.agent)

    def _call_id(self) -> str:
        self._calls += 1
        return f"call_{self.agent.lower()}_{self._calls}"


class Run(Speaker, AboutRequest):
    """A run, for its generator.

    `input` is the text of the last user message, `messages` the whole conversation so far. `attempt` is
    above 1 if the run starts again after a crash.
    """

    def __init__(self, context: RunContext) -> None:
        super().__init__(MAIN)
        self.id = context.run
        self.request: RunRequest = context.request
        self.messages: Sequence[Item] = history.conversation(context.state)
        self.attempt = context.state.attempt
        self._context = context
        self._speakers = Counter(
            entry.name for entry in context.state.registry if entry.kind != "main"
        )

    @property
    def input(self) -> str:
        """The text of the last user message, `""` without one."""
        for item in reversed(self.messages):
            if isinstance(item, Message) and item.role == "user":
                return text_of(item.content)
        return ""

    def subagent(self, name: str) -> Speaker:
        """A subagent; it joins the run with its first piece."""
        self._speakers[name] += 1
        number = self._speakers[name]
        return Speaker(name if number == 1 else f"{name}#{number}")

    def client_tool(self, name: str, **arguments: Json) -> ToolCallPiece:
        """A call of a tool that the client runs; yield it last."""
        return ToolCallPiece(self._call_id(), name, arguments, client=True)
