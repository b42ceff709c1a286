"""A conversation is the thread of a framework's agent: its state at the end of one turn is the beginning of
the next, on every surface that can name the turn before, and from that turn."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import httpx
import openai
import pytest

from tests.support.forks import Forks, forking
from tests.support.servers import ChildServer, select_a_moment

CONFIG = """
[server]
data = "data"
{server}

[agents.counter]
entry = "helper_tools:counter"

[agents.fresh]
entry = "helper_tools:counter"
keep_state = false

[agents.asks]
entry = "helper_tools:asks"

[agents.team]
entry = "helper_tools:team"

[agents.locks]
entry = "helper_tools:locks"

[agents.large]
entry = "helper_tools:large"
"""
TOOLS = '''
import operator
import threading
from typing import Annotated, Any

from agents import Agent
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tailrace.models.scenario import ScenarioStep
from tests.support.openai_agents_agents import Scripted


class State(MessagesState):
    notes: Annotated[list[str], operator.add]
    file: Any


def compiled(node):
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


def count(state):
    """Says its notes of all turns, and how many messages it sees."""
    text = state["messages"][-1].text
    if "crash" in text:
        raise ValueError("as asked")
    notes = [*state.get("notes", []), text]
    said = f"{' '.join(notes)}; {len(state['messages'])}"
    return {"messages": [AIMessage(said)], "notes": [text], "file": b"x" * 700_000}


def ask(state):
    text = state["messages"][-1].text
    answer = interrupt("Sure?")
    notes = [*state.get("notes", []), f"{text}={answer}"]
    return {"messages": [AIMessage(" ".join(notes))], "notes": [notes[-1]]}


counter = compiled(count)
asks = compiled(ask)
locks = compiled(lambda state: {"messages": [AIMessage("x")], "file": threading.Lock()})
large = compiled(lambda state: {"messages": [AIMessage("x")], "file": b"x" * 100_000_000})


class Bill(Scripted):
    """Names itself in each turn."""


billing = Agent(
    name="billing", model=Bill("billing", ((ScenarioStep(text="billing speaks"),),))
)
to_billing = ScenarioStep(call="transfer_to_billing", arguments={})
team = Agent(
    name="triage",
    model=Scripted("triage", ((to_billing,),)),
    handoffs=[billing],
)
'''


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with forking(
        "tailrace.runtimes.adapters.langgraph.runtime", "tests.support.openai_agents_agents"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, forks: Forks
) -> Generator[ChildServer, None, None]:
    folder = tmp_path_factory.mktemp("thread")
    child = ChildServer(folder, config=CONFIG, tools=TOOLS).start(forks=forks)
    yield child
    child.kill()


def client(server: ChildServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def test_the_next_turn_continues_the_state_of_the_turn_it_names(
    server: ChildServer, forks: Forks
) -> None:
    """Two branches of one turn do not see each other; the state outlives the process."""
    create = client(server).responses.create
    first = create(model="counter", input="a")
    assert first.output_text == "a; 1"
    second = create(model="counter", input="b", previous_response_id=first.id)
    assert second.output_text == "a b; 3"
    server.kill()
    server.start(forks=forks)
    third = create(model="counter", input="c", previous_response_id=second.id)
    assert third.output_text == "a b c; 5"
    branch = create(model="counter", input="d", previous_response_id=first.id)
    assert branch.output_text == "a d; 3"
    assert create(model="counter", input="e").output_text == "e; 1"


def test_a_conversation_is_a_thread(server: ChildServer) -> None:
    ours = client(server)
    conversation = ours.conversations.create()
    texts = [
        ours.responses.create(model="counter", input=each, conversation=conversation.id).output_text
        for each in ("a", "b", "c")
    ]
    assert texts == ["a; 1", "a b; 3", "a b c; 5"]


def test_an_agent_may_want_each_run_fresh(server: ChildServer) -> None:
    create = client(server).responses.create
    first = create(model="fresh", input="a")
    assert create(model="fresh", input="b", previous_response_id=first.id).output_text == "b; 3"


def test_a_run_that_failed_leaves_the_state_before_it(server: ChildServer) -> None:
    ours = client(server)
    conversation = ours.conversations.create()

    def send(text: str) -> Any:
        return ours.responses.create(model="counter", input=text, conversation=conversation.id)

    send("a")
    assert send("crash").status == "failed"
    assert send("b").output_text == "a b; 4"


def test_chat_and_sessions_are_threads_by_their_ids(server: ChildServer) -> None:
    chat = client(server).chat.completions
    for text, expected in (("a", "a; 1"), ("b", "a b; 3")):
        reply = chat.create(
            model="counter",
            messages=[{"role": "user", "content": text}],
            extra_body={"conversation_id": "desk"},
        )
        assert reply.choices[0].message.content == expected
    for text, expected in (("a", "a; 1"), ("b", "a b; 3")):
        body = {"agentId": "counter", "sessionId": "s", "message": text}
        lines = httpx.post(server.url + "/api/stream", json=body, timeout=20).text
        assert expected in lines


def ui(server: ChildServer, messages: list[Any]) -> tuple[str, str]:
    """The id and the text of the assistant's message."""
    body = {"id": "chat", "agent": "counter", "messages": messages}
    stream = httpx.post(server.url + "/api/chat", json=body, timeout=20).text
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    (start,) = [chunk for chunk in chunks if chunk["type"] == "start"]
    text = "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")
    return start["messageId"], text


