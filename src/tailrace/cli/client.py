"""Commands that are clients of a running server: tail, runs, answer, cancel."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table

from tailrace.cli import asking
from tailrace.cli.asking import AnswerFields, Question
from tailrace.cli.errors import ServerError
from tailrace.cli.render import Renderer, frames
from tailrace.events.ids import job_id, run_suffix
from tailrace.protocols.framing.sse import SseDecoder
from tailrace.protocols.node_stream.stream import NodeStreamEvent

TOKEN = "TAILRACE_TOKEN"
"""The environment variable with the token that these commands send."""

_envelope = msgspec.json.Decoder(NodeStreamEvent).decode


OnEvent = Callable[[NodeStreamEvent], Awaitable[None]]


async def _ignore(event: NodeStreamEvent) -> None:
    pass


async def tail(
    url: str,
    run: str,
    *,
    surface: str,
    after: int | None,
    json: bool = False,
    on_event: OnEvent = _ignore,
) -> None:
    """Print a run's frames on `surface`, with `json` their documents; for `""` print the run for people, and
    call `on_event` with each event. Raises `ServerError`."""
    query = {"as": surface or "native"}
    if after is not None:
        query["after"] = str(after)
    path = f"/jobs/{_job(run)}/stream"
    if surface:
        printer = frames(surface, json=json)
        async for data in _stream(url, path, query):
            sys.stdout.buffer.write(printer.feed(data))
            sys.stdout.flush()
        return
    decoder, renderer = SseDecoder(), Renderer(Console())
    async for data in _stream(url, path, query):
        for event in decoder.feed(data):
            envelope = _envelope(event.data)
            renderer.show(envelope.payload, envelope.agent_id or "")
            await on_event(envelope)


async def start(url: str, agent: str, text: str) -> str:
    """Start a job; returns its id. Raises `ServerError`."""
    body = msgspec.json.encode({"agent": agent, "input": text})
    job = msgspec.json.decode(await _ask(url, "POST", "/jobs", body))
    return str(job["id"])


async def answer(url: str, run: str, text: str) -> None:
    """Answer the first question of a run: a decision about a call (`asking.FORMS`), any text to a question.
    Raises `ServerError`."""
    path = f"/jobs/{_job(run)}"
    waiting = msgspec.json.decode(await _ask(url, "GET", path))["waiting_for"]
    if not waiting:
        raise ServerError(f"{run} does not wait for an answer.")
    fields = asking.answer_fields(waiting[0], text)
    await _ask(url, "POST", f"{path}/input", msgspec.json.encode(fields))


async def answer_all(
    url: str, run: str, choose: Callable[[list[Question]], list[AnswerFields]]
) -> None:
    """Answer all questions of a run with the answers of `choose`. Raises `ServerError`."""
    path = f"/jobs/{_job(run)}"
    waiting = msgspec.json.decode(await _ask(url, "GET", path))["waiting_for"]
    answers = msgspec.json.encode({"answers": choose(waiting)})
    await _ask(url, "POST", f"{path}/input", answers)


async def runs(url: str, *, plain: bool) -> None:
    """Print the latest runs as a table, with `plain` as JSON lines. Raises `ServerError`."""
    page = msgspec.json.decode(await _ask(url, "GET", "/jobs"))
    if plain:
        for job in page["data"]:
            sys.stdout.write(msgspec.json.encode(job).decode() + "\n")
        return
    table = Table("job", "agent", "surface", "status")
    for job in page["data"]:
        table.add_row(job["id"], job["agent"], job["surface"], job["status"])
    Console().print(table)


async def cancel(url: str, run: str) -> None:
    """Cancel a run and print its status. Raises `ServerError`."""
    job = msgspec.json.decode(await _ask(url, "POST", f"/jobs/{_job(run)}/cancel"))
    sys.stdout.write(f"{job['id']} {job['status']}\n")


def _job(any_id: str) -> str:
    """A run's id on the native surface, from any of its ids."""
    suffix = run_suffix(any_id)
    return job_id(suffix) if suffix else any_id


async def _ask(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    async with aiohttp.ClientSession(headers=_key()) as session:
        try:
            async with session.request(method, url + path, data=body) as reply:
                answer = await reply.read()
        except aiohttp.ClientError as error:
            raise ServerError(f"{url} cannot be reached: {error}") from None
    if reply.status >= 400:
        raise ServerError(_message(answer, reply.status))
    return answer


async def _stream(url: str, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(headers=_key(), timeout=timeout) as session:
        try:
            async with session.get(url + path, params=query) as reply:
                if reply.status >= 400:
                    raise ServerError(_message(await reply.read(), reply.status))
                async for data in reply.content.iter_any():
                    yield data
        except aiohttp.ClientError as error:
            raise ServerError(f"{url} broke the connection: {error}") from None


def _key() -> dict[str, str]:
    """The header with the environment's token, if there is one."""
    token = os.environ.get(TOKEN)
    return {"authorization": f"Bearer {token}"} if token else {}


def _message(body: bytes, status: int) -> str:
    try:
        document: Any = msgspec.json.decode(body)
        return str(document["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return f"the server answered {status}"
