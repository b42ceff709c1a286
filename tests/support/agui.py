"""The order of an AG-UI stream: a checker, and the messages of a client after it. The rules are those of
`verifyEvents` in @ag-ui/client 1.0.0, and some that it leaves out: a stream ends with its one terminal
event, nothing empty is shown, a subagent's events come while it is at work, every result answers a call,
and each question is put once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Event = dict[str, Any]

PAIRS = {
    # start event: content event, end event, the field that identifies them
    "TEXT_MESSAGE_START": ("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "messageId"),
    "REASONING_MESSAGE_START": ("REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END", "messageId"),
    "REASONING_START": ("", "REASONING_END", "messageId"),
    "TOOL_CALL_START": ("TOOL_CALL_ARGS", "TOOL_CALL_END", "toolCallId"),
    "STEP_STARTED": ("", "STEP_FINISHED", "stepName"),
}
CLOSES = {closes: opens for opens, (_, closes, _) in PAIRS.items()}
GROWS = {grows: opens for opens, (grows, _, _) in PAIRS.items() if grows}
TERMINAL = ("RUN_FINISHED", "RUN_ERROR")


def events(frames: Iterable[bytes]) -> list[Event]:
    """The events of some frames."""
    found: list[Event] = []
    for frame in frames:
        assert frame.startswith(b"data: {")
        assert frame.endswith(b"}\n\n")
        assert len(frame.decode().splitlines()) == 2, "one line of data, for any reader"
        found.append(msgspec.json.decode(frame[len(b"data: ") :]))
    return found


class Reader:
    """One thread as a client keeps it: messages in order, the ends of its runs, the state."""

    def __init__(self) -> None:
        self.runs: list[Event] = []
        self.ends: list[Event] = []
        self.messages: dict[str, Event] = {}
        self.calls: dict[str, Event] = {}
        self.subagents: list[Event] = []
        self.custom: list[Event] = []
        self.states: list[Event] = []
        self._open: dict[tuple[str, str], Event] = {}
        self._working: dict[str, bool] = {}
        self._going = False

    @property
    def text(self) -> str:
        """The text of the main agent."""
        said = [m for m in self.messages.values() if m["role"] == "assistant"]
        return "".join(m.get("content", "") for m in said if "subagentRunId" not in m)

    @property
    def pending(self) -> list[str]:
        """The calls that the client must run; clients recognize them by the missing result."""
        return [id for id, call in self.calls.items() if "result" not in call]

    def take(self, event: Event) -> None:
        kind = event["type"]
        assert self._going != (kind == "RUN_STARTED"), f"{kind} out of place"
        whose = event.get("subagentRunId")
        if not kind.startswith("SUBAGENT_") and whose is not None:
            assert self._working.get(whose) is not None, "nobody has heard of this subagent"
        if kind in PAIRS:
            self._opens(kind, event)
        elif kind in GROWS:
            assert event["delta"], "nothing empty"
            self._opened(GROWS[kind], event)["text"] += event["delta"]
        elif kind in CLOSES:
            self._closes(CLOSES[kind], event)
        elif kind in TERMINAL:
            self._ends(kind, event)
        elif kind == "RUN_STARTED":
            self._going, self._working = True, {}
            assert event["runId"] not in [run["runId"] for run in self.runs] or self.ends
            self.runs.append(event)
        elif kind == "TOOL_CALL_RESULT":
            call = self.calls[event["toolCallId"]]
            assert call["whole"], "the call ends before its result"
            assert "result" not in call, "one result a call"
            call["result"] = event["content"]
            self._new(event["messageId"], {**event, "role": "tool"})
        elif kind.startswith("SUBAGENT_"):
            self._subagent(kind, event)
        else:
            self._besides(kind, event)

    def _besides(self, kind: str, event: Event) -> None:
        if kind == "ACTIVITY_SNAPSHOT":
            self._taken_back(event)
        elif kind.startswith("STATE_"):
            self.states.append(event)
        else:
            assert kind == "CUSTOM"
            self.custom.append(event)

    def _new(self, id: str, message: Event) -> Event:
        assert id not in self.messages, "an id names one message"
        self.messages[id] = message
        return message

    def _taken_back(self, event: Event) -> None:
        """A message that a crash cut off and that another one replaces: it keeps its place, as an
        activity."""
        id = event["messageId"]
        key = id if id in self.messages else f"reasoning {id}"
        assert event["activityType"] == "tailrace.abandoned"
        assert id not in [named for _, named in self._open], "it is whole, or was closed"
        assert self.messages[key]["role"] in ("assistant", "reasoning", "tool")
        self.messages[key] = {**event, "role": "activity"}

    def _opens(self, kind: str, event: Event) -> None:
        id = event[PAIRS[kind][2]]
        assert (kind, id) not in self._open, f"{kind} of {id} twice"
        opened = self._open[kind, id] = {**event, "text": ""}
        if kind == "TEXT_MESSAGE_START":
            self._new(id, opened)
        elif kind == "REASONING_MESSAGE_START":
            self._new(f"reasoning {id}", opened)
        elif kind == "TOOL_CALL_START":
            assert id not in self.calls, "a call's id comes once in a thread"
            self.calls[id] = {**event, "whole": False}
            parent = event["parentMessageId"]
            if parent not in self.messages:
                whose = {k: v for k, v in event.items() if k == "subagentRunId"}
                self._new(parent, {"role": "assistant", **whose})
            message = self.messages[parent]
            assert message["role"] == "assistant"
            assert message.get("subagentRunId") == event.get("subagentRunId")
            message.setdefault("calls", []).append(id)

    def _opened(self, opens: str, event: Event) -> Event:
        opened = self._open[opens, event[PAIRS[opens][2]]]
        assert opened.get("subagentRunId") == event.get("subagentRunId"), "of one agent"
        return opened

    def _closes(self, opens: str, event: Event) -> None:
        opened = self._opened(opens, event)
        del self._open[opens, event[PAIRS[opens][2]]]
        opened["metadata"] = event.get("metadata", {})
        if opens == "TOOL_CALL_START":
            call = self.calls[event["toolCallId"]]
            call |= {"arguments": opened["text"], "whole": True, "metadata": opened["metadata"]}
        elif opens in ("TEXT_MESSAGE_START", "REASONING_MESSAGE_START"):
            assert opened["text"], "nothing empty"
            opened["content"] = opened["text"]

    def _subagent(self, kind: str, event: Event) -> None:
        id = event["subagentRunId"]
        self.subagents.append(event)
        if kind == "SUBAGENT_STARTED":
            assert id not in self._working, "one start an invocation and run"
            parent = event.get("parentSubagentRunId")
            assert parent is None or parent in self._working
            assert event.get("parentToolCallId") in (None, *self.calls)
            self._working[id] = True
        else:
            assert self._working[id], "one end an invocation and run"
            self._working[id] = False

    def _ends(self, kind: str, event: Event) -> None:
        self._going = False
        assert not self._open, f"left open: {list(self._open)}"
        assert not any(self._working.values()), "subagents end before their run"
        self.ends.append(event)
        if kind == "RUN_ERROR":
            return
        run = self.runs[-1]
        assert (event["threadId"], event["runId"]) == (run["threadId"], run["runId"])
        outcome = event["outcome"]
        if outcome["type"] == "interrupt":
            asked = [each["id"] for each in outcome["interrupts"]]
            assert asked, "somebody is asked for something"
            assert len(set(asked)) == len(asked)


def read(frames: Iterable[bytes], reader: Reader | None = None, *, whole: bool = True) -> Reader:
    """A stream as a client reads it; with `whole`, it must have ended."""
    reader = reader or Reader()
    begun = len(reader.ends)
    last = ""
    for event in events(frames):
        reader.take(event)
        last = event["type"]
    if whole:
        assert last in TERMINAL, "one terminal event, last"
        assert len(reader.ends) > begun
    return reader
