"""The chunks that the AI SDK accepts in a UI message stream: fields by version, and the order that its
readers need.

Fields are those of `uiMessageChunkSchema` in ai 5.0.0, 6.0.168 and 7.0.0, which refuse any other; later
patches of each accept more. The rules of order are those of the strictest `processUIMessageStream`: no
delta before its start, no part open when a step ends, no output before its call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Chunk = dict[str, Any]
Fields = dict[str, dict[str, type | None]]

TEXT: dict[str, type | None] = {"id": str, "providerMetadata?": dict}
CALL: dict[str, type | None] = {"toolCallId": str, "providerExecuted?": bool, "dynamic?": bool}
FIVE: Fields = {
    "start": {"messageId?": str, "messageMetadata?": None},
    "start-step": {},
    "finish-step": {},
    "finish": {"messageMetadata?": None},
    "abort": {},
    "error": {"errorText": str},
    "message-metadata": {"messageMetadata": None},
    "text-start": TEXT,
    "text-delta": {**TEXT, "delta": str},
    "text-end": TEXT,
    "reasoning-start": TEXT,
    "reasoning-delta": {**TEXT, "delta": str},
    "reasoning-end": TEXT,
    "tool-input-start": {**CALL, "toolName": str},
    "tool-input-delta": {"toolCallId": str, "inputTextDelta": str},
    "tool-input-available": {**CALL, "toolName": str, "input": None, "providerMetadata?": dict},
    "tool-output-available": {**CALL, "output": None},
    "tool-output-error": {**CALL, "errorText": str},
    "source-url": {"sourceId": str, "url": str, "title?": str, "providerMetadata?": dict},
    "source-document": {
        "sourceId": str,
        "mediaType": str,
        "title": str,
        "filename?": str,
        "providerMetadata?": dict,
    },
    "file": {"url": str, "mediaType": str, "providerMetadata?": dict},
}
SIX: Fields = {**FIVE, "tool-approval-request": {"approvalId": str, "toolCallId": str}}
DATA: dict[str, type | None] = {"id?": str, "data": None, "transient?": bool}
VERSIONS = {
    "5.0.0": FIVE,
    "5.0.277": FIVE,
    "6.0.168": SIX,
    "6.0.326": SIX,
    "7.0.0": SIX,
    "7.0.173": SIX,
}


def chunks(frames: Iterable[bytes]) -> list[Chunk]:
    """All chunks, in order, without `[DONE]`."""
    found: list[Chunk] = []
    for event in b"".join(frames).split(b"\n\n")[:-1]:
        assert event.startswith(b"data: ")
        assert len(event.decode().splitlines()) == 1, "one line of data, for any reader"
        if event != b"data: [DONE]":
            found.append(msgspec.json.decode(event[len(b"data: ") :]))
    return found


def strict(frames: Iterable[bytes], versions: Iterable[str] = VERSIONS) -> None:
    """Every version accepts every chunk."""
    for chunk in chunks(frames):
        for version in versions:
            fault = _fault(chunk, VERSIONS[version])
            assert not fault, f"ai {version} refuses {chunk}: {fault}"


def _fault(chunk: Chunk, known: Fields) -> str:
    kind = chunk["type"]
    fields = DATA if kind.startswith("data-") else known.get(kind)
    if fields is None:
        return "unknown type"
    for name, wanted in fields.items():
        value = chunk.get(name.rstrip("?"))
        if name.rstrip("?") not in chunk:
            if not name.endswith("?"):
                return f"{name} is missing"
        elif wanted is not None and not isinstance(value, wanted):
            return f"{name} is of another type"
    if not all(isinstance(value, dict) for value in chunk.get("providerMetadata", {}).values()):
        return "providerMetadata is no object of objects"
    extra = set(chunk) - {"type", *(name.rstrip("?") for name in fields)}
    return f"extra fields {extra}" if extra else ""


class Reader:
    """The message that a client builds, and a check of every rule."""

    def __init__(self, message: list[Chunk] | None = None) -> None:
        self.parts: list[Chunk] = list(message or [])
        self.id = ""
        self.data: list[Chunk] = []
        self.ended = ""
        self.speaker: str | None = None
        self._open: dict[str, Chunk] = {}
        self._step = False

    def take(self, chunk: Chunk) -> None:
        kind = chunk["type"]
        assert not self.ended, f"{kind} after {self.ended}"
        if kind.startswith("data-"):
            self._data(chunk)
        elif kind.startswith(("text-", "reasoning-")):
            self._text(chunk, *kind.split("-"))
        elif kind.startswith("tool-"):
            self._tool(chunk, kind.removeprefix("tool-"))
        elif kind == "start":
            self.id = chunk["messageId"]
        elif kind == "start-step":
            assert not self._step
            self._step = True
            self.parts.append({"type": "step-start"})
        elif kind == "finish-step":
            assert self._step
            assert not self._open, "clients forget open texts at the end of a step"
            self._step = False
        elif kind in ("finish", "abort", "error"):
            assert not self._step
            assert not self._open
            assert self.speaker is None, "the panel of a subagent is closed"
            self.ended = kind
        else:
            assert kind in ("source-url", "source-document", "file")
            self.parts.append(chunk)

    def _data(self, chunk: Chunk) -> None:
        self.data.append(chunk)
        if chunk["type"] == "data-subagent":
            assert chunk["data"]["kind"] != "main"
            assert chunk["data"]["agentId"] != self.speaker, "said once"
            self.speaker = chunk["data"]["agentId"]
        elif chunk["type"] == "data-subagent-end":
            assert self.speaker is not None
            self.speaker = None
        if not chunk.get("transient"):
            self.parts.append(chunk)

    def _text(self, chunk: Chunk, kind: str, phase: str) -> None:
        key = f"{kind} {chunk['id']}"
        if phase == "start":
            assert self._step
            assert key not in self._open
            part = {"type": kind, "text": "", "agent": self.speaker}
            self._open[key] = part
            self.parts.append(part)
        elif phase == "delta":
            assert chunk["delta"], "nothing empty"
            self._open[key]["text"] += chunk["delta"]
        else:
            part = self._open.pop(key)
            assert part["text"]
            part.update({k: v for k, v in chunk.items() if k == "providerMetadata"})

    def _tool(self, chunk: Chunk, phase: str) -> None:
        id = chunk["toolCallId"]
        if phase == "input-start" or id not in [part.get("toolCallId") for part in self.parts]:
            assert self._step
            assert phase.startswith("input")
            assert id not in [part.get("toolCallId") for part in self.parts], "an id comes once"
            flags = {k: chunk[k] for k in ("dynamic", "providerExecuted") if k in chunk}
            assert flags in ({}, {"dynamic": True, "providerExecuted": True})
            part = {"type": "tool", "toolCallId": id, "name": chunk["toolName"], "flags": flags}
            part |= {"state": "input-streaming", "raw": "", "agent": self.speaker}
            self._open[id] = part
            self.parts.append(part)
            if phase == "input-start":
                return
        part = next(part for part in self.parts if part.get("toolCallId") == id)
        if phase == "input-delta":
            self._open[id]["raw"] += chunk["inputTextDelta"]
            return
        self._open.pop(id, None)
        if phase == "input-available":
            assert part["state"] == "input-streaming"
            assert part["name"] == chunk["toolName"]
            part["input"] = chunk["input"]
        if phase != "approval-request":
            flags = {k: chunk[k] for k in ("dynamic", "providerExecuted") if k in chunk}
            assert part["flags"] == flags
        else:
            part["approval"] = chunk["approvalId"]
        if phase.startswith("output"):
            assert part["state"] in ("input-streaming", "input-available", "approval-request")
            part["output"] = chunk.get("output", chunk.get("errorText"))
        part["state"] = phase


def read(frames: Iterable[bytes], reader: Reader | None = None, first: int = 0) -> Reader:
    """A complete stream from frame `first` on, as a client reads it; its positions are checked."""
    frames = list(frames)
    assert frames[-1] == b"data: [DONE]\n\n"
    reader = reader or Reader()
    for number, frame in enumerate(frames[:-1], first):
        terminal = number == first + len(frames) - 3
        *shown, last = chunks([frame])
        if number == first + len(frames) - 2:
            assert not shown, "the end comes after its position"
            reader.take(last)
            continue
        assert len(shown) == (0 if terminal else 1) or number == 0, "the first may bring the past"
        assert last["type"] == "data-streamProgress"
        assert last["transient"] is True
        assert last["data"]["sequenceNumber"] == number
        assert last["data"]["terminal"] is terminal
        for chunk in shown:
            reader.take(chunk)
    assert reader.ended
    assert chunks(frames[:1])[0]["type"] == "start"
    assert chunks(frames[1:2])[0]["type"] == "data-conversationId"
    return reader
