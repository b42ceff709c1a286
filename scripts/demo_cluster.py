"""`make demo-cluster`: a cluster on this machine, a run, and the death of its worker before your eyes.

Three NATS servers, two processes that serve, two that work, all on loopback and in a temporary folder. The
run is watched through one server; when it is in the middle, the worker that has it is killed with SIGKILL,
and the stream goes on. At the end the other server shows the same run, and the two are compared.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import aiohttp

from tailrace.cli import client
from tailrace.events.types import RunAttempt, RunWaiting, TextDelta
from tailrace.protocols.node_stream.stream import NodeStreamEvent

AGENT, TEXT = "trip", "Plan me a weekend away."
KILL_AFTER = 12
"""Pieces of text that are seen before the worker dies."""

NATS = """
server_name: n{number}
listen: "127.0.0.1:{port}"
max_payload: 8MB
jetstream {{ store_dir: "{folder}/n{number}", sync_interval: always }}
cluster {{ name: demo, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""

ENGINE = """
[engine]
url = "{url}"
shards = 4
lease_seconds = {lease}
"""


class Cluster:
    """The processes, by what they are."""

    def __init__(self, folder: Path, life: ExitStack) -> None:
        self._folder = folder
        self._life = life
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def nats(self) -> str:
        """Three servers; returns their addresses."""
        ports = _free_ports(6)
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
        program = Path(sys.executable).parent / "nats-server"
        for number in range(3):
            file = self._folder / f"n{number}.conf"
            text = NATS.format(
                number=number,
                port=ports[number],
                route=ports[3 + number],
                routes=routes,
                folder=self._folder,
            )
            file.write_text(text, encoding="utf-8")
            self._start([str(program), "-c", str(file)], ports[number])
        return ",".join(f"nats://127.0.0.1:{port}" for port in ports[:3])

    def engine(self, *, lease: float) -> None:
        """Three NATS servers with the streams made, written into the configuration."""
        url = self.nats()
        file = self._folder / "demo.toml"
        with file.open("a", encoding="utf-8") as config:
            config.write(ENGINE.format(url=url, lease=lease))
        init = [sys.executable, "-m", "tailrace", "engine", "init", str(file)]
        subprocess.run(init, check=True)

    def serve(self, role: str) -> str:
        """One process; returns its address."""
        (port,) = _free_ports(1)
        command = [sys.executable, "-m", "tailrace", "serve", str(self._folder / "demo.toml")]
        self._start([*command, "--role", role, "--port", str(port)], port)
        return f"http://127.0.0.1:{port}"

    def kill(self, url: str) -> None:
        """SIGKILL for the process at an address."""
        process = self.processes[int(url.rsplit(":", 1)[1])]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _start(self, command: list[str], port: int) -> None:
        with (self._folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        self.processes[port] = process
        self._life.callback(_end, process)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit((self._folder / "output.txt").read_text("utf-8")) from None
                time.sleep(0.05)
            else:
                return


async def show(cluster: Cluster, servers: list[str], workers: list[str]) -> None:
    """Start a run at one server, kill its worker, and compare what both servers show of it."""
    job = await client.start(servers[0], AGENT, TEXT)
    print(f"\nPOST {servers[0]}/jobs for agent '{AGENT}': {TEXT}\n")
    pieces, died = 0, 0.0

    async def seen(event: NodeStreamEvent) -> None:
        nonlocal pieces, died
        match event.payload:
            case TextDelta():
                pieces += 1
                if pieces == KILL_AFTER:
                    worker = await busy(workers)
                    print(f"\n\n--- kill -9 of the worker at {worker} ---")
                    cluster.kill(worker)
                    died = time.monotonic()
            case RunAttempt():
                print(f"--- another worker has it, {time.monotonic() - died:.1f} s later ---\n")
            case RunWaiting():
                print(f"\n$ tailrace answer {job} yes --url {servers[1]}\n")
                await client.answer(servers[1], job, "yes")
            case _:
                pass

    await client.tail(servers[0], job, surface="", after=None, on_event=seen)
    async with aiohttp.ClientSession() as session:
        path = f"/jobs/{job}/stream?as=responses"
        bodies = [await (await session.get(url + path)).read() for url in servers]
    same = "the same bytes" if bodies[0] == bodies[1] else "DIFFERENT bytes"
    print(f"\nBoth servers show this run as Responses in {same} ({len(bodies[0])} of them).")


async def busy(workers: list[str]) -> str:
    """The worker that has the run."""
    async with aiohttp.ClientSession() as session:
        for url in workers:
            health: dict[str, Any] = await (await session.get(f"{url}/healthz")).json()
            if health["runs"]:
                return url
    raise SystemExit("no worker has the run")


@contextmanager
def cluster(more: str = "") -> Generator[Cluster, None, None]:
    """A cluster without processes yet, over a copy of the demo's configuration and `more` of it; all of it
    ends with it."""
    with ExitStack() as life:
        folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-cluster-")))
        demo = life.enter_context(as_file(files("tailrace.cli.demo")))
        for file in demo.glob("*.toml"):
            shutil.copy(file, folder)
        with (folder / "demo.toml").open("a", encoding="utf-8") as config:
            config.write(more)
        yield Cluster(folder, life)


def main() -> None:
    """The whole demonstration."""
    with cluster() as made:
        print("Starting three NATS servers, two servers and two workers ...")
        made.engine(lease=3.0)
        servers = [made.serve("api") for _ in range(2)]
        workers = [made.serve("worker") for _ in range(2)]
        asyncio.run(show(made, servers, workers))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


if __name__ == "__main__":
    main()
