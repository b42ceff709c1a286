"""Bodies that arrive slowly and at the same time: each stays within its limit, and all together within
theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from tailrace.errors import BadRequest, Unavailable
from tailrace.http import bodies as bodies_module
from tailrace.http.bodies import TOGETHER, Bodies

MOST = 100


class Sending:
    """A client that has sent nearly all of a body, and sends the rest on request."""

    def __init__(self, size: int) -> None:
        self._next: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._next.put_nowait(
            {"type": "http.request", "body": b" " * (size - 2), "more_body": True}
        )
        self.request = Request({"type": "http", "headers": []}, self._next.get)

    def end(self) -> None:
        self._next.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})

    def leave(self) -> None:
        self._next.put_nowait({"type": "http.disconnect"})


async def _full(bodies: Bodies) -> tuple[list[Sending], list[asyncio.Task[bytes]]]:
    """As many clients as fit, each with a small part left to send."""
    clients = [Sending(MOST) for _ in range(TOGETHER)]
    tasks = [asyncio.create_task(bodies.read(client.request, [])) for client in clients]
    await asyncio.sleep(0)
    return clients, tasks


async def test_there_is_room_for_so_many_at_once() -> None:
    bodies = Bodies(MOST)
    clients, tasks = await _full(bodies)
    with pytest.raises(Unavailable):
        await bodies.read(Sending(MOST).request, [])
    for client in clients:
        client.end()
    assert [len(body) for body in await asyncio.gather(*tasks)] == [MOST] * TOGETHER


async def test_a_client_that_sends_too_slowly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "SECONDS", 0.01)
    bodies = Bodies(MOST)
    with pytest.raises(BadRequest, match=r"took more than 0\.01 s"):
        await bodies.read(Sending(MOST).request, [])
    assert bodies._buffered_bytes == 0


@pytest.mark.parametrize("how", ["end", "leave"])
async def test_a_finished_or_closed_request_makes_room(how: str) -> None:
    bodies = Bodies(MOST)
    clients, tasks = await _full(bodies)
    getattr(clients[0], how)()
    (outcome,) = await asyncio.gather(tasks[0], return_exceptions=True)
    assert isinstance(outcome, ClientDisconnect) == (how == "leave")
    late = Sending(MOST)
    late.end()
    assert len(await bodies.read(late.request, [])) == MOST
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
