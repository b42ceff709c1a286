"""`tailrace run`: one run in this process, on a store in memory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console

from tailrace.assembly.instance import memory_store
from tailrace.cli import asking
from tailrace.cli.errors import ServerError, Waiting
from tailrace.cli.render import Renderer, frames
from tailrace.cli.sources import app_of
from tailrace.errors import BadRequest
from tailrace.events.items import Message, TextPart
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Event, RunEnd, RunFailed, RunWaiting
from tailrace.protocols.node_stream.reply import waiting_for
from tailrace.protocols.node_stream.request import decode_answers
from tailrace.runs.owner import Owner
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.views import view

Show = Callable[[Sequence[Event]], None]
LOCAL = Caller(owner=Owner("local"), maker=Owner("local"))
"""The caller that runs the command."""


async def run(source: str, agent: str, text: str, *, surface: str, json: bool) -> None:
    """Run `agent` on `text`; print `surface`'s frames, with `json` their documents, or the run for people
    when it is empty.

    Raises `Waiting` when the run asks a question and there is no terminal.
    """
    store = memory_store()
    instance = app_of(source).instance_over(store)
    service = instance.service
    target = service.catalog.by_name(agent).name
    message = Message(role="user", content=(TextPart(text),))
    request = RunRequest(agent=target, model=target, surface="native", input=(message,))
    async with instance.lifecycle:
        suffix, _ = await service.start(LOCAL, request, b"")
        state = await _show_to_end(service, suffix, surface, json=json)
    if isinstance(state.end, RunFailed):
        raise ServerError(state.end.message)


async def _show_to_end(service: RunService, run: str, surface: str, *, json: bool) -> RunState:
    """Show a run to its end, and put its questions to the person at the terminal."""
    show, after = await _printer(service, run, surface, json=json), -1
    while True:
        async for events in service.follow_events(run, after):
            show(events)
            after = events[-1].seq
            if isinstance(events[-1].payload, RunEnd | RunWaiting):
                break
        state = await service.state(run)
        if state.is_finished:
            return state
        questions = waiting_for(state)
        if surface or not asking.can_ask():
            raise Waiting(
                f"the run waits for an answer, and nothing is kept here: {asking.sentence(questions[0])}"
                " On a terminal the question is asked; a server keeps the run for `tailrace answer RUN yes`."
            )
        await _answer(service, run, questions)


async def _answer(service: RunService, run: str, questions: list[asking.Question]) -> None:
    """Ask until the answers are valid."""
    while True:
        answers = await asyncio.to_thread(asking.ask, questions)
        try:
            body = msgspec.json.encode({"answers": answers})
            await service.answer(LOCAL, run, decode_answers(body), body)
        except BadRequest as error:
            sys.stderr.write(f"{error.message}\n")
        else:
            return


async def _printer(service: RunService, run: str, surface: str, *, json: bool) -> Show:
    request = await service.request(run)
    if not surface:
        renderer = Renderer(Console())

        def show(events: Sequence[Event]) -> None:
            for event in events:
                renderer.show(event.payload, event.agent)

        return show
    encoder, printer = view(surface, run, request).encoders(), frames(surface, json=json)

    def write(events: Sequence[Event]) -> None:
        sys.stdout.buffer.write(printer.feed(b"".join(encoder.encode(events))))
        sys.stdout.flush()

    return write
