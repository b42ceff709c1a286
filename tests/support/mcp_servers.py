"""Test MCP servers as processes: started for a client over stdio, or listening on a free loopback port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.support.patience import patient

PROGRAM = Path(__file__).with_name("mcp_server.py")
SECRET = "a-secret-of-tests"


def stdio(notes: Path, *options: str) -> dict[str, Any]:
    """The arguments with which `McpServer` starts the test server."""
    return {
        "command": sys.executable,
        "args": [str(PROGRAM), str(notes), *options],
        "env": {"TEST_SECRET": SECRET},
    }


class McpProcess:
    """The test server over HTTP; it keeps its port when it is started again."""

    def __init__(self, notes: Path, *options: str) -> None:
        self.notes = notes
        self._options = options
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        arguments = [str(PROGRAM), str(self.notes), "--http", str(self.port), *self._options]
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        try:
            with self._process.stdout as port:
                self.port = int(port.readline())
        except BaseException:
            self.kill()  # no other object has it yet
            raise

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        self._process.wait(timeout=patient(20))

    def __enter__(self) -> Self:
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self.wait()

    def __exit__(self, *about: object) -> None:
        self.kill()
