"""Tool calls on the Responses stream: those the client runs, and those that run on our side."""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import ToolCall
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.openai_responses import wire
from tailrace.protocols.openai_responses.items import DIALECT
from tailrace.protocols.openai_responses.writer import ItemWriter, ResponsesEmitter, template

TOOL_LABEL = "tailrace"
"""The `server_label` of tools that name none."""


class CallWriter(ItemWriter):
    """A call of a tool that the client runs: `function_call`, or `custom_tool_call`."""

    prefix = "fc"

    def __init__(self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._events, self._field = (
            ("custom_tool_call_input", "input")
            if started.custom
            else ("function_call_arguments", "arguments")
        )
        self._delta = template(f"{self._events}.delta", self.place)

    def zero(self) -> Object:
        return {**any_object(self.started.details.get(DIALECT)), **self._shape("", "in_progress")}

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ToolCall):
            arguments = payload.content.arguments
            fields: Object = {self._field: arguments}
            if not self.started.custom:
                fields["name"] = self.started.name  # required by SDK types 2.0 to 3.0
            self._emit(f"{self._events}.done", **fields)
            self._close({**wire.own(payload.content), **self._shape(arguments, payload.status)})

    def _shape(self, arguments: str, status: str) -> Object:
        shape: Object = {
            "id": self.id,
            "type": "custom_tool_call" if self.started.custom else "function_call",
            "call_id": self.started.call_id,
            "name": self.started.name,
            self._field: arguments,
        }
        return shape if self.started.custom else {**shape, "status": status}


class SealWriter(ItemWriter):
    """What a call's server must get back with it and `function_call` has no field for: a reasoning item
    that clients give back with the call (`sealed.py`), whole from the start."""

    prefix = "rs"

    def __init__(
        self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int, secret: str
    ) -> None:
        super().__init__(stream, started, output_index)
        self._secret = secret

    def opened(self) -> None:
        super().opened()
        self._close({**self.zero(), "encrypted_content": self._secret})

    def zero(self) -> Object:
        return {"id": self.id, "type": "reasoning", "summary": []}

    def take(self, payload: t.Payload) -> None:
        """Nothing happens to a seal."""


class ServerCallWriter(ItemWriter):
    """A call of a tool that runs on our side: an `mcp_call`, done when the tool has answered.

    Clients take a `function_call` they have no tool for as an error; an `mcp_call` they show as run by
    the provider. Its `error` differs between SDK versions, so a failed tool's words are its `output`.
    """

    prefix = "mcp"

    def __init__(self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._arguments = ""
        self._delta = template("mcp_call_arguments.delta", self.place)

    def opened(self) -> None:
        super().opened()
        self._emit("mcp_call.in_progress")

    def zero(self) -> Object:
        return self._shape("in_progress", None)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ToolCall):
            self._arguments = payload.content.arguments
            self._emit("mcp_call_arguments.done", arguments=self._arguments)
            if payload.status == "incomplete":
                self._emit("mcp_call.failed")
                self._close(self._shape("incomplete", None))
        elif isinstance(payload, t.ToolCompleted):
            ending = "failed" if payload.is_error else "completed"
            self._emit(f"mcp_call.{ending}")
            self._close(self._shape(ending, payload.output))

    def pause(self) -> None:
        if not self.closed:
            self._close(self._shape("incomplete", None))

    def _shape(self, status: str, output: str | None) -> Object:
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": status,
            "approval_request_id": self.stream.asked(self.started.item),
            "arguments": self._arguments,
            "error": None,
            "name": self.started.name,
            "output": output,
            "server_label": self.started.server_label or TOOL_LABEL,
        }


class ApprovalWriter(ItemWriter):
    """The request for a yes to a call: an `mcp_approval_request`, whole from the start."""

    prefix = "mcpr"

    def __init__(
        self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int, arguments: str
    ) -> None:
        super().__init__(stream, started, output_index)
        self.id = stream.asked(started.item) or self.id
        self._arguments = arguments

    def opened(self) -> None:
        super().opened()
        self._close(self.zero())

    def zero(self) -> Object:
        return {
            "id": self.id,
            "type": "mcp_approval_request",
            "arguments": self._arguments,
            "name": self.started.name,
            "server_label": self.started.server_label or TOOL_LABEL,
        }

    def take(self, payload: t.Payload) -> None:
        """Nothing happens to a request: its answer is another response's input."""
