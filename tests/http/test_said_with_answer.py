"""An answer that arrives together with a message has the effect of both, on every surface with a form for
answers. The call runs (or not), the model reads its result and then the message, and answers; in one turn."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI
from openai.types.responses import ResponseCreatedEvent

from tests.http.test_ui import Client, _assistant, _first_number, _text, _user
from tests.support import agui, ui_chunks
from tests.support.agui_thread import Thread, user
from tests.support.forks import Forks
from tests.support.refusing import Refusal, refusing
from tests.support.servers import TOOLS, ChildServer
from tests.support.team_files import SCARF, SCENARIO, effects, team_server

Sent = dict[str, Any]
MESSAGE: Any = {"role": "user", "content": "and a scarf"}


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


def _yes(response: Any, *, approve: bool = True) -> Any:
    (asked,) = [item for item in response.output if item.type == "mcp_approval_request"]
    answer = {"type": "mcp_approval_response", "approval_request_id": asked.id}
    return {**answer, "approve": approve}


def _heard(server: ChildServer, run: str) -> list[Any]:
    """The messages of each `run.resumed` of a run."""
    suffix = run.split("_")[1]
    events = httpx.get(f"{server.url}/jobs/job_{suffix}/stream", timeout=20).text
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    found = [each["payload"] for each in data if each["payload"]["type"] == "run.resumed"]
    return [_texts(each.get("input", ())) for each in found]


def _texts(items: Any) -> list[str]:
    return [item["content"][0]["text"] for item in items]


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("yes_first", [True, False])
@pytest.mark.parametrize("told", ["previous", "conversation", "itself", "all"])
def test_on_responses(
    server: ChildServer, client: OpenAI, tmp_path: Path, told: str, yes_first: bool, approve: bool
) -> None:
    """`told`: whether the server knows the history, or the client sends it, complete or only by the id."""
    more: Any = {"conversation": client.conversations.create().id} if "con" in told else {}
    first = client.responses.create(model="lead", input="order a hat", **more)
    yes = _yes(first, approve=approve)
    given: list[Any] = [yes, MESSAGE] if yes_first else [MESSAGE, yes]
    if told == "previous":
        more = {"previous_response_id": first.id}
    if told == "itself":
        given = [{"role": "user", "content": "order a hat"}, *given]
    if told == "all":
        said = [item.model_dump(exclude_none=True) for item in first.output]
        given = [{"role": "user", "content": "order a hat"}, *said, *given]
    second = client.responses.create(model="lead", input=given, **more)
    assert second.id == f"{first.id}_2", "the same run goes on"
    assert second.output_text == SCARF
    assert effects(tmp_path, "order") == approve
    assert _heard(server, first.id) == [["and a scarf"]]
    again = client.responses.create(model="lead", input=given, **more)
    assert again == second, "the same turn sent again"
    assert effects(tmp_path, "order") == approve
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in items] == [each.get("type", "message") for each in given]
    third = client.responses.create(model="lead", previous_response_id=second.id, input="a scarf")
    request = httpx.get(f"{server.url}/jobs/job_{third.id.split('_')[1]}/stream").text
    history = json.loads(request.split("data: ", 1)[1].split("\n", 1)[0])["payload"]["request"][
        "history"
    ]
    kinds = [each.get("role", each["type"]) for each in history]
    wanted = ["user", "assistant", "tool_call", "tool_call", "tool_output", "tool_output"]
    assert kinds == [*wanted, "assistant", "tool_call", "tool_output", "user", "assistant"]
    assert "Not run so far" not in request


def test_the_conversation_has_the_message_in_its_place(client: OpenAI) -> None:
    conversation = client.conversations.create().id
    first = client.responses.create(model="lead", input="order a hat", conversation=conversation)
    client.responses.create(model="lead", input=[_yes(first), MESSAGE], conversation=conversation)
    items: Any = client.conversations.items.list(conversation, order="asc", limit=50).data
    said = [item.content[0].text for item in items if item.type == "message"]
    assert said == ["order a hat", "I let two look. ", "Now I order. ", "and a scarf", SCARF]


@pytest.mark.parametrize("by", ["previous", "conversation"])
def test_the_answer_to_a_question_comes_with_a_message(
    server: ChildServer, client: OpenAI, by: str
) -> None:
    more: Any = {"conversation": client.conversations.create().id} if by[0] == "c" else {}
    first = client.responses.create(model="lead", input="ask them", **more)
    (question,) = [item for item in first.output if item.type == "function_call"]
    output: Any = {"type": "function_call_output", "call_id": question.call_id, "output": "red"}
    more = more or {"previous_response_id": first.id}
    unknown: Any = {**output, "call_id": "call_of_nobody"}
    with pytest.raises(APIStatusError) as refused:
        client.responses.create(model="lead", input=[output, unknown, MESSAGE], **more)
    assert (refused.value.status_code, refused.value.param) == (400, "input[1].call_id")
    second = client.responses.create(model="lead", input=[output, MESSAGE], **more)
    assert second.output_text == SCARF
    assert _heard(server, first.id) == [["and a scarf"]]


def test_another_message_with_an_answer_that_was_given(
    server: ChildServer, client: OpenAI, tmp_path: Path
) -> None:
    """A request that continues from the pause is refused. One that continues from the turn after it is a
    turn like any other."""
    first = client.responses.create(model="lead", input="order a hat")
    yes: Any = _yes(first)
    second = client.responses.create(model="lead", previous_response_id=first.id, input=[yes])
    with pytest.raises(APIStatusError) as refused:
        client.responses.create(model="lead", previous_response_id=first.id, input=[yes, MESSAGE])
    assert (refused.value.status_code, refused.value.code) == (409, "already_answered")
    third = client.responses.create(
        model="lead", previous_response_id=second.id, input=[yes, MESSAGE]
    )
    assert third.id.split("_")[1] != first.id.split("_")[1]
    assert third.output_text == SCARF
    assert effects(tmp_path, "order") == 1
    assert _heard(server, first.id) == [[]]


def test_a_message_is_there_after_a_kill(server: ChildServer, client: OpenAI) -> None:
    first = client.responses.create(model="lead", input="order a hat")
    stream = client.responses.create(
        model="lead", previous_response_id=first.id, input=[_yes(first), MESSAGE], stream=True
    )
    assert isinstance(next(iter(stream)), ResponseCreatedEvent)
    server.kill()
    server.start()
    with client.responses.stream(response_id=f"{first.id}_2", starting_after=0) as rest:
        assert rest.get_final_response().output_text == SCARF


CALL = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,'
    b'"id":"call_1","type":"function","function":{"name":"order","arguments":"{\\"what\\":\\"hat\\"}"}}]}}]}\n\n'
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
)
BUYER = """
[server]
data = "data"
{server}
[models.chat]
dialect = "chat"
base_url = "%s/buy/v1"
model = "m"
[agents.buyer]
model = "chat"
tools = ["helper_tools:order"]
approve = ["order"]
"""


def test_what_the_agents_model_has_no_form_for_is_refused_and_the_question_stays(
    tmp_path: Path,
) -> None:
    with refusing({"buy": Refusal(200, CALL)}) as model:
        config = BUYER % model.url
        server = ChildServer(tmp_path, config=config, scenario=SCENARIO, tools=TOOLS).start()
        client = OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        try:
            first = client.responses.create(model="buyer", input="buy")
            film: Any = {"role": "user", "content": [{"type": "input_film", "film": "x"}]}
            given = [_yes(first), MESSAGE, film]
            with pytest.raises(APIStatusError) as refused:
                client.responses.create(model="buyer", previous_response_id=first.id, input=given)
            assert refused.value.status_code == 400
            assert refused.value.param == "input[2].content[0].type"
            assert effects(tmp_path, "order") == 0
            second = client.responses.create(
                model="buyer", previous_response_id=first.id, input=given[:2]
            )
            assert effects(tmp_path, "order") == 1
            assert _yes(second) != given[0], "it calls once more, and asks"
        finally:
            client.close()
            server.kill()


@pytest.mark.parametrize("answer", ["resolved", "cancelled"])
def test_on_agui(server: ChildServer, tmp_path: Path, answer: str) -> None:
    thread = Thread(server, "lead")
    (asked,) = thread.go("order a hat")["outcome"]["interrupts"]
    entry: Sent = {"interruptId": asked["id"], "status": answer}
    if answer == "resolved":
        entry["payload"] = {"approved": True}
    run = thread.run
    known = list(thread.messages)
    body = thread.body(resume=[entry], messages=[*known, {**user("and a scarf"), "id": "u2"}])
    frames = thread.send(body)
    assert thread.run == run
    agui.read(frames, thread.reader)
    assert thread.reader.text.endswith(SCARF)
    assert effects(tmp_path, "order") == (answer == "resolved")
    assert _heard(server, run) == [["and a scarf"]]
    assert thread.send(body) == frames, "the same answer again attaches"
    status, error = thread.refused(resume=[entry], messages=known)
    assert (status, error["code"]) == (409, "already_answered")


@pytest.mark.parametrize("shown", [True, False])
def test_on_agui_the_runs_own_input_is_not_new(server: ChildServer, shown: bool) -> None:
    """Also if the client shows nothing from the agent because it lost the stream."""
    thread = Thread(server, "lead")
    (asked,) = thread.go("order a hat")["outcome"]["interrupts"]
    entry = {"interruptId": asked["id"], "status": "resolved", "payload": True}
    told = thread.messages if shown else thread.messages[:1]
    run = thread.run
    thread.send(thread.body(resume=[entry], messages=told))
    assert thread.run == run
    assert _heard(server, run) == [[]]


def test_on_the_ai_sdks_surface_the_runs_own_input_is_not_new(server: ChildServer) -> None:
    chat = Client(server, "lead")
    reader = ui_chunks.read(chat.send(_user("order a hat")))
    (asked,) = [part for part in reader.data if part["type"] == "data-approval"]
    run = chat.run
    chat.send(_user("order a hat"), approvals=[{"id": asked["data"]["id"], "approved": True}])
    assert chat.run == run
    assert _heard(server, run) == [[]]


@pytest.mark.parametrize("knows", [True, False])
def test_on_the_ai_sdks_surface(server: ChildServer, tmp_path: Path, knows: bool) -> None:
    """A new message of the user after the assistant's message with the answer, or beside `approvals`."""
    chat = Client(server, "lead", toolApproval=knows)
    reader = ui_chunks.read(chat.send(_user("order a hat")))
    run, more, changed = chat.run, {}, {}
    if knows:
        (part,) = [part for part in reader.parts if part.get("approval")]
        approval = {"id": part["approval"], "approved": True}
        changed = {"order": {"state": "approval-responded", "approval": approval}}
    else:
        (asked,) = [part for part in reader.data if part["type"] == "data-approval"]
        more = {"approvals": [{"id": asked["data"]["id"], "approved": True}]}
    sent = [_user("order a hat"), _assistant(reader, **changed), _user("and a scarf", "u2")]
    second = chat.send(*sent, **more)
    assert chat.run == run
    assert effects(tmp_path, "order") == 1
    assert _heard(server, run) == [["and a scarf"]]
    new = ui_chunks.read(second, None, _first_number(second))
    assert new.id != reader.id, "the client's newest message is the user's: a new one begins"
    (order,) = [part for part in new.parts if part["type"] == "tool"]
    assert (order["name"], order["state"]) == ("order", "output-available")
    assert _text(new) == SCARF
    assert chat.send(*sent, **more) == second, "the same turn sent again"
    assert chat.stream("?responseId=" + run) == (200, second), "a page that is loaded anew"
    assert effects(tmp_path, "order") == 1
    third = chat.send(*sent, _assistant(new), _user("order a hat", "u3"), **{})
    assert chat.run != run, "an answer of before is the past"
    assert ui_chunks.read(third).id != new.id
    other = [*sent[:2], _user("a scarf, please", "u4")]
    fourth = chat.send(*other, **more)
    assert chat.run != run, "it was answered with another message"
    assert _text(ui_chunks.read(fourth)) == SCARF
    assert effects(tmp_path, "order") == 1
