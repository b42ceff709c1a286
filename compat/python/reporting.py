"""What all Python scripts share: scenarios by name, a JSON line for each, looks at the server's own record.

Arguments of a script: base URL, names of scenarios, and what it wants to know. It runs in the client's
environment, so this module knows the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine
from functools import cache
from types import SimpleNamespace
from typing import Any

UNICODE = "Grüße, 世界 👩‍🚀 مرحبا \u2028 \u0085 end"
LONG = ("word " * 5000).strip()
SLOW = ("word " * 300).strip()
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITIES = [{"city": "Oslo"}, {"city": "Rome"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
ANSWER: dict[str, Any] = {"city": "Oslo", "degrees": -3}

Scenario = Callable[[], None]


SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Make a function a scenario, by its name."""
    SCENARIOS[function.__name__] = function
    return function


def async_scenario(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The same for a coroutine function; all run in one event loop, where clients keep their connections."""

    def run() -> None:
        asyncio.run_coroutine_threadsafe(function(), _loop()).result()

    SCENARIOS[function.__name__] = run


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def main(version: str) -> int:
    """Run those scenarios that are asked for; print the client's version, then a line for each."""
    say({"version": version})
    for name in sys.argv[2].split(","):
        if name in SCENARIOS:
            say({"scenario": name, **outcome(SCENARIOS[name])})
    return 0


def outcome(tried: Scenario) -> dict[str, Any]:
    """How one scenario went; one that hangs has failed after 40 s."""
    failed: list[str] = []

    def run() -> None:
        try:
            tried()
        except BaseException as error:  # whatever happens is an outcome
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            line = place.tb_lineno if place is not None else 0
            failed.append(f"{type(error).__name__}: {error} (line {line})")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(40)
    if thread.is_alive():
        return {"ok": False, "reason": "it hangs"}
    return {"ok": not failed, "reason": " ".join("".join(failed).split())[:500]}


def say(line: dict[str, Any]) -> None:
    """A JSON line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def base_url() -> str:
    """The server, without a path."""
    return sys.argv[1]


def argument() -> str:
    """What the script is told besides."""
    return sys.argv[3]


def same(got: Any, wanted: Any) -> None:
    """Raises AssertionError that shows both."""
    assert got == wanted, f"got {str(got)[:200]!r}, wanted {str(wanted)[:200]!r}"


def raises(kinds: Any, call: Callable[[], Any], text: str = "") -> Any:
    """The error that the call raises; it must be one of these kinds and say this text."""
    try:
        call()
    except kinds as error:
        assert text in str(error), f"{text!r} is not in {error}"
        return error
    raise AssertionError("no error was raised")


def loose(data: Any) -> Any:
    """Decoded JSON with attributes for keys, as later SDKs have them."""
    return json.loads(json.dumps(data), object_hook=lambda fields: SimpleNamespace(**fields))


def job(any_id: str) -> Any:
    """What the server's own surface says of a run, by any of its names."""
    suffix = re.sub(r"^[a-z]+[_-]", "", any_id)
    with urllib.request.urlopen(f"{base_url()}/jobs/job_{suffix}", timeout=20) as reply:
        return loose(json.load(reply))


def run_of(words: str) -> str:
    """The newest run that was asked these words, for clients that tell no id."""
    with urllib.request.urlopen(f"{base_url()}/jobs", timeout=20) as reply:
        listed = json.load(reply)["data"]
    for found in listed:
        with urllib.request.urlopen(
            f"{base_url()}/jobs/{found['id']}/stream", timeout=20
        ) as events:
            started = b"".join(events.readline() for _ in range(3))
        if words in started.decode():
            return str(found["id"])
    raise AssertionError("no run was asked this")


def until_cancelled(any_id: str) -> None:
    """Wait until the run has ended as cancelled."""
    deadline = time.monotonic() + 15
    while (status := job(any_id).status) in ("running", "in_progress", "queued"):
        assert time.monotonic() < deadline, "the run goes on"
        time.sleep(0.1)
    same(status, "cancelled")
