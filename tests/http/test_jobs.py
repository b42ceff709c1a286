"""The native surface, and one run under every name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.protocols.framing.sse import SseDecoder
from tailrace.protocols.node_stream.stream import NodeStreamEvent
from tests.http.conftest import Ask
from tests.http.test_deploy import until
from tests.support import strict


def _events(body: bytes) -> list[NodeStreamEvent]:
    decode = msgspec.json.Decoder(NodeStreamEvent).decode
    return [decode(event.data) for event in SseDecoder().feed(body)]


def _plain(body: bytes) -> bytes:
    """A stream's frames without heartbeats."""
    return body.replace(b": ping\n", b"")


@pytest.mark.req("R3")
@pytest.mark.req("R11")
@pytest.mark.req("R12")
def test_a_job_shows_every_event_and_resumes(ask: Ask) -> None:
    made = ask("POST", "/jobs", {"agent": "helper", "input": "hat?"})
    assert made.status == 202
    whole = _plain(ask("GET", f"/jobs/{made.json['id']}/stream").body)
    events = _events(whole)
    assert [event.seq for event in events] == list(range(len(events)))
    assert events[0].payload.__class__.__name__ == "RunStarted"
    assert events[-1].payload.__class__.__name__ == "RunCompleted"
    assert {event.node_type for event in events} == {"run", "deep_agent"}
    assert all(event.node_name == "helper" for event in events)
    path = f"/jobs/{made.json['id']}/stream"
    for cut in (0, 7, len(events) - 1):
        by_query = _plain(ask("GET", f"{path}?after={cut}").body)
        by_header = _plain(ask("GET", path, headers={"last-event-id": str(cut)}).body)
        assert by_query == by_header
        assert whole.endswith(by_query)
        assert len(_events(by_query)) == len(events) - cut - 1
    job = ask("GET", f"/jobs/{made.json['id']}").json
    assert job["status"] == "completed"
    assert job["output_text"] == "Let me look. \n\nFound a hat."


@pytest.mark.req("R1")
@pytest.mark.req("R14")
@pytest.mark.req("R20")
def test_one_run_under_every_name(ask: Ask) -> None:
    """Started on Responses; read as a job, as a response and as chat; every read returns the same bytes."""
    streamed = ask("POST", "/v1/responses", {"model": "helper", "input": "hat?", "stream": True})
    suffix = streamed.headers["x-run-id"].removeprefix("run_")
    seen = _plain(streamed.body)
    again = _plain(ask("GET", f"/v1/responses/resp_{suffix}?stream=true").body)
    as_job = _plain(ask("GET", f"/jobs/job_{suffix}/stream?as=responses").body)
    assert seen == again == as_job
    chat = [
        frame + b"\n\n"
        for frame in _plain(ask("GET", f"/jobs/chatcmpl-{suffix}/stream?as=chat").body).split(
            b"\n\n"
        )[:-1]
    ]
    strict.chat(chat)
    assert chat[-1] == b"data: [DONE]\n\n"
    listed = ask("GET", "/jobs").json["data"]
    assert isinstance(listed, list)
    assert f"job_{suffix}" in [job["id"] for job in listed]


@pytest.mark.req("R133")
@pytest.mark.req("R134")
def test_cancelled_anywhere_it_is_cancelled_everywhere(ask: Ask) -> None:
    made = ask(
        "POST", "/v1/responses", {"model": "slow", "input": "w " * 300, "background": True}
    ).json
    suffix = str(made["id"]).removeprefix("resp_")
    cancelled = ask("POST", f"/jobs/job_{suffix}/cancel")
    assert cancelled.json["status"] == "cancelled"
    assert ask("GET", f"/v1/responses/resp_{suffix}").json["status"] == "cancelled"
    assert ask("POST", f"/jobs/job_{suffix}/cancel").status == 409
    frames = _plain(ask("GET", f"/v1/responses/resp_{suffix}?stream=true").body)
    assert b'"status":"cancelled"' in frames
    assert frames.endswith(b"data: [DONE]\n\n")


def _job(ask: Ask, said: str) -> Any:
    return ask("POST", "/jobs", {"agent": "helper", "input": said}).json


def _listed(ask: Ask, query: str) -> tuple[list[str], str | None]:
    """The jobs of a page, and the cursor of the next page."""
    reply = ask("GET", f"/jobs?{query}")
    assert reply.status == 200, reply.body
    page: Any = reply.json
    assert page["has_more"] is (page["after"] is not None)
    return [job["id"] for job in page["data"]], page["after"]


def test_jobs_come_in_pages(ask: Ask) -> None:
    made = [str(_job(ask, "hat?")["id"]) for _ in range(5)]
    newest = made[::-1]
    found: list[str] = []
    after: str | None = ""
    while after is not None and len(found) < 5:
        page, after = _listed(ask, f"limit=2&after={after}" if after else "limit=2")
        assert len(page) <= 2
        found += page
    assert found[:5] == newest
    assert _listed(ask, f"after={made[0]}&limit=100")[0].count(made[0]) == 0


def test_jobs_are_filtered(ask: Ask) -> None:
    one = _job(ask, "hat?")["id"]
    ask("GET", f"/jobs/{one}/stream")
    failed = _job(ask, "fail now")["id"]
    ask("GET", f"/jobs/{failed}/stream")
    made: Any = ask("POST", "/v1/conversations", {}).json
    conversation = made["id"]
    body = {"model": "echo", "input": "hello", "conversation": conversation}
    response: Any = ask("POST", "/v1/responses", body).json
    job = response["id"].replace("resp_", "job_")
    ask("POST", "/api/stream", {"message": "hello", "sessionId": "mine", "agentId": "echo"})
    shown: Any = ask("GET", f"/jobs/{failed}").json
    created = shown["created_at"]
    until(
        lambda: failed in _listed(ask, "status=failed")[0]
    )  # the record is updated after the readers have received the end
    failures, _ = _listed(ask, "agent=helper&status=failed")
    assert failed in failures
    assert one not in failures
    assert _listed(ask, f"conversation={conversation}")[0] == [job]
    (session,) = _listed(ask, "conversation=mine")[0]
    assert session in _listed(ask, "surface=session")[0]
    assert session not in _listed(ask, "surface=responses")[0]
    before, _ = _listed(ask, f"until={created}&limit=100")
    since, _ = _listed(ask, f"since={created}&limit=100")
    assert failed not in before
    assert failed in since
    assert one in before or one in since
    assert not set(before) & set(since)
    assert _listed(ask, "agent=nobody") == ([], None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "after=x",
        "status=done",
        "surface=fax",
        "since=-1",
        "since=" + "0" * 5_000,
    ],
)
def test_a_page_that_makes_no_sense_is_refused_by_name(ask: Ask, query: str) -> None:
    reply = ask("GET", f"/jobs?{query}")
    assert reply.status == 400
    error: Any = reply.json
    assert error["error"]["param"] == query.partition("=")[0]
