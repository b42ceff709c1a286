"""A run on a terminal, for people: text as it comes, thoughts dimmed, tools and ends in colour."""

from __future__ import annotations

from typing import assert_never

from rich.console import Console
from rich.text import Text

from tailrace.events import types as t
from tailrace.protocols.framing.sse import SseDecoder


class Renderer:
    """Prints payloads, which it gets in order."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._aside: dict[str, list[str]] = {}
        self._column = False
        self._names: dict[int, str] = {}

    def show(self, payload: t.Payload, agent: str = "") -> None:
        """Show one event. The messages of subagents are shown when they are complete: they run in
        parallel."""
        if agent in (t.MAIN, t.NO_AGENT):
            self._show(payload)
        elif isinstance(payload, t.TextDelta):
            self._aside.setdefault(agent, []).append(payload.text)
        elif isinstance(payload, t.ItemCompleted) and agent in self._aside:
            self._line(f"  {agent}: {''.join(self._aside.pop(agent))}", "blue")
        elif isinstance(payload, t.ItemStarted) and payload.kind == "tool_call":
            self._names[payload.item] = f"{payload.name} of {agent}"
        elif isinstance(payload, t.AgentStarted):
            self._line(f"  {agent} begins", "blue")
        elif not isinstance(payload, t.ArgumentsDelta | t.ReasoningDelta):
            self._show(payload)

    def _show(self, payload: t.Payload) -> None:  # noqa: C901 - one arm per family
        match payload:
            case t.TextDelta() | t.TranscriptDelta():
                self._words(payload.text, "")
            case t.ReasoningDelta() | t.ReasoningSummaryDelta():
                self._words(payload.text, "dim italic")
            case t.RefusalDelta():
                self._words(payload.text, "yellow")
            case t.ArgumentsDelta():
                self._words(payload.text, "cyan")
            case t.ItemStarted():
                self._names[payload.item] = payload.name
                if payload.kind == "tool_call":
                    self._line(f"▸ {payload.name} ", "bold cyan", end="")
            case t.ToolCompleted():
                mark, style = ("✗", "red") if payload.is_error else ("✓", "green")
                self._line(f"{mark} {self._names.get(payload.item, '')}: {payload.output}", style)
            case t.RunStarted():
                self._line(f"● run of {payload.request.agent}", "bold")
            case t.RunAttempt():
                self._line(f"↻ attempt {payload.number}: {payload.reason}", "bold yellow")
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._line(*_end(payload))
            case t.Usage():
                tokens = f"{payload.input} tokens in, {payload.output} out"
                self._line(f"  {payload.model}: {tokens}", "dim")
            case t.NodeFailed():
                self._line(f"  node failed: {payload.message}", "red")
            case t.ToolProgress():
                self._line(f"  … {payload.message}", "dim")
            case t.ApprovalRequested() | t.InputRequested():
                self._line(f"? {payload.message}", "bold magenta")
            case t.ItemCompleted():
                self._break()
            case t.RunWaiting():
                self._line("● waiting for an answer", "bold magenta")
            case (
                t.RunResumed()
                | t.NodeStarted()
                | t.NodeCompleted()
                | t.AgentStarted()
                | t.AgentCompleted()
                | t.AnnotationAdded()
                | t.ImagePartial()
                | t.ProviderEvent()
                | t.AudioDelta()
                | t.ToolStarted()
                | t.ApprovalResolved()
                | t.InputReceived()
                | t.CompactionStarted()
                | t.CompactionCompleted()
                | t.ContextUsage()
                | t.ReplyAbandoned()
                | t.Custom()
            ):
                pass
            case _:
                assert_never(payload)

    def _words(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), end="", soft_wrap=True)
        self._column = not text.endswith("\n")

    def _line(self, text: str, style: str, end: str = "\n") -> None:
        self._break()
        self._console.print(Text(text, style=style), end=end, soft_wrap=True)
        self._column = end != "\n"

    def _break(self) -> None:
        if self._column:
            self._console.print()
            self._column = False


def _end(end: t.RunEnd) -> tuple[str, str]:
    """The line and the style of a run's end."""
    match end:
        case t.RunCompleted():
            return "● completed", "bold green"
        case t.RunIncomplete():
            return f"● incomplete: {end.reason}", "bold yellow"
        case t.RunFailed():
            return f"● failed: {end.message}", "bold red"
        case t.RunCancelled():
            return f"● cancelled by {end.by}", "bold red"


LINES = "session"
"""The surface whose frames are lines of JSON already."""
END = b"[DONE]"
"""The last frame of some surfaces, which is not JSON."""


class JsonLines:
    """Feed the bytes of a surface's stream, in any pieces, get lines."""

    def __init__(self, surface: str) -> None:
        self._plain = surface == LINES
        self._decoder = SseDecoder()

    def feed(self, data: bytes) -> bytes:
        """The lines of the frames that these bytes complete."""
        if self._plain:
            return data
        frames = [event.data for event in self._decoder.feed(data)]
        return b"".join(frame + b"\n" for frame in frames if frame.strip() not in (b"", END))


class Bytes:
    """The frames unchanged."""

    def feed(self, data: bytes) -> bytes:
        """These bytes."""
        return data


def frames(surface: str, *, json: bool) -> JsonLines | Bytes:
    """The printer of a surface's stream."""
    return JsonLines(surface) if json else Bytes()
