"""NATS servers for one test: real processes on loopback, on ports that the kernel chose."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.patience import patient

SERVER = Path(sys.executable).parent / "nats-server"

CONFIG = """
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
max_payload: {max_payload}
jetstream {{ store_dir: "{folder}", sync_interval: {sync}, max_file: {max_file}, max_mem: 256MB }}
{cluster}
"""

CLUSTER = """
cluster {{
  name: test
  listen: "{host}:{route}"
  routes: [{routes}]
}}
"""


@dataclass(frozen=True)
class Settings:
    """The configuration of the servers."""

    max_payload: str = "8MB"
    sync: str = "always"
    max_file: str = "4GB"


@dataclass(frozen=True)
class Place:
    """Where a server runs: its address, and the command that enters that place."""

    host: str = "127.0.0.1"
    enter: Sequence[str] = ()


HERE = Place()


class Node:
    """One server, which may be killed, frozen and started again."""

    def __init__(
        self,
        folder: Path,
        name: str,
        ports: tuple[int, int],
        cluster: str,
        settings: Settings,
        place: Place = HERE,
    ) -> None:
        self.name = name
        self.place = place
        self.port, self.monitor = ports
        self._file = folder / f"{name}.conf"
        self._output = folder / f"{name}.log"
        self._file.write_text(
            CONFIG.format(
                name=name,
                host=place.host,
                port=self.port,
                monitor=self.monitor,
                folder=folder / name,
                cluster=cluster,
                **asdict(settings),
            ),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"nats://{self.place.host}:{self.port}"

    @property
    def monitoring(self) -> str:
        """The URL of its monitoring."""
        return f"http://{self.place.host}:{self.monitor}"

    def start(self) -> None:
        """Start the server, or start it again."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.place.enter, SERVER, "-c", str(self._file)], stdout=output, stderr=output
            )
        _until_open(self.place.host, self.port)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; after one that ends the server, wait for its end."""
        if self._process is None:
            return
        self._process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: after the return, none of its threads runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def stop(self) -> None:
        """End it, whatever its state."""
        self.send(signal.SIGKILL)


@contextmanager
def cluster(
    folder: Path, size: int, settings: Settings = Settings()
) -> Generator[Sequence[Node], None, None]:
    """So many servers that form a cluster; a single server forms none."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(3 * size)
    routes = [f'"nats://127.0.0.1:{port}"' for port in ports[size : 2 * size]]
    nodes: list[Node] = []
    for number in range(size):
        text = CLUSTER.format(host=HERE.host, route=ports[size + number], routes=", ".join(routes))
        two = (ports[number], ports[2 * size + number])
        nodes.append(Node(folder, f"n{number}", two, text if size > 1 else "", settings))
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def free_ports(count: int) -> list[int]:
    """Ports on which no process listens."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _until_open(host: str, port: int) -> None:
    deadline = time.monotonic() + patient(20)
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
        else:
            return