def message(role: str, id: str, text: str) -> dict[str, Any]:
    return {"id": id, "role": role, "parts": [{"type": "text", "text": text}]}


def test_a_ui_chat_continues_the_turn_that_its_messages_name(server: ChildServer) -> None:
    """The user edits the second question and sends it again: the state is that after the first answer."""
    first = [message("user", "1", "a")]
    id, text = ui(server, first)
    assert text == "a; 1"
    first.append(message("assistant", id, text))
    id, text = ui(server, [*first, message("user", "2", "b")])
    assert text == "a b; 3"
    more = [*first, message("user", "2", "b"), message("assistant", id, text)]
    assert ui(server, [*more, message("user", "3", "c")])[1] == "a b c; 5"
    assert ui(server, [*first, message("user", "2", "edited")])[1] == "a edited; 3"


def test_an_ag_ui_thread_continues_its_state(server: ChildServer) -> None:
    messages: list[Any] = []
    for n, (text, expected) in enumerate((("a", "a; 1"), ("b", "a b; 3"))):
        messages.append({"id": str(n), "role": "user", "content": text})
        body = {"threadId": "t", "runId": f"r{n}", "messages": messages}
        stream = httpx.post(server.url + "/agui/counter", json=body, timeout=20).text
        events = [json.loads(line[6:]) for line in stream.splitlines() if line[:6] == "data: "]
        pieces = [each for each in events if each["type"] == "TEXT_MESSAGE_CONTENT"]
        said = "".join(each["delta"] for each in pieces)
        assert said == expected
        messages.append({"id": pieces[0]["messageId"], "role": "assistant", "content": said})


def test_a_turn_after_a_crash_in_a_pause_has_the_state_once(
    server: ChildServer, forks: Forks
) -> None:
    create = client(server).responses.create

    def answer(waiting: Any, text: str) -> Any:
        (call,) = [each for each in waiting.output if each.type == "function_call"]
        server.kill()
        server.start(forks=forks)
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": text}
        return create(model="asks", previous_response_id=waiting.id, input=[output])

    first = answer(create(model="asks", input="a"), "yes")
    assert first.output_text == "a=yes"
    second = create(model="asks", input="b", previous_response_id=first.id)
    assert answer(second, "no").output_text == "a=yes b=no"


def test_the_last_agent_of_a_handoff_takes_the_next_turn(server: ChildServer) -> None:
    create = client(server).responses.create
    first = create(model="team", input="my bill")
    assert first.output_text == "billing speaks"
    assert any("transfer_to_billing" in item.to_json() for item in first.output)
    second = create(model="team", input="and now", previous_response_id=first.id)
    assert second.output_text == "billing speaks"
    assert [item.type for item in second.output] == ["message"], "no second handoff"


WRONG = {
    "locks": ("The state's key 'file' cannot be stored: lock", "state_not_storable"),
    "large": (
        "more than the 67108864 that are stored; most of it is in its key 'file'",
        "state_too",
    ),
}


@pytest.mark.parametrize("agent", WRONG)
def test_a_state_that_cannot_be_stored_is_named(server: ChildServer, agent: str) -> None:
    message, code = WRONG[agent]
    job = httpx.post(f"{server.url}/jobs", json={"agent": agent, "input": "a"}).json()
    url = f"{server.url}/jobs/{job['id']}"
    while (job := httpx.get(url).json())["status"] == "in_progress":
        select_a_moment()
    assert job["status"] == "failed"
    assert message in job["error"]["message"]
    assert job["error"]["code"].startswith(code)


def test_a_conversation_may_change_its_agent(server: ChildServer) -> None:
    """The history continues; a state of another agent is not taken."""
    create = client(server).responses.create
    first = create(model="counter", input="a")
    second = create(model="team", input="b", previous_response_id=first.id)
    assert second.output_text == "billing speaks"
    third = create(model="counter", input="c", previous_response_id=second.id)
    assert third.output_text.startswith("c;")
