"""A model that plays its scenario: offline, deterministic, at a given pace."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.models.echo import WORD
from tailrace.models.pace import play_at_pace
from tailrace.models.scenario import Scenario, ScenarioReply, ScenarioStep, choose


class ScriptedModel:
    """Plays a scenario: a word or a piece of arguments every `interval_ms`, texts `repeat` times."""

    def __init__(
        self, name: str, scenario: Scenario, *, interval_ms: float = 0, repeat: int = 1
    ) -> None:
        self.name = name
        self._scenario = scenario
        self._interval_ms = interval_ms
        self._repeat = repeat

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        reply = choose(self._scenario, request)
        if reply is None:
            raise ModelFailed("The scenario has no reply to this.", code="invalid_prompt")
        player = _Player(self._repeat)
        for step in reply.steps:
            if step.delay_ms is not None:
                await asyncio.sleep(step.delay_ms / 1000)
            async for batch in play_at_pace(player.play(step), self._interval_ms):
                yield batch
            if step.fail is not None:
                raise ModelFailed(step.fail, code=step.code)
            if step.cut:
                raise ModelFailed("The model server's reply ended in the middle.")
        yield [*player.close(), self._usage(reply, player, request)]

    async def close(self) -> None:
        """Does nothing: no connection is open."""

    def _usage(self, reply: ScenarioReply, player: _Player, request: ModelRequest) -> t.Usage:
        words = len(msgspec.json.encode(request.items).split())
        return t.Usage(
            self.name,
            input=words if reply.input is None else reply.input,
            cached=reply.cached,
            output=player.words if reply.output is None else reply.output,
            reasoning=reply.reasoning,
            finish=reply.finish or ("tool_calls" if player.has_calls else "stop"),
        )


class _Player:
    """Turns steps into payloads. Consecutive texts are one message; calls of a reply stay parallel."""

    def __init__(self, repeat: int) -> None:
        self.words = 0
        self.has_calls = False
        self._items = itertools.count()
        self._repeat = repeat
        self._kind = ""
        self._open: int | None = None
        self._part = 0

    def play(self, step: ScenarioStep) -> Iterator[t.Payload]:  # noqa: C901 - one arm per kind of step
        """The payloads of one step; items of earlier steps may end with them."""
        match step:
            case ScenarioStep(text=str(text)):
                yield from self._message("text")
                for piece in self._pieces(text, self._repeat):
                    yield t.TextDelta(self._item(), piece, self._part)
            case ScenarioStep(refusal=str(text)):
                yield from self._message("refusal")
                for piece in self._pieces(text):
                    yield t.RefusalDelta(self._item(), piece, self._part)
            case ScenarioStep(annotation=dict(annotation)):
                yield from self._message("text")
                yield t.AnnotationAdded(self._item(), annotation, self._part)
            case ScenarioStep(reasoning=str(text)):
                yield from self._begin("reasoning", "reasoning")
                for piece in self._pieces(text):
                    yield t.ReasoningDelta(self._item(), piece)
            case ScenarioStep(summary=str(text)):
                yield from self._begin("reasoning", "summary")
                for piece in self._pieces(text):
                    yield t.ReasoningSummaryDelta(self._item(), piece)
            case ScenarioStep(call=str(name)):
                yield from self._call(step, name)
            case _:
                pass  # it waits or fails

    def close(self) -> Iterator[t.Payload]:
        """End the open item."""
        if self._open is not None:
            yield t.ItemCompleted(self._open)
        self._open, self._kind = None, ""

    def _pieces(self, text: str, repeat: int = 1) -> Iterator[str]:
        words = WORD.findall(text) or [text]
        for _ in range(repeat):
            self.words += len(words)
            yield from words

    def _begin(self, item_kind: t.ItemKind, kind: str) -> Iterator[t.Payload]:
        """Ensure that an item of this kind is open: the current one, or a new one."""
        if self._kind == kind:
            return
        yield from self.close()
        self._open, self._kind, self._part = next(self._items), kind, 0
        yield t.ItemStarted(self._open, item_kind)

    def _message(self, kind: str) -> Iterator[t.Payload]:
        """Begin a message part of this kind, unless it is open; parts of several kinds are in one message."""
        if self._kind in ("text", "refusal") and self._kind != kind:
            self._kind, self._part = kind, self._part + 1
        yield from self._begin("message", kind)

    def _call(self, step: ScenarioStep, name: str) -> Iterator[t.Payload]:
        yield from self.close()
        self.has_calls = True
        item = next(self._items)
        arguments = step.arguments
        text = (
            arguments
            if isinstance(arguments, str)
            else msgspec.json.encode(arguments or {}).decode()
        )
        yield t.ItemStarted(item, "tool_call", name=name, call_id=step.call_id, custom=step.custom)
        for start in range(0, len(text), 12):
            yield t.ArgumentsDelta(item, text[start : start + 12])
        yield t.ItemCompleted(item)

    def _item(self) -> int:
        if self._open is None:
            raise AssertionError("a step begins its item first")
        return self._open
