"""How late do tokens arrive? 1,000 streams x 20/s: scripted agent → SQLite → Responses frame → socket.

Both servers make token k of a stream at its start + k x 50 ms. The start is not known here, but no token can
arrive before its time: lag is counted from the schedule that the stream's fastest token kept. So what every
token pays alike is not in it, and the load generator's own delay is, for both. Asked twice of the same run:
of all tokens, a thousand streams opening and ending at once included, and of those that arrive while all
streams are open.
"""

from __future__ import annotations

import asyncio
import time

import uvloop

from benchmarks.harness import Reader, Server, connect, get, median, raw, responses, tailrace

STREAMS, TOKENS, PAUSE = 1_000, 160, 0.05
ROUNDS = 3
LONGEST_SECONDS = 60
TOKEN = b"event: response.output_text.delta"


class TimedReader(Reader):
    """Notes when each token arrived, in seconds."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request, TOKEN)
        self.arrived: list[float] = []
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        super().data_received(data)
        seen = self._tail + data
        self.arrived += [now] * seen.count(TOKEN)
        self._tail = seen[1 - len(TOKEN) :]  # a mark may come in two pieces

    def lags(self) -> list[float]:
        """Seconds behind the schedule of its fastest token, of each token."""
        starts = [at - k * PAUSE for k, at in enumerate(self.arrived)]
        start = min(starts)
        return [mine - start for mine in starts]


def main() -> list[str]:
    """Rows of the results table."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    for _ in range(ROUNDS):
        with tailrace() as server:
            ours.append(uvloop.run(_lags(server, responses("paced", TOKENS))))
        with raw() as server:
            theirs.append(uvloop.run(_lags(server, get(f"/?{TOKENS},{PAUSE}"))))
    rows: list[str] = []
    for which, name in enumerate(
        ("p50", "p99", "p50 while all are open", "p99 while all are open")
    ):
        mine, peer = median([r[which] for r in ours]), median([r[which] for r in theirs])
        rows.append(
            f"| delivery lag, {STREAMS:,} streams x {1 / PAUSE:.0f}/s, {name} | {mine:.1f} ms "
            f"| {peer:.1f} ms | {mine / peer:.2f} |"
        )
    return rows


async def _lags(server: Server, request: bytes) -> list[float]:
    """Milliseconds of lag: p50 and p99 of all tokens, then of those while all streams are open."""
    async with asyncio.timeout(LONGEST_SECONDS):
        readers = await connect(server.port, STREAMS, lambda: TimedReader(request))
        await asyncio.gather(*(reader.ended for reader in readers))
    if any(len(reader.arrived) != TOKENS for reader in readers):
        raise RuntimeError("a stream lacks tokens")
    since = max(reader.arrived[0] for reader in readers)
    until = min(reader.arrived[-1] for reader in readers)
    found = [(at, lag) for r in readers for at, lag in zip(r.arrived, r.lags(), strict=True)]
    steady = [lag for at, lag in found if since <= at <= until]
    if not steady:
        raise RuntimeError("the streams were never all open: the server is too slow")
    return [*_percentiles([lag for _, lag in found]), *_percentiles(steady)]


def _percentiles(lags: list[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    lags.sort()
    return lags[len(lags) // 2] * 1e3, lags[len(lags) * 99 // 100] * 1e3


if __name__ == "__main__":
    print("\n".join(main()))
