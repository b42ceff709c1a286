"""A run as the history of the next model call or of the next turn.

It differs from the stream in one point: the beginning of a model reply whose worker died was streamed, but
the reply was never completed, so it is in no history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

import msgspec

from tailrace.events.grammar import PENDING_TOOL
from tailrace.events.item_state import ItemState
from tailrace.events.items import (
    Item,
    Message,
    ProviderItem,
    Reasoning,
    TextPart,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.events.request import RunRequest
from tailrace.events.resumptions import Resumption, input_during
from tailrace.events.state import RunState, fold
from tailrace.events.types import MAIN, Event, RunAttempt, RunCompleted

NOT_RUN = "Not run so far: it waits for a person."


def made_by(state: RunState, agent: str = MAIN, after: int = 0) -> tuple[Item, ...]:
    """The output of `agent` in this run, reply by reply: its items, then the outputs of its calls.

    Replies up to number `after` are omitted.
    """
    return tuple(thing for _, reply in _replies(state, agent, after) for thing in _reply(reply))


def conversation(
    state: RunState,
    agent: str = MAIN,
    begin: tuple[Item, ...] | None = None,
    node: str | None = None,
) -> tuple[Item, ...]:
    """The context of an agent: its input and its output, or their summary.

    `begin` is the input; by default the run's own: earlier turns and this turn's input. With a `node`,
    messages that were sent with answers before the node started are not repeated: they are in `begin`.
    """
    if agent in state.compactions:
        replies, resumptions, replacement = state.compactions[agent]
        return (*replacement, *_made_and_heard(state, agent, node, replies, resumptions))
    if begin is None:
        request = state.start_request()
        begin = (*request.history, *request.input)
    return (*begin, *_made_and_heard(state, agent, node))


def turn(state: RunState) -> tuple[Item, ...]:
    """The items that a run adds to its conversation: its input, the output of its main agent, messages sent
    with answers."""
    return (*state.start_request().input, *_made_and_heard(state, MAIN))


def _made_and_heard(
    state: RunState, agent: str, node: str | None = None, replies: int = 0, resumptions: int = 0
) -> Iterator[Item]:
    """As `made_by`, with the messages that came with answers: each after the replies that preceded it. The
    first `replies` and `resumptions` are omitted."""
    left = input_heard(state, agent, node, resumptions)
    for begins, reply in _replies(state, agent, replies):
        while left and left[0].items <= begins:
            yield from left.pop(0).input
        yield from _reply(reply)
    for each in left:
        yield from each.input


def input_heard(
    state: RunState, agent: str, node: str | None = None, after: int = 0
) -> list[Resumption]:
    """The resumptions whose messages an agent received while it worked, without the first `after`. A subagent
    receives messages only from its parent."""
    if any(entry.id == agent and entry.parent for entry in state.registry):
        return []
    return input_during(state.resumptions[after:], node)


def answering_agents(state: RunState) -> set[str]:
    """The main agent, and the agents that speak in its place: agents in a node of its graph, which no call
    started. The answer of an agent that a call started is the output of the call."""
    with_call = {id for ids in state.dispatches.values() for id in ids}
    speakers = (entry.id for entry in state.registry if entry.kind == "main")
    return {MAIN, *(id for id in speakers if id not in with_call)}


def _replies(state: RunState, agent: str, after: int) -> list[tuple[int, list[ItemState]]]:
    """An agent's replies after number `after`: where each begins in the run, and its items. Replies of agents
    that speak in the place of the main agent are among its own."""
    agents = answering_agents(state) if agent == MAIN else {agent}
    by_reply: dict[tuple[str, int], tuple[int, list[ItemState]]] = {}
    for number, item in enumerate(state.items):
        least = after if item.agent == agent else 0
        if item.agent in agents and item.reply > least and not item.abandoned:
            by_reply.setdefault((item.agent, item.reply), (number, []))[1].append(item)
    if agents == {agent}:
        return [by_reply[key] for key in sorted(by_reply)]
    return sorted(by_reply.values(), key=lambda reply: reply[0])


def as_known(state: RunState, later: RunState) -> RunState:
    """An earlier state of a run, with the outputs that its waiting calls have received since: a turn that
    continues from it must not see a call that ran as one that did not."""
    for item, now in zip(state.items, later.items, strict=False):
        if item.tool in PENDING_TOOL:
            item.output = now.output
    return state


def lasting(events: Sequence[Event]) -> Sequence[Event]:
    """A complete log for a reader that gets one answer at its end: without replies that were replaced."""
    if not any(isinstance(event.payload, RunAttempt) for event in events):
        return events
    hidden_items = replaced_items(fold(events))
    return [event for event in events if getattr(event.payload, "item", None) not in hidden_items]


def replaced_items(state: RunState) -> set[int]:
    """The items of replies that a crash interrupted and another reply replaced. In a run that did not
    complete, an interrupted reply without a later complete one is not among them: it may be the only one."""
    whole: dict[tuple[str, str], int] = {}
    for number, item in enumerate(state.items):
        if item.reply and not item.abandoned:
            whole[item.node, item.agent] = number
    completed = isinstance(state.end, RunCompleted)
    return {
        number
        for number, item in enumerate(state.items)
        if item.abandoned and (completed or whole.get((item.node, item.agent), -1) > number)
    }


def without_repeats(history: Sequence[Item], turn: Sequence[Item]) -> tuple[Item, ...]:
    """The part of a turn's input that the conversation does not have yet: clients that name an earlier turn
    often send the turns before it as well.

    Texts are compared without white space, and consecutive texts of an assistant as one, because some
    surfaces show several messages as one; calls are compared by their ids.
    """
    history_texts = [text for text, _ in _texts(history)]
    turn_texts = _texts(turn)
    start = 0
    if (
        history_texts and history_texts[-1][0] == "assistant"
    ):  # the same question again is not a repeated history
        count = _overlap([text for text, _ in turn_texts], history_texts)
        start = turn_texts[count - 1][1] + 1 if count else 0
    calls = {item.call_id for item in history if isinstance(item, ToolCall)}
    outputs = {item.call_id for item in history if isinstance(item, ToolOutput)}
    systems = {_words(item) for item in history if _is_system(item)}
    systems_in_turn = [
        item for item in turn[:start] if _is_system(item) and _words(item) not in systems
    ]
    return tuple(
        item
        for item in (*systems_in_turn, *turn[start:])
        if not (isinstance(item, ToolCall) and item.call_id in calls)
        and not (isinstance(item, ToolOutput) and item.call_id in outputs)
    )


def said_besides(
    request: RunRequest, messages_sent: Sequence[Item], *, whole: bool = False
) -> tuple[Item, ...]:
    """The new messages of a turn that answers the run of `request`: those after the last output of an agent.

    `messages_sent` are the items that the client sent. With `whole` they are the conversation from its
    beginning: if they have no output of an agent, the run's own input is not new.
    """
    first = behind_agents(messages_sent)
    messages = [item for item in messages_sent[first:] if isinstance(item, Message)]
    if whole and not first:
        history_texts = [text for text, _ in _texts((*request.history, *request.input))]
        turn_texts = _texts(messages)
        count = _overlap([text for text, _ in turn_texts], history_texts)
        messages = messages[turn_texts[count - 1][1] + 1 if count else 0 :]
    return tuple(messages)


def behind_agents(items: Sequence[Item]) -> int:
    """The position in a client's list after the last output of an agent."""
    positions = (n for n, item in enumerate(items) if _is_agents(item))
    return max(positions, default=-1) + 1


