"""A question of a framework's agent, on every surface that has a form for it: the client sees it, and
answers it there."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment

CONFIG = """
[server]
data = "data"

[agents.booker]
entry = "helper_tools:booker"
"""
TOOLS = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


def book(state):
    day = interrupt({"message": "Which day?"})
    seat = interrupt("Which seat?")
    return {"messages": [AIMessage(f"Booked for {day}, {seat}.")]}


graph = StateGraph(MessagesState)
graph.add_node("book", book)
graph.add_edge(START, "book")
booker = graph.compile()
"""


@pytest.fixture
def server(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = ChildServer(tmp_path, config=CONFIG, tools=TOOLS).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


def output(call: Any, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call.call_id, "output": text}


def client(server: ChildServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def question(response: Any) -> Any:
    (call,) = response.output
    assert (call.type, call.name) == ("function_call", "ask_user")
    return call


@pytest.mark.parametrize("streamed", [False, True])
def test_openais_client_sees_and_answers_questions(server: ChildServer, streamed: bool) -> None:
    ours = client(server)

    def create(**fields: Any) -> Any:
        if not streamed:
            return ours.responses.create(model="booker", **fields)
        with ours.responses.stream(model="booker", **fields) as stream:
            return stream.get_final_response()

    first = create(input="book")
    call = question(first)
    assert json.loads(call.arguments) == {"question": "Which day?"}
    second = create(previous_response_id=first.id, input=[output(call, "Monday")])
    assert json.loads(question(second).arguments) == {"question": "Which seat?"}
    third = create(previous_response_id=second.id, input=[output(question(second), "2A")])
    assert third.output_text == "Booked for Monday, 2A."


def test_the_whole_history_answers_too(server: ChildServer) -> None:
    """A client that keeps no ids sends its whole input again, with the call and its output."""
    ours = client(server)
    history: list[Any] = [{"role": "user", "content": "book"}]
    for text in ("Monday", "2A"):
        response = ours.responses.create(model="booker", input=history)
        call = question(response)
        history += [call.model_dump(exclude_none=True), output(call, text)]
    final = ours.responses.create(model="booker", input=history)
    assert final.output_text == "Booked for Monday, 2A."
    jobs = httpx.get(server.url + "/jobs").json()["data"]
    assert len(jobs) == 1, "the answers continue the run"


WRONG: dict[str, Callable[[Any], dict[str, Any]]] = {
    "another question": lambda call: {**output(call, "x"), "call_id": call.call_id[:-1] + "7"},
    "a run that is not there": lambda _: {
        "type": "function_call_output",
        "call_id": "ask_01kabcdefghjkmnpqrstvwxyz0_0",
        "output": "x",
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_an_output_that_answers_nothing_is_refused(server: ChildServer, case: str) -> None:
    ours = client(server)
    first = ours.responses.create(model="booker", input="book")
    call = question(first)
    wrong: Any = WRONG[case](call)
    with pytest.raises(openai.APIStatusError) as refused:
        ours.responses.create(model="booker", input=[wrong])
    assert refused.value.status_code in (400, 404)
    jobs = httpx.get(server.url + "/jobs").json()["data"]
    assert [job["status"] for job in jobs] == ["waiting"], "and no run began"


def test_an_answer_counts_once(server: ChildServer) -> None:
    ours = client(server)
    first = ours.responses.create(model="booker", input="book")
    answer: Any = output(question(first), "Monday")
    again = [
        ours.responses.create(model="booker", previous_response_id=first.id, input=[answer])
        for _ in range(2)
    ]
    assert again[0].output == again[1].output
    other: Any = output(question(first), "Friday")
    with pytest.raises(openai.ConflictError):
        ours.responses.create(model="booker", previous_response_id=first.id, input=[other])


def test_a_question_that_another_surface_answers_is_closed(server: ChildServer) -> None:
    ours = client(server)
    first = ours.responses.create(model="booker", input="book")
    job = f"{server.url}/jobs/job_{first.id.removeprefix('resp_')}"
    (asked,) = httpx.get(job).json()["waiting_for"]
    answer = {"request_id": asked["request_id"], "value": "Monday"}
    assert httpx.post(f"{job}/input", json=answer).status_code == 202
    while len(httpx.get(job).json()["waiting_for"]) != 1:
        select_a_moment()
    late: Any = output(question(first), "Friday")
    with pytest.raises(openai.ConflictError):
        ours.responses.create(model="booker", previous_response_id=first.id, input=[late])
