"""Many readers and slow ones: fan-out, memory per open stream, stalled readers, replay, first token."""

from __future__ import annotations

import asyncio
import socket

import uvloop

from benchmarks.harness import Server, begin, get, load, median, raw, responses, tailrace


def fan_out() -> list[str]:
    """One run, 1,000 readers: CPU per delivered frame."""
    with tailrace() as server:

        async def scene() -> tuple[float, int]:
            (starter,) = await begin(server.port, responses("paced", 200), 1)
            while starter.first is None:
                await asyncio.sleep(0.01)
            path = f"/jobs/{await newest(server)}/stream?as=responses"
            readers = await begin(server.port, get(path), 1000)
            before, seen = server.cpu(), sum(r.frames for r in readers)
            await asyncio.gather(*(r.ended for r in readers))
            return server.cpu() - before, sum(r.frames for r in readers) - seen

        seconds, frames = uvloop.run(scene())
    return [f"| one run, 1,000 readers | {seconds / frames * 1e6:.1f} µs a delivered frame | | |"]


def memory() -> list[str]:
    """Memory per open, quiet stream."""
    rows = []
    for name, start in (("tailrace", tailrace), ("raw", raw)):
        with start() as server:

            async def scene(server: Server = server, name: str = name) -> float:
                request = responses("paced", 400) if name == "tailrace" else get("/?400,0.05")
                await load(
                    server.port, responses("fast", 5) if name == "tailrace" else get("/?5,0"), 50
                )
                before = server.memory()
                await begin(server.port, request, 1000)
                await asyncio.sleep(3)
                return (server.memory() - before) / 1000 / 1024

            rows.append(uvloop.run(scene()))
    return [
        f"| memory per open stream (of 1,000) | {rows[0]:.0f} KB | {rows[1]:.0f} KB "
        f"| {rows[0] / rows[1]:.2f} |"
    ]


def stalled() -> list[str]:
    """20 readers that take nothing while a run of 5,000 events passes, beside one that reads."""
    with tailrace() as server:

        async def scene() -> float:
            await load(server.port, responses("fast", 5000), 1)
            (run,) = await begin(server.port, responses("fast", 5000), 1)
            await run.ended
            before = server.memory()
            path = f"/jobs/{await newest(server)}/stream?as=responses"
            sockets = [_stall(server.port, get(path)) for _ in range(20)]
            await load(server.port, get(path), 1)
            await asyncio.sleep(1)
            grown = (server.memory() - before) / 1e6
            for one in sockets:
                one.close()
            return grown

        grown = uvloop.run(scene())
    return [f"| 20 stalled readers x 5,000 events | {grown:+.1f} MB | | |"]


def replay() -> list[str]:
    """A 5,000-event run that has ended: first byte to last."""
    with tailrace() as server:

        async def scene() -> tuple[float, float]:
            await load(server.port, responses("fast", 4985), 1)
            path = f"/jobs/{await newest(server)}/stream?as=responses"
            times: list[float] = []
            before = server.cpu()
            for _ in range(21):
                (reader,) = await load(server.port, get(path), 1)
                times.append((await reader.ended - (reader.first_byte or 0)) * 1000)
            return median(times), (server.cpu() - before) / 21 * 1000

        wall, cpu = uvloop.run(scene())
    return [f"| replay of 5,000 events | {wall:.1f} ms first byte to last, {cpu:.1f} ms CPU | | |"]


def first_token() -> list[str]:
    """From the request to the first token, one stream at a time."""
    found: list[float] = []
    for start, request in ((tailrace, responses("fast", 5)), (raw, get("/?5,0"))):
        with start() as server:

            async def scene(server: Server = server, request: bytes = request) -> float:
                times: list[float] = []
                for _ in range(300):
                    (reader,) = await load(server.port, request, 1)
                    times.append(((reader.first or 0) - reader.begun) * 1000)
                return median(times)

            found.append(uvloop.run(scene()))
    added = found[0] - found[1]
    return [f"| first token, p50 | {found[0]:.2f} ms | {found[1]:.2f} ms | added {added:.2f} ms |"]


async def newest(server: Server) -> str:
    """The id of the latest job."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    body = (await reader.read()).decode()
    writer.close()
    return body.split('"id":"', 1)[1].split('"', 1)[0]


def _stall(port: int, request: bytes) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    one.sendall(request)
    return one


def main() -> list[str]:
    """Rows of the results table."""
    return [*first_token(), *replay(), *fan_out(), *memory(), *stalled()]


if __name__ == "__main__":
    print("\n".join(main()))