def _is_agents(item: Item) -> bool:
    match item:
        case Message():
            return item.role == "assistant"
        case Reasoning() | ToolCall():
            return True
        case ToolOutput():
            return False
        case ProviderItem():
            return not str(item.data.get("type", "")).endswith(CLIENTS)
        case _:
            assert_never(item)


CLIENTS = ("_output", "_response")
"""The endings of the types of items that clients make: outputs of calls, answers to approval requests."""


def _texts(items: Sequence[Item]) -> list[tuple[tuple[str, str], int]]:
    """(role and text, position) of each message; consecutive messages of an assistant are one."""
    joined_texts: list[tuple[str, list[str], int]] = []
    for position, item in enumerate(items):
        if not isinstance(item, Message) or _is_system(item):
            continue
        texts: list[str] = []
        if item.role == "assistant" and joined_texts and joined_texts[-1][0] == "assistant":
            texts = joined_texts.pop()[1]
        texts += text_of(item.content).split()
        joined_texts.append((item.role, texts, position))
    return [((role, "".join(texts)), position) for role, texts, position in joined_texts]


def _overlap(begin: Sequence[tuple[str, str]], end: Sequence[tuple[str, str]]) -> int:
    """The length of the longest beginning of `begin` that ends `end`, in linear time (Knuth, Morris and
    Pratt): a client chooses both."""
    names: dict[tuple[str, str], int] = {}
    begin_numbers = [names.setdefault(text, len(names)) for text in begin]
    end_numbers = (
        [names.setdefault(text, len(names)) for text in end[-len(begin) :]] if begin else []
    )
    borders: list[int] = []
    for name in begin_numbers:
        count = _longer(begin_numbers, borders, borders[-1], name) if borders else 0
        borders.append(count)
    count = 0
    for name in end_numbers:
        count = _longer(begin_numbers, borders, count, name)
    return count


def _longer(begin_numbers: Sequence[int], borders: Sequence[int], count: int, name: int) -> int:
    """The length of the beginning of `begin_numbers` that ends the sequence after one more `name`; before it
    was `count`."""
    while count and (count == len(begin_numbers) or begin_numbers[count] != name):
        count = borders[count - 1]
    return count + (begin_numbers[count] == name)


def _words(item: Item) -> bytes:
    """An item without the fields that only one dialect has, as bytes for a comparison."""
    return msgspec.json.encode(msgspec.structs.replace(item, details={}))


def _is_system(item: Item) -> bool:
    return isinstance(item, Message) and item.role in ("system", "developer")


def _reply(items: list[ItemState]) -> Iterator[Item]:
    for item in items:
        if item.content is not None and (item.status == "completed" or not _is_call(item)):
            yield item.content
    for item in items:
        if not isinstance(item.content, ToolCall):
            continue
        if item.output is not None:
            yield _output(item.content, item.output.output, is_error=item.output.is_error)
        elif (
            item.tool in PENDING_TOOL
        ):  # the run waits, and a turn continues from here without its output
            yield _output(item.content, NOT_RUN, is_error=True)


def _output(call: ToolCall, text: str, *, is_error: bool) -> ToolOutput:
    return ToolOutput(call_id=call.call_id, output=(TextPart(text),), is_error=is_error)


def _is_call(item: ItemState) -> bool:
    """Whether a call was cut off: its arguments are incomplete, and model servers refuse it."""
    return item.started.kind == "tool_call"
