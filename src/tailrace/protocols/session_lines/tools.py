"""Tool calls, and requests to people, as events of a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tailrace.events import types as t
from tailrace.events.items import ToolCall
from tailrace.protocols.session_lines import wire_events as e
from tailrace.protocols.session_lines import wire_messages as m
from tailrace.protocols.session_lines.messages import arguments

Work = t.ToolStarted | t.ToolProgress | t.ToolCompleted
Person = t.ApprovalRequested | t.ApprovalResolved | t.InputRequested | t.InputReceived


class Tools:
    """The tool calls of one run: names, starts, and results in this turn."""

    def __init__(self, chain: str) -> None:
        self.results: list[m.ToolResultMessage] = []
        self._chain = chain
        self._calls: dict[int, ToolCall] = {}
        self._started_calls: set[int] = set()

    def add_call(self, item: int, call: ToolCall) -> None:
        """A call is complete."""
        self._calls[item] = call

    def call(self, item: int | None) -> ToolCall:
        """The call of an item; one without a name if there is none."""
        return self._calls.get(-1 if item is None else item) or ToolCall(call_id="", name="")

    def works(self, event: t.Event, payload: Work, turn: int) -> Iterator[e.Line]:
        """The lines of a tool's start, progress and end. A tool that continues after a crash starts once."""
        call, chain = self.call(payload.item), self._chain
        id, name = call.call_id, call.name
        if payload.item not in self._started_calls:
            self._started_calls.add(payload.item)
            call_arguments = arguments(call)
            yield e.ToolBefore(
                chain_id=chain,
                turn_index=turn,
                tool_call_id=id,
                tool_name=name,
                args=call_arguments,
                raw_args=call_arguments,
            )
        match payload:
            case t.ToolStarted():
                pass
            case t.ToolProgress():
                details = {"progress": payload.progress, "total": payload.total}
                yield e.ToolUpdate(
                    chain_id=chain,
                    turn_index=turn,
                    tool_call_id=id,
                    tool_name=name,
                    partial_result=m.Result(
                        content=(m.TextContent(payload.message),), details=details
                    ),
                )
            case t.ToolCompleted():
                yield self._on_tool_completed(event, payload, turn)
            case _:
                assert_never(payload)

    def _on_tool_completed(
        self, event: t.Event, payload: t.ToolCompleted, turn: int
    ) -> e.ToolAfter:
        call, content = self.call(payload.item), (m.TextContent(payload.output),)
        self.results.append(
            m.ToolResultMessage(
                tool_call_id=call.call_id,
                tool_name=call.name,
                content=content,
                is_error=payload.is_error,
                timestamp=event.ts,
            )
        )
        return e.ToolAfter(
            chain_id=self._chain,
            turn_index=turn,
            tool_call_id=call.call_id,
            tool_name=call.name,
            result=m.Result(content=content),
            is_error=payload.is_error,
        )

    def person(self, payload: Person, turn: int, depth: int) -> Iterator[e.Line]:
        """The lines of a request to a person, of any agent, and of its answer."""
        match payload:
            case t.ApprovalRequested():
                call = self.call(payload.item)
                yield e.PermissionRequest(
                    chain_id=self._chain,
                    depth=depth,
                    turn_index=turn,
                    tool_call_id=call.call_id,
                    tool_name=call.name,
                    reason=payload.message,
                )
            case t.ApprovalResolved():
                call = self.call(payload.item)
                yield e.PermissionResolved(
                    chain_id=self._chain,
                    depth=depth,
                    turn_index=turn,
                    tool_call_id=call.call_id,
                    tool_name=call.name,
                    decision="approved" if payload.approved else "rejected",
                )
            case t.InputRequested():
                call = self.call(payload.item)
                options = arguments(call).get("options")
                choices = [each for each in options or () if isinstance(each, str)]
                yield e.WaitingForUserInput(
                    chain_id=self._chain,
                    depth=depth,
                    turn_index=turn,
                    tool_call_id=call.call_id or payload.request_id,
                    question=payload.message,
                    options=tuple(choices),
                )
            case t.InputReceived():
                pass  # the following events show it
            case _:
                assert_never(payload)
