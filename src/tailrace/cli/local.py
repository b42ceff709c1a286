"""`tailrace run`: one run in this process, on a store that keeps nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from tailrace import assembly, config
from tailrace.cli.errors import ServerError
from tailrace.cli.render import Renderer
from tailrace.events.items import Message, TextPart
from tailrace.events.request import RunRequest
from tailrace.events.types import RunFailed
from tailrace.http.parts import Parts
from tailrace.http.views import view
from tailrace.log.follow import follow
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Submission


async def run(file: Path, agent: str, text: str, *, surface: str) -> None:
    """Run `agent` on `text`; print `surface`'s frames, or the run for people when it is empty."""
    store = assembly.memory_store()
    parts = assembly.parts(config.load(file), store)
    target = parts.catalog.named(agent).name
    said = Message(role="user", content=(TextPart(text),))
    request = RunRequest(agent=target, model=target, surface="native", input=(said,))
    await parts.supervisor.open()
    try:
        submission = Submission(key="", body=b"", retry=False)
        suffix, _ = await parts.supervisor.start(
            request, owner=Owner("local"), submission=submission
        )
        await _show(parts, suffix, surface)
        end = (await parts.directory.state(suffix)).end
    finally:
        await parts.supervisor.close()
        await parts.let_go()
    if isinstance(end, RunFailed):
        raise ServerError(end.message)


async def _show(parts: Parts, run: str, surface: str) -> None:
    asked = await parts.directory.request(run)
    encoder = view(surface, run, asked).encoders() if surface else None
    renderer = Renderer(Console())
    async for events in follow(parts.projections.log, run, -1):
        if encoder is None:
            for event in events:
                renderer.show(event.payload, event.agent)
        else:
            sys.stdout.buffer.write(b"".join(encoder.encode(events)))
            sys.stdout.flush()
