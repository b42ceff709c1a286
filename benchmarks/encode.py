"""What it costs to show an event: 5,000 text deltas, in batches of 20, on every surface, without a socket."""

from __future__ import annotations

import time

from benchmarks.harness import median
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.protocols.contract import StreamEncoder
from tailrace.runtimes.node_lifecycle import finish, main_drafts, opening
from tailrace.service.views import VIEWS

RUN = "0" * 26
DELTAS = 5_000
BATCH = 20
ROUNDS = 7
PEER = "responses"


def main() -> list[str]:
    """Rows of the results table: microseconds and bytes an event, and the ratio to Responses."""
    log = _log()
    costs = {surface: [_cost(surface, log) for _ in range(ROUNDS)] for surface in VIEWS}
    peer = median(costs[PEER])
    return [
        f"| show a token: {surface} | {median(cost):.2f} µs, {_size(surface, log)} bytes"
        f" | {peer:.2f} µs | {median(cost) / peer:.2f} |"
        for surface, cost in costs.items()
    ]


def _log() -> list[t.Event]:
    request = RunRequest(agent="a", model="a", surface="native", input=())
    state = RunState()
    log = [state.advance(t.Draft(t.RunStarted(request)), 0)]
    log += [state.advance(draft, 0) for draft in opening(state, "a")]
    deltas = [t.TextDelta(0, "word ") for _ in range(DELTAS)]
    payloads: list[t.Payload] = [
        t.ItemStarted(0, "message"),
        *deltas,
        t.ItemCompleted(0),
        t.Usage("m"),
    ]
    log += [state.advance(draft, 0) for draft in main_drafts(payloads)]
    return log + [state.advance(draft, 0) for draft in finish(state, t.RunCompleted())]


def _cost(surface: str, log: list[t.Event]) -> float:
    encoder = _encoder(surface, log)
    before = time.process_time()
    for start in range(0, len(log), BATCH):
        encoder.encode(log[start : start + BATCH])
    return (time.process_time() - before) / len(log) * 1e6


def _size(surface: str, log: list[t.Event]) -> int:
    return len(b"".join(_encoder(surface, log).encode(log))) // len(log)


def _encoder(surface: str, log: list[t.Event]) -> StreamEncoder:
    started = log[0].payload
    if not isinstance(started, t.RunStarted):
        raise TypeError("a log begins with run.started")
    return VIEWS[surface](RUN, started.request).encoders()


if __name__ == "__main__":
    print("\n".join(main()))
