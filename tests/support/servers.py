"""A real server for tests: a child process on a free loopback port, with its configuration in a folder."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tests.support.forks import Fork, Forks, shared
from tests.support.patience import patient

CONFIG = """
[server]
{server}

[models.echo]
dialect = "echo"

[models.slow]
dialect = "echo"
interval_ms = 20

[models.script]
dialect = "script"
scenario = "scenario.toml"

[models.steady]
dialect = "script"
scenario = "scenario.toml"
interval_ms = 1

[agents.shopper]
model = "steady"
tools = ["helper_tools:find", "helper_tools:order"]

[agents.helper]
id = 7
model = "script"
instructions = "You help."
tools = ["helper_tools:find"]
"""

SCENARIO = """
[[replies]]
steps = [
  { summary = "I look." },
  { text = "Let me look. " },
  { call = "find", arguments = { what = "hat" } },
]
[[replies]]
steps = [{ text = "Found a hat." }]

[[replies]]
when = "buy"
steps = [{ text = "First I look. " }, { call = "find", arguments = { what = "hat" } }]
[[replies]]
when = "buy"
steps = [{ text = "Then I order. " }, { call = "order", arguments = { what = "hat" } }]
[[replies]]
when = "buy"
steps = [{ text = "All is done now." }]

[[replies]]
when = "client tool"
steps = [
  { call = "get_weather", arguments = { city = "Oslo" }, call_id = "call_oslo" },
  { call = "get_weather", arguments = { city = "Rome" }, call_id = "call_rome" },
]
[[replies]]
when = "client tool"
steps = [{ text = "Snow and sun." }]

[[replies]]
when = "refuse"
steps = [{ refusal = "No, thank you." }]

[[replies]]
when = "fail now"
steps = [{ fail = "The model is out.", code = "rate_limit_exceeded" }]

[[replies]]
when = "fail later"
steps = [{ text = "Half of it" }, { fail = "The model died." }]

[[replies]]
when = "too long"
steps = [{ text = "And so on" }]
finish = "length"

[[replies]]
when = "json"
steps = [{ text = '{"a": 1}' }]
"""

TOOLS = '''
from pathlib import Path
from typing import ClassVar

from tailrace.runtimes.tools.functions import tool


def note(what: str) -> None:
    with (Path(__file__).parent / "effects.txt").open("a", encoding="utf-8") as file:
        file.write(what + "\\n")


@tool(idempotent=True)
def find(what: str) -> dict[str, str]:
    """Find a thing."""
    note("find")
    return {"found": what}


def order(what: str) -> dict[str, str]:
    """Order a thing, which must not happen twice."""
    note("order")
    return {"ordered": what}
'''


class ChildServer:
    """A server process over one folder; a test can kill it and start it again as often as it likes."""

    all: ClassVar[weakref.WeakSet[ChildServer]] = weakref.WeakSet()

    def __init__(
        self,
        folder: Path,
        *,
        server: str = "",
        config: str = CONFIG,
        scenario: str = SCENARIO,
        tools: str = TOOLS,
    ) -> None:
        self.all.add(self)
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[bytes] | Fork | None = None
        (folder / "tailrace.toml").write_text(config.format(server=server), encoding="utf-8")
        (folder / "scenario.toml").write_text(scenario, encoding="utf-8")
        (folder / "helper_tools.py").write_text(tools, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(
        self,
        *,
        program: str = "from tailrace.cli import main; main()",
        doomed: bool = False,
        source: str = "",
        more: Sequence[str] = (),
        forks: Forks | None = None,
        fresh: bool = False,
        seconds: float = 20.0,
    ) -> ChildServer:
        """Start the process, with `more` arguments, and wait until it replies, at most `seconds` of an
        otherwise idle machine; it keeps its port over restarts. A start that fails leaves nothing behind.

        A `doomed` process may be killed before it ever replies. It is a fork, of `forks` or of those that
        all tests share; a `fresh` one is an interpreter of its own, for tests of the start itself.
        """
        self.port = self.port or self._reserve()
        served = source or str(self.folder / "tailrace.toml")
        arguments = ["serve", served, "--port", str(self.port), *more]
        errors = self.folder / "stderr.txt"
        if not fresh:
            self.process = (forks or shared()).start(program, arguments, errors)
        else:
            with errors.open("ab") as file:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", program, *arguments], stderr=file
                )
        try:
            self._until_it_answers(doomed=doomed, seconds=patient(seconds))
        except BaseException:
            self.kill()  # no other object has it yet
            raise
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status."""
        return self._end(signal.SIGTERM)

    def errors(self) -> str:
        """Its output on stderr."""
        return (self.folder / "stderr.txt").read_text(encoding="utf-8")

    def _reserve(self) -> int:
        """A port that belongs to this server, also before it listens and between its lives: it is bound,
        with the option that lets the server bind it too. A port that was only looked up may belong to
        another test by then."""
        place = socket.socket()
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        weakref.finalize(self, place.close)
        return int(place.getsockname()[1])

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=patient(30))

    @classmethod
    def end_all(cls) -> None:
        """Kill the servers that no test has ended."""
        for server in cls.all:
            server.kill()

    def _until_it_answers(self, *, doomed: bool, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(
                        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                    )
                    if probe.recv(12).startswith(b"HTTP/1.1"):
                        return
            except OSError:
                if self.process is not None and self.process.poll() is not None:
                    if doomed:
                        return
                    raise AssertionError(self.errors()) from None
                select_a_moment()
        raise AssertionError(f"the server does not answer: {self.errors()}")


def select_a_moment() -> None:
    """Yield the processor to another process while it starts; this is the only wait, and it is bounded."""
    signal.sigtimedwait([], 0.02)


@contextmanager
def running(folder: Path, *, server: str = "") -> Generator[ChildServer, None, None]:
    """A server for the duration of a test or a module."""
    child = ChildServer(folder, server=server).start()
    try:
        yield child
    finally:
        child.kill()
