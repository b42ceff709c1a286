"""A way to the server that breaks once: the first answer is lost, after the server has begun its run."""

from __future__ import annotations

import re
import socket
import struct
import threading
from urllib.parse import urlsplit

from compat.python import reporting as r

RESET = struct.pack("ii", 1, 0)
"""Linger for no time: the client is told of a reset, and not of an end."""


class Broken:
    """A proxy of the server; `runs` are the runs that answers through it were of, the lost one first. `words`
    nobody else asks."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        self.words = f"once more by {port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def check(self) -> None:
        """The client asked twice and one run was begun."""
        r.same((len(self.runs), len(set(self.runs))), (2, 1))

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        at = urlsplit(r.base_url())
        server = socket.create_connection((at.hostname or "", at.port or 80))
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        head = server.recv(65536)
        self.runs += [found.decode() for found in re.findall(rb"(?i)x-run-id: *(\w+)", head)]
        if len(self.runs) == 1:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.shutdown(socket.SHUT_RD)
        else:
            client.sendall(head)
            _pump(server, client)
        server.close()
        client.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass  # one side has gone
