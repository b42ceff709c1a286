"""Agents that work on the request receive the messages that a user sends with an answer, in order."""

from __future__ import annotations

import pytest

from tailrace.events import history
from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.items import Item, Message, ToolCall, ToolOutput, text_of
from tailrace.runtimes.nodes.contract import Node
from tailrace.runtimes.nodes.deep_agent import DeepAgentNode
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.functions import tool
from tests.runtimes.test_workflow import Says, flow
from tests.support.house import House, open_house
from tests.support.logs import user
from tests.support.team import Spy, agent, call, house_of, say, task, texts

YES = Approval(0, approved=True)


@tool(approval=True)
def pay() -> str:
    """Pay."""
    return "paid"


def words(items: tuple[Item, ...]) -> list[str]:
    """A conversation, as one word for each item."""
    return [_word(item) for item in items]


def _word(item: Item) -> str:
    match item:
        case Message():
            return text_of(item.content)
        case ToolCall():
            return item.name
        case ToolOutput():
            return text_of(item.output)
        case _:
            raise AssertionError(item)


async def goes_on(house: House, run: str, answer: Approval, *said: str) -> None:
    """Start the turn that answers, and wait until it ends."""
    turn = t.RunResumed(None, tuple(user(text) for text in said))
    await house.supervisor.answer(run, (answer,), turn)
    await house.supervisor.wait(run)


async def test_the_model_gets_the_message_after_the_calls_result() -> None:
    model = Spy((call("pay"),), (call("pay"),), (say("ok"),))
    house = await house_of(agent("lead", model=model, tools=(pay,)))
    run = await house.start(text="go")
    await house.supervisor.wait(run)
    await goes_on(house, run, YES, "one", "two")
    await goes_on(house, run, Approval(1, approved=False), "three")
    state = await house.directory.state(run)
    first = ["go", "pay", "paid", "one", "two"]
    second = [*first, "pay", "A person refused this call.", "three"]
    assert [words(request.items) for request in model.asked] == [["go"], first, second]
    assert words(history.conversation(state)) == [*second, "ok"]
    assert words(history.turn(state)) == [*second, "ok"]
    await house.supervisor.close()


async def test_messages_that_come_with_two_answers_to_one_reply_keep_their_order() -> None:
    model = Spy((call("pay"), call("pay")), (say("ok"),))
    house = await house_of(agent("lead", model=model, tools=(pay,)))
    run = await house.start(text="go")
    await house.supervisor.wait(run)
    await goes_on(house, run, Approval(1, approved=True), "one")
    assert len(model.asked) == 1, "one call waits still"
    state = await house.directory.state(run)
    assert words(history.conversation(state))[-1] == "one", "a turn that goes on from here"
    await goes_on(house, run, YES, "two")
    assert words(model.asked[1].items) == ["go", "pay", "pay", "paid", "paid", "one", "two"]
    await house.supervisor.close()


async def test_a_subagent_that_asked_does_not_receive_the_message() -> None:
    below = Spy((call("pay"),), (say("it is paid"),))
    model = Spy((task("payer", "do pay"),), (say("ok"),))
    payer = agent("payer", model=below, tools=(pay,))
    house = await house_of(agent("lead", model=model, subagents=(payer,)))
    run = await house.start(text="go")
    await house.supervisor.wait(run)
    await goes_on(house, run, Approval(1, approved=True), "one")
    assert words(below.asked[1].items) == ["do pay", "pay", "paid"]
    assert words(model.asked[1].items) == ["go", "task", "it is paid", "one"]
    await house.supervisor.close()


async def test_summarised_messages_are_not_sent_again() -> None:
    model = Spy(
        (call("pay"),), (say("summary"),), (call("pay"),), (say("summary"),), (say("ok"),), input=90
    )
    house = await house_of(agent("lead", model=model, tools=(pay,), context_tokens=100))
    run = await house.start(text="go")
    await house.supervisor.wait(run)
    await goes_on(house, run, YES, "one")
    assert "one" in words(model.asked[1].items), "it is summed up with the rest"
    replaced = words(model.asked[2].items)
    assert "summary" in replaced[0]
    assert replaced.count("one") == 1
    await goes_on(house, run, Approval(1, approved=True), "two")
    assert words(model.asked[3].items)[-4:-1] == ["pay", "paid", "two"]
    assert words(model.asked[4].items).count("two") == 1
    assert texts(await house.directory.state(run)) == ["ok"]
    await house.supervisor.close()


async def test_nodes_get_a_late_message_while_they_work_or_as_input() -> None:
    """A node that has ended does not work again; one that begins later gets the message before the output
    of other nodes."""
    payer = Spy((call("pay"),), (say("it is paid"),))
    later, says = Spy((say("x"),)), Says("end")
    nodes: dict[str, Node] = {
        "pay": DeepAgentNode(agent("payer", model=payer, tools=(pay,)), "MAIN"),
        "late": DeepAgentNode(agent("late", model=later), "late"),
        "end": says,
    }
    house = await open_house(flow(nodes, late=("pay",), end=("pay",)))
    run = await house.start(text="go")
    await house.supervisor.wait(run)
    await goes_on(house, run, YES, "one")
    made = "What pay made:\n\nit is paid"
    assert words(payer.asked[1].items) == ["go", "pay", "paid", "one"]
    assert words(later.asked[0].items) == ["go", "one", made]
    assert words(says.told) == ["go", "one", made]
    await house.supervisor.close()


async def test_a_late_message_is_read_after_a_restart_and_refused_by_a_live_run() -> None:
    model = Spy((call("pay"),), (say("ok"),))
    first = await house_of(agent("lead", model=model, tools=(pay,)))
    run = await first.start(text="go")
    await first.supervisor.wait(run)
    await first.supervisor.drain()
    second = await _again(first, model)
    await goes_on(second, run, YES, "one")
    assert words(model.asked[1].items) == ["go", "pay", "paid", "one"]
    with pytest.raises(Exception, match="asks for nothing"):
        await second.supervisor.answer(run, (YES,), t.RunResumed(None, (user("two"),)))
    place = await second.supervisor.answer(run, (YES,), t.RunResumed(None, (user("one"),)))
    assert (place.turn, place.is_repeated) == (1, True)
    await second.supervisor.close()


async def _again(first: House, model: Spy) -> House:
    second = House(one_agent(agent("lead", model=model, tools=(pay,)), {}), first.store)
    await second.supervisor.open()
    return second
