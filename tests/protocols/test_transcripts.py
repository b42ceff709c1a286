"""Golden transcripts: a log, and the exact bytes of each surface for it.

`UPDATE_TRANSCRIPTS=1` writes them anew; read the difference before you commit it, for it is what clients
see. Logs written by a released version stay for ever and must still give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.events import stored
from tailrace.events.types import Event
from tailrace.protocols.node_stream import stream as native
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tests.support import strict
from tests.support.logs import RUN
from tests.support.scenarios import SCENARIOS

FOLDER = Path(__file__).parents[1] / "transcripts"
UPDATE = os.environ.get("UPDATE_TRANSCRIPTS") == "1"

Frames = Callable[[list[Event]], list[bytes]]


def _include(events: list[Event]) -> tuple[str, ...]:
    started = events[0].payload
    return getattr(getattr(started, "request", None), "include", ())


SURFACES: dict[str, Frames] = {
    "responses": lambda log: responses.Encoder(
        RUN, responses.Options(include=_include(log))
    ).encode(log),
    "chat": lambda log: chat.Encoder(RUN, chat.Options(include_usage=True)).encode(log),
    "native": lambda log: native.Encoder(RUN).encode(log),
}


def _golden(path: Path, made: bytes) -> None:
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
    assert path.read_bytes() == made, f"{path.name} of {path.parent.name} has changed"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_log_is_what_it_was(name: str) -> None:
    _golden(FOLDER / name / "log.jsonl", stored.frame(SCENARIOS[name]()).body + b"\n")


@pytest.mark.req("R1")
@pytest.mark.req("R14")
@pytest.mark.req("R16")
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_bytes_are_what_they_were(name: str, surface: str) -> None:
    log = stored.decode((FOLDER / name / "log.jsonl").read_bytes().rstrip(b"\n"))
    _golden(FOLDER / name / f"{surface}.sse", b"".join(SURFACES[surface](log)))


@pytest.mark.req("R33")
@pytest.mark.req("R34")
@pytest.mark.req("R35")
@pytest.mark.req("R37")
@pytest.mark.req("R38")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_frame_is_valid_for_every_sdk(name: str) -> None:
    log = SCENARIOS[name]()
    strict.responses(SURFACES["responses"](log))
    strict.chat(SURFACES["chat"](log))


def test_no_transcript_is_left_over() -> None:
    known = {
        f"{name}/{file}"
        for name in SCENARIOS
        for file in ("log.jsonl", *map("{}.sse".format, SURFACES))
    }
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == known
