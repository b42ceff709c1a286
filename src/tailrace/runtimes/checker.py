"""Checks that take too long for the event loop, in a process that can be killed.

One process, started on first use and kept. A check has a few seconds and limited memory; a check that
exceeds them is ended with its process, never the server. The next check then gets a new process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events.items import Json
from tailrace.events.schema_shapes import NoSchema
from tailrace.events.schemas import misfits
from tailrace.events.work import WorkBudget

SECONDS = 5.0
"""The time limit of one check."""
START_SECONDS = 30.0
"""The time limit for the start of the process."""
MEMORY = 1 << 30
"""The address space of the process, in bytes."""
WAITING = 16
"""The maximum number of checks that wait."""

_ENVIRONMENT = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
"""The environment variables that the process gets; others may be secrets."""
_BEGIN = "import sys; sys.path[:] = {path!r}; from tailrace.runtimes.checker import serve; serve({memory})"


_TOO_MUCH = "The answer takes too much memory to check against its schema."


class _CheckJob(msgspec.Struct):
    texts: list[str]
    schema: Json


class _CheckResult(msgspec.Struct):
    """The fault of each text, or the reason why the validation failed."""

    wrong: list[str] = []
    failure: str = ""


class Checker:
    """The process, as the server sees it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checker")
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = 0
        atexit.register(self.close)

    @property
    def process(self) -> int | None:
        """The id of the process while it exists."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End the process and its current check."""
        self._thread.shutdown(cancel_futures=True)
        self._end()
        atexit.unregister(self.close)

    async def misfits(self, texts: Sequence[str], schema: Json) -> list[str]:
        """As `events.schemas.misfits`. Raises `ModelFailed` with the reason if a limit is exceeded."""
        if self._waiting >= WAITING:
            raise ModelFailed("The answer cannot be checked: too many others are.")
        job = msgspec.msgpack.encode(_CheckJob(list(texts), schema))
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._thread, self._ask, job)
        finally:
            self._waiting -= 1
        if result.failure:
            raise ModelFailed(result.failure)
        return result.wrong

    def _ask(self, job: bytes) -> _CheckResult:
        """One check, in the thread."""
        try:
            process = self._running()
        except OSError as error:
            self._end()
            return _CheckResult(
                failure=f"The answer cannot be checked: {error.strerror or 'no process'}."
            )
        try:
            return msgspec.msgpack.decode(_exchange(process, job, SECONDS), type=_CheckResult)
        except TimeoutError:
            self._end()
            words = f"The answer takes more than {SECONDS:g} s to check against its schema."
            return _CheckResult(failure=words)
        except OSError:
            self._end()
            return _CheckResult(failure=_TOO_MUCH)

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, ready for a check. Raises `OSError`."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _BEGIN.format(path=sys.path, memory=MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                bufsize=0,
            )
            _exchange(self._process, b"", START_SECONDS)
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _exchange(process: subprocess.Popen[bytes], body: bytes, seconds: float) -> bytes:
    """Send a check to the process and return the result. Raises `TimeoutError`, and `OSError` if the
    process died."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("it was begun with pipes")
    deadline = time.monotonic() + seconds
    left = memoryview(len(body).to_bytes(8, "big") + body)
    reply = b""
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ)
        while len(reply) < 8 or len(reply) < 8 + int.from_bytes(reply[:8], "big"):
            wait = deadline - time.monotonic()
            if wait <= 0:
                raise TimeoutError
            for key, _ in ready.select(wait):
                if key.fileobj is process.stdin:
                    with suppress(BlockingIOError):
                        left = left[os.write(key.fd, left[:65536]) :]
                    if not left:
                        ready.unregister(process.stdin)
                elif chunk := os.read(key.fd, 65536):
                    reply += chunk
                else:
                    raise BrokenPipeError
    return reply[8:]


def serve(memory: int) -> None:
    """The process: it executes checks one after the other, until its input ends."""
    import resource
    import signal

    for kind, bound in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # not every system has it
            resource.setrlimit(kind, (bound, bound))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(8)) == 8:
        body = source.read(int.from_bytes(head, "big"))
        signal.alarm(int(SECONDS) + 1)  # if its parent is gone and cannot kill it
        reply = msgspec.msgpack.encode(_check(body)) if body else b""
        signal.alarm(0)
        target.write(len(reply).to_bytes(8, "big") + reply)
        target.flush()


def _check(body: bytes) -> _CheckResult:
    job: Any = msgspec.msgpack.decode(body, type=_CheckJob)
    try:
        return _CheckResult(misfits(job.texts, job.schema, WorkBudget(sys.maxsize)))
    except NoSchema as error:
        return _CheckResult(failure=f"The answer cannot be checked: {error}.")
    except MemoryError:
        return _CheckResult(failure=_TOO_MUCH)


CHECKER = Checker()
"""The checker of this process."""
