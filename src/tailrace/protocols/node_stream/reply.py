"""A run as one job document, and the list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.history import replaced_items
from tailrace.events.items import Item, Json, Message, text_of
from tailrace.events.state import RunState
from tailrace.events.types import (
    Decision,
    RunCancelled,
    RunCompleted,
    RunEnd,
    RunFailed,
    RunIncomplete,
)
from tailrace.protocols.fields import Object, without_empty

_json = msgspec.json.Encoder().encode


class Summary(Struct, frozen=True, kw_only=True):
    """A line of the list of jobs. Times in milliseconds since the epoch, 0 where there is none."""

    run: str
    agent: str
    surface: str
    status: str
    created_at: int
    ended_at: int


def jobs(summaries: Sequence[Summary], next: str) -> bytes:
    """A page of the list of jobs; the next one begins after job `next` (`after` in the query), which need
    not be in this one."""
    data = [{"id": ids.job_id(s.run), **msgspec.structs.asdict(s)} for s in summaries]
    last = ids.job_id(next) if next else None
    return _json({"object": "list", "data": data, "has_more": last is not None, "after": last})


def job(run: str, state: RunState) -> bytes:
    """A job: its status, its output, its usage."""
    request = state.start_request()
    fields: Object = {
        "id": ids.job_id(run),
        "object": "job",
        "run_id": ids.run_id(run),
        "response_id": ids.response_id(run),
        "agent": request.agent,
        "surface": request.surface,
        "status": status(state),
        "attempt": state.attempt,
        "last_seq": state.seq,
        "created_at": state.started_at,
        "ended_at": state.ended_at or None,
        "metadata": request.metadata,
        "waiting_for": waiting_for(state),
        "output": _output(state),
        "output_text": "\n\n".join(filter(None, map(_text, _lasting(state)))),
        "usage": [
            {"agent": agent, "model": model, **msgspec.structs.asdict(totals)}
            for (agent, model), totals in state.usage.items()
        ],
        "error": _error(state.end),
    }
    return _json(fields)


def status(state: RunState) -> str:
    """The status of a run, in one word."""
    match state.end:
        case None:
            return "waiting" if state.phase == "waiting" else "in_progress"
        case RunCompleted():
            return "completed"
        case RunIncomplete():
            return "incomplete"
        case RunFailed():
            return "failed"
        case RunCancelled():
            return "cancelled"


def _lasting(state: RunState) -> list[Item]:
    """The output text, without replies that a crash interrupted and a later attempt replaced."""
    in_vain = replaced_items(state)
    return [
        item.content
        for number, item in enumerate(state.items)
        if item.content is not None and number not in in_vain
    ]


def _text(item: Item) -> str:
    return text_of(item.content) if isinstance(item, Message) else ""


def _output(state: RunState) -> list[Json]:
    return [
        {
            "item": number,
            "node_id": item.node,
            "agent_id": item.agent or None,
            "status": item.status,
            "content": item.content,
            "tool_output": item.output,
        }
        for number, item in enumerate(state.items)
    ]


def waiting_for(state: RunState) -> list[Object]:
    """The requests that wait for a person, in the form in which `POST /jobs/{id}/input` takes the answer."""
    requests: list[Object] = []
    for number, item in enumerate(state.items):
        call = item.call()
        if item.tool in ASKED_TOOL and call is not None:
            approval: Object = {"item": number, "asked": item.approval_requests, "name": call.name}
            approval["arguments"] = call.arguments
            request = item.approval_request
            if request is not None:
                approval["decisions"] = request.decisions or get_args(Decision)
                approval["schema"] = request.schema
            requests.append({"kind": "approval", **approval, "agent_id": item.agent or None})
    for name, question in state.questions.items():
        if state.asks[name] == "asked":
            fields: Object = {"message": question.message, "schema": question.schema}
            requests.append({"kind": "question", "request_id": name, **fields})
    return requests


def _error(end: RunEnd | None) -> Json:
    match end:
        case RunFailed():
            fields: Object = {"code": end.code, "message": end.message}
            more: Object = {
                "param": end.param,
                "status": end.status or None,
                "type": end.error_type,
                "retry_after": end.retry_after,
            }
            return {**fields, **without_empty(more)}
        case RunIncomplete():
            return {"code": end.reason, "message": f"The run reached its limit: {end.reason}."}
        case RunCancelled():
            return {"code": "cancelled", "message": f"The run was cancelled by {end.by}."}
        case RunCompleted() | None:
            return None
