"""kill -9 at every write of a graph with a state of its own, an approval that a person edits and a question:
the next turn sees the state once."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.test_langgraph import _Client
from tests.support.forks import Forks, forking
from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{server}

[agents.lead]
entry = "helper_tools:graph"
"""

AGENTS = '''
import operator
from pathlib import Path
from typing import Annotated

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.support.langgraph_agents import agent, note_of
from tests.support.specs import spec
from tests.support.team import call, say

note = note_of(Path(__file__).parent / "effects.txt")


def order(what: str) -> str:
    """Order a thing, which must not happen twice."""
    note("order " + what)
    return f"ordered {what}"


class State(MessagesState):
    notes: Annotated[list[str], operator.add]


def begin(state):
    return {"notes": [state["messages"][-1].text]}


def ask(state):
    colour = interrupt("Which colour?")
    return {"notes": [colour]}


def conclude(state):
    return {"messages": [AIMessage("notes: " + " ".join(state["notes"]))]}


buyer = agent(
    spec(
        "buyer",
        (call("order", what="hat"),),
        (say("Bought."),),
        tools=(order,),
        approve=frozenset({"order"}),
    )
)
builder = StateGraph(State)
for name, node in {"begin": begin, "buyer": buyer, "ask": ask, "conclude": conclude}.items():
    builder.add_node(name, node)
builder.add_edge(START, "begin")
builder.add_edge("begin", "buyer")
builder.add_edge("buyer", "ask")
builder.add_edge("ask", "conclude")
graph = builder.compile()
'''


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with forking(
        "tailrace.runtimes.adapters.langgraph.runtime", "tests.support.langgraph_agents"
    ) as made:
        yield made


def _turn(client: _Client, text: str, colour: str, previous: str) -> str:
    """One turn: an edited approval, then a question. Returns the id of its last response."""
    body: dict[str, Any] = {"model": "lead", "input": text, "background": True}
    if previous:
        body["previous_response_id"] = previous
    key = {"idempotency-key": f"turn {text}"}
    made = client.call("POST", "/v1/responses", json=body, headers=key).json()
    run = str(made["id"]).removeprefix("resp_")
    client.whole(f"resp_{run}")
    (asked,) = client.call("GET", f"/jobs/job_{run}").json()["waiting_for"]
    edit = {"item": asked["item"], "approved": True, "arguments": {"what": f"scarf {text}"}}
    client.call("POST", f"/jobs/job_{run}/input", json=edit)
    client.whole(f"resp_{run}_2")
    (asked,) = client.call("GET", f"/jobs/job_{run}").json()["waiting_for"]
    answer = {"request_id": asked["request_id"], "value": colour}
    client.call("POST", f"/jobs/job_{run}/input", json=answer)
    client.whole(f"resp_{run}_3")
    return f"resp_{run}_3"


def _text(client: _Client, response: str) -> str:
    document = client.call("GET", f"/v1/responses/{response}").json()
    assert document["status"] == "completed", json.dumps(document)[:2000]
    text: str = document["output"][-1]["content"][0]["text"]
    return text


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(2, 80, 6))
def test_the_next_turn_sees_the_state_once(
    tmp_path: Path, forks: Forks, number: int, side: str
) -> None:
    """The server dies at commit `number`, the next one at its own fifth, in either turn."""
    server = ChildServer(tmp_path, config=CONFIG, tools=AGENTS)
    client = _Client(server, [(number, side), (5, side)], forks)
    try:
        first = _turn(client, "one", "red", "")
        assert _text(client, first) == "notes: one red"
        second = _turn(client, "two", "blue", first)
        assert _text(client, second) == "notes: one red two blue"
        branch = _turn(client, "three", "green", first)
        assert _text(client, branch) == "notes: one red three green"
    finally:
        server.kill()
    assert client.kills == 2
    effects = (tmp_path / "effects.txt").read_text(encoding="utf-8").splitlines()
    orders = [f"order scarf {text}" for text in ("one", "two", "three")]
    assert set(effects) <= set(orders)
    for order in orders:
        assert effects.count(order) <= 1
