"""Strict validation of our output, by the models of the official SDKs of several versions.

The SDKs themselves parse without validation; here each frame must pass the pydantic models. One long-lived
process per version reads `kind<TAB>json` lines and replies with an empty line or the fault.
"""

from __future__ import annotations

import atexit
import functools
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[2]
CURRENT = "3.52.0"
VERSIONS = (CURRENT, "2.54.0", "1.109.1")
RESPONSES_VERSIONS = (CURRENT, "2.54.0")
MESSAGES_VERSIONS = ("anthropic-2.11.0", "anthropic-0.125.0")
AGUI_VERSIONS = ("ag-ui-1.0.0",)

_SERVER = """
import json, sys, typing
from pydantic import TypeAdapter
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
adapters = {
    "response": TypeAdapter(Response),
    "chunk": TypeAdapter(ChatCompletionChunk),
    "completion": TypeAdapter(ChatCompletion),
}
for event in typing.get_args(typing.get_args(ResponseStreamEvent)[0]):
    (name,) = typing.get_args(event.model_fields["type"].annotation)
    adapters[name] = TypeAdapter(event)
for line in sys.stdin:
    kind, _, text = line.rstrip("\\n").partition("\\t")
    try:
        name = json.loads(text)["type"] if kind == "event" else kind
        adapters[name].validate_json(text, strict=True)
        print(flush=True)
    except Exception as error:
        print(repr(str(error)[:2000]), flush=True)
"""


_MESSAGES_SERVER = """
import json, sys, typing
from pydantic import TypeAdapter
from anthropic.types import Message
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
adapters = {"message": TypeAdapter(Message), "beta_message": TypeAdapter(BetaMessage)}
for event in typing.get_args(typing.get_args(BetaRawMessageStreamEvent)[0]):
    (name,) = typing.get_args(event.model_fields["type"].annotation)
    adapters[name] = TypeAdapter(event)
""" + _SERVER[_SERVER.index("for line in") :]

# Its models keep unknown fields, its clients strip them with a warning: here they are faults.
_AGUI_SERVER = """
import json, sys
from ag_ui.core import Event
from pydantic import BaseModel, TypeAdapter
def known(value):
    if isinstance(value, BaseModel):
        assert hasattr(value, "op") or not value.model_extra, f"unknown: {value.model_extra}"
        value = [getattr(value, name) for name in type(value).model_fields]
    for inner in value if isinstance(value, list) else ():
        known(inner)
class Known:
    def validate_json(self, text, strict):
        known(TypeAdapter(Event).validate_json(text, strict=strict))
adapters = {"agui": Known()}
""" + _SERVER[_SERVER.index("for line in") :]
_SERVERS = {"anthropic": _MESSAGES_SERVER, "ag-ui": _AGUI_SERVER}


def _python(version: str) -> str:
    """The interpreter of an SDK: an openai version alone, or another's name and version."""
    if version == CURRENT:
        return sys.executable
    name = version if version.rpartition("-")[0] in _SERVERS else f"openai-{version}"
    return str(ROOT / ".clients" / name / "bin" / "python")


@functools.cache
def _validator(version: str) -> subprocess.Popen[str]:
    program = _SERVERS.get(version.rpartition("-")[0], _SERVER)
    process = subprocess.Popen(
        [_python(version), "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    """The process ends with its input."""
    with process:
        pass


def check(kind: str, documents: Iterable[bytes], versions: Sequence[str]) -> None:
    """Every document must be valid in every version."""
    for version in versions:
        process = _validator(version)
        assert process.stdin is not None
        assert process.stdout is not None
        for some in batched(documents):
            process.stdin.write("".join(f"{kind}\t{document.decode()}\n" for document in some))
            process.stdin.flush()
            faults = [process.stdout.readline().strip() for _ in some]
            for document, fault in zip(some, faults, strict=True):
                assert not fault, f"SDK {version} refuses {document.decode()}: {fault}"


def batched(documents: Iterable[bytes]) -> Iterable[list[bytes]]:
    """A few at a time, so that neither pipe is full."""
    rest = iter(documents)
    while some := list(islice(rest, 16)):
        yield some


def data_of(frames: Iterable[bytes]) -> list[bytes]:
    """The JSON of SSE frames, without `[DONE]`."""
    found: list[bytes] = []
    for frame in frames:
        data = frame.rstrip(b"\n").rpartition(b"data: ")[2]
        if data != b"[DONE]":
            found.append(data)
    return found


def responses(frames: Iterable[bytes]) -> None:
    """Responses frames are valid events."""
    check("event", data_of(frames), RESPONSES_VERSIONS)


def chat(frames: Iterable[bytes]) -> None:
    """Chat frames are valid chunks; the SDKs have no model for error frames."""
    chunks = [data for data in data_of(frames) if not data.startswith(b'{"error"')]
    check("chunk", chunks, VERSIONS)


def messages(frames: Iterable[bytes]) -> None:
    """Messages frames are valid events; the SDK's types have no event for an error."""
    events = [data for data in data_of(frames) if not data.startswith(b'{"type":"error"')]
    check("event", events, MESSAGES_VERSIONS)


def agui(frames: Iterable[bytes]) -> None:
    """AG-UI frames are valid events without a field of our own."""
    check("agui", data_of(frames), AGUI_VERSIONS)
