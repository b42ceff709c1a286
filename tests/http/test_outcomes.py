"""A client continues from a history without a call's result: a call that ran is not presented as one that
did not."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tailrace.events.history import NOT_RUN
from tests.http.test_ui import Client, _assistant, _user
from tests.support import ui_chunks
from tests.support.agui_thread import Thread, user
from tests.support.forks import Forks
from tests.support.servers import ChildServer
from tests.support.team_files import SCARF, effects, team_server

ORDERED = "ordered"


@pytest.fixture
def server(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = team_server(tmp_path).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


@pytest.fixture
def client(server: ChildServer) -> Generator[OpenAI, None, None]:
    made = OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
    yield made
    made.close()


def _outputs(server: ChildServer, run: str) -> list[str]:
    """The outputs in the history and the input of a run."""
    text = httpx.get(f"{server.url}/jobs/job_{run.split('_')[1]}/stream", timeout=20).text
    request = json.loads(text.split("data: ", 1)[1].split("\n", 1)[0])["payload"]["request"]
    told = [*request.get("history", ()), *request["input"]]
    return [item["output"][0]["text"] for item in told if item["type"] == "tool_output"]


@pytest.mark.parametrize("second", [True, False, None])
def test_on_the_ai_sdks_surface(server: ChildServer, tmp_path: Path, second: bool | None) -> None:
    """The reply to an approval was lost; then a message comes, with that approval, with a rejection, or
    with the call as it waited."""
    chat = Client(server, "lead", toolApproval=True)
    reader = ui_chunks.read(chat.send(_user("order a hat")))
    (part,) = [part for part in reader.parts if part.get("approval")]

    def answer(approved: bool) -> dict[str, Any]:
        return {
            "state": "approval-responded",
            "approval": {"id": part["approval"], "approved": approved},
        }

    chat.send(_user("order a hat"), _assistant(reader, order=answer(approved=True)))
    assert effects(tmp_path, "order") == 1
    run = chat.run
    changed = {} if second is None else {"order": answer(second)}
    sent = [_user("order a hat"), _assistant(reader, **changed), _user("and a scarf", "u2")]
    chat.send(*sent)
    assert chat.run != run
    assert _outputs(server, chat.run)[-1] == _outputs_of(server, run)
    assert NOT_RUN not in _outputs(server, chat.run)
    assert effects(tmp_path, "order") == 1


def _outputs_of(server: ChildServer, run: str) -> str:
    """The result of the order in the run that it was in."""
    text = httpx.get(f"{server.url}/jobs/job_{run.split('_')[1]}/stream", timeout=20).text
    data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    done = [each["payload"] for each in data if each["payload"]["type"] == "tool.completed"]
    return str(done[-1]["output"])


def test_a_waiting_call_is_shown_as_waiting(server: ChildServer, tmp_path: Path) -> None:
    chat = Client(server, "lead")
    reader = ui_chunks.read(chat.send(_user("order a hat")))
    chat.send(_user("order a hat"), _assistant(reader), _user("and a scarf", "u2"))
    assert _outputs(server, chat.run)[-1] == NOT_RUN
    assert effects(tmp_path, "order") == 0


def test_on_agui(server: ChildServer, tmp_path: Path) -> None:
    thread = Thread(server, "lead")
    (asked,) = thread.go("order a hat")["outcome"]["interrupts"]
    before = list(thread.messages)
    thread.send(
        thread.body(resume=[{"interruptId": asked["id"], "status": "resolved", "payload": True}])
    )
    run = thread.run
    assert effects(tmp_path, "order") == 1
    thread.send(thread.body(messages=[*before, {**user("and a scarf"), "id": "u2"}]))
    assert thread.run != run
    assert NOT_RUN not in _outputs(server, thread.run)
    assert _outputs_of(server, run) in _outputs(server, thread.run)


@pytest.mark.parametrize("told", ["previous", "all", "all with the yes", "all with the call"])
def test_on_responses(server: ChildServer, client: OpenAI, tmp_path: Path, told: str) -> None:
    first = client.responses.create(model="lead", input="order a hat")
    (asked,) = [item for item in first.output if item.type == "mcp_approval_request"]
    yes: Any = {
        "type": "mcp_approval_response",
        "approval_request_id": asked.id,
        "approve": True,
    }
    second = client.responses.create(model="lead", previous_response_id=first.id, input=[yes])
    assert effects(tmp_path, "order") == 1
    message: Any = {"role": "user", "content": "and a scarf"}
    whole: list[Any] = [
        {"role": "user", "content": "order a hat"},
        *(item.model_dump(exclude_none=True) for item in first.output),
        *([yes] if "with" in told else []),
        *(item.model_dump(exclude_none=True) for item in second.output if "call" in told),
        message,
    ]
    if told == "previous":
        third = client.responses.create(
            model="lead", previous_response_id=first.id, input=[message]
        )
    else:
        third = client.responses.create(model="lead", input=whole)
    assert third.output_text == SCARF
    assert third.id.split("_")[1] != first.id.split("_")[1]
    outputs = _outputs(server, third.id)
    assert NOT_RUN not in outputs
    if "call" not in told:  # here it is the call that the server showed
        assert outputs.count(_outputs_of(server, first.id)) == 1
    assert effects(tmp_path, "order") == 1


def test_an_approval_of_nothing_is_refused(client: OpenAI) -> None:
    first = client.responses.create(model="lead", input="order a hat")
    (asked,) = [item for item in first.output if item.type == "mcp_approval_request"]
    unknown: Any = {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_x",
        "approve": True,
    }
    said: Any = {"role": "user", "content": "order a hat"}
    chained: list[Any] = [{"previous_response_id": first.id}, {}]
    for more in chained:
        with pytest.raises(APIStatusError) as refused:
            client.responses.create(model="lead", input=[said, unknown], **more)
        assert refused.value.status_code == 400
        assert refused.value.param == "input[1].approval_request_id"
    client.responses.delete(first.id)
    gone: Any = {**unknown, "approval_request_id": asked.id}
    with pytest.raises(APIStatusError) as refused:
        client.responses.create(model="lead", input=[said, gone])
    assert refused.value.status_code in (400, 404, 410)
