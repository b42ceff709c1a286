"""Graphs that interrupt in the form of the Agent Inbox get the person's response, and only an allowed one."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from tailrace.errors import BadRequest
from tailrace.events import types as t
from tailrace.events.answers import Reply
from tailrace.runtimes.adapters.langgraph import inbox
from tests.support.langgraph_agents import opened
from tests.support.team import texts

REQUEST: dict[str, Any] = {
    "action_request": {"action": "pay", "args": {"amount": 5}},
    "config": {
        "allow_accept": True,
        "allow_edit": True,
        "allow_respond": False,
        "allow_ignore": False,
    },
    "description": "Pay 5?",
}
EDIT = {"type": "edit", "args": {"action": "pay", "args": {"amount": 3}}}


def graph(*, several: bool) -> Any:
    def pay(state: MessagesState) -> Any:
        response = interrupt([REQUEST])[0] if several else interrupt(REQUEST)
        amount = response["args"]["args"]["amount"] if response["type"] == "edit" else 5
        return {"messages": [AIMessage(f"paid {amount}")]}

    built = StateGraph(MessagesState)
    built.add_node("pay", pay)
    built.add_edge(START, "pay")
    return built.compile()


@pytest.mark.parametrize("several", [False, True])
async def test_a_response_reaches_the_graph_as_the_person_gave_it(several: bool) -> None:
    house = await opened(graph(several=several))
    name = await house.start()
    state = await house.finished(name)
    (question,) = state.questions.values()
    assert question.message == "Pay 5?"
    refused: list[Any] = [{"type": "ignore"}, {"type": "response", "args": "no"}, {}, "yes"]
    for response in refused:
        answer = Reply(question.request_id, [response] if several else response)
        with pytest.raises(BadRequest, match="does not fit"):
            await house.supervisor.answer(name, (answer,))
    house = await opened(graph(several=several), house)
    answer = Reply(question.request_id, [EDIT] if several else EDIT)
    await house.supervisor.answer(name, (answer,))
    state = await house.finished(name)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["paid 3"]
    await house.supervisor.close()


@pytest.mark.parametrize(
    "value",
    ["What?", {"question": "What?"}, [], [REQUEST, "What?"], {**REQUEST, "config": None}, None],
)
def test_another_interrupt_is_not_taken_for_one(value: object) -> None:
    assert (inbox.requests(value), inbox.message(value), inbox.schema(value)) == ([], "", None)


def test_a_request_without_a_description_shows_its_action() -> None:
    assert inbox.message({**REQUEST, "description": None}) == 'pay({"amount":5})'
