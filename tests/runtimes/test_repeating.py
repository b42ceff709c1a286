"""A reply that a crash cut off is repeated or replaced.

A repetition continues it as without a crash, on every surface; another reply abandons it, and each place
that holds the answer holds it once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import history, stored
from tailrace.events import types as t
from tailrace.events.items import Message, ProviderItem, text_of
from tailrace.events.state import fold
from tailrace.protocols.anthropic_messages import reply as messages_reply
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.node_stream import reply as job_reply
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tailrace.runtimes.node_lifecycle import NODE, ModelReply
from tests.protocols.test_transcripts import SURFACES
from tests.support.logs import RUN, TS
from tests.support.writing import Payloads, Writing

SHOWN = [name for name in SURFACES if name != "native"]
"""Surfaces that do not show attempts."""

WORDS = st.text("abc ", min_size=1, max_size=4)
ODDS = st.floats(-9, 0, width=32).map(lambda p: {"token": "A", "logprob": p})
NOTE = st.integers(0, 3).map(lambda n: {"type": "url_citation", "url": f"http://a/{n}"})
DETAILS = st.sampled_from(({}, {"chat": {"message": {"x": 1}}}))


@st.composite
def replies(draw: Any) -> Payloads:
    """A complete reply of a model: its items one after the other, or two at the same time."""
    items = [draw(_item(number)) for number in range(draw(st.integers(1, 4)))]
    if len(items) > 1 and draw(st.booleans()):  # the first two are open at the same time
        items[:2] = [_mixed(draw, items[0], items[1])]
    calls = any(
        isinstance(p, t.ItemStarted) and p.kind == "tool_call" for p in itertools.chain(*items)
    )
    usage = t.Usage("fast", input=1, output=2, finish="tool_calls" if calls else "stop")
    return [*itertools.chain(*items), usage]


def _mixed(draw: Any, first: Payloads, second: Payloads) -> Payloads:
    mixed: Payloads = [first[0], second[0]]
    left = [first[1:], second[1:]]
    while left[0] or left[1]:
        source = draw(st.sampled_from([each for each in left if each]))
        mixed.append(source.pop(0))
    return mixed


@st.composite
def _item(draw: Any, number: int) -> Payloads:
    kind: t.ItemKind = draw(st.sampled_from(("message", "reasoning", "tool_call", "provider")))
    made: Payloads = []
    match kind:
        case "message":
            for part in range(draw(st.integers(0, 3))):
                if draw(st.booleans()):
                    made += [t.RefusalDelta(number, word, part) for word in draw(_words())]
                    continue
                for word in draw(_words()):
                    made.append(t.TextDelta(number, word, part))
                    made += [
                        t.AnnotationAdded(number, note, part)
                        for note in draw(st.lists(NOTE, max_size=1))
                    ]
        case "reasoning":
            summary = draw(st.booleans())
            delta = t.ReasoningSummaryDelta if summary else t.ReasoningDelta
            for part in range(draw(st.integers(0, 2))):
                made += [delta(number, word, part) for word in draw(_words())]
        case "tool_call":
            made += [t.ArgumentsDelta(number, word) for word in draw(_words())]
            start = t.ItemStarted(number, "tool_call", name="find", call_id=f"call_{number}")
            return [start, *made, t.ItemCompleted(number)]
        case "provider":
            data = {"type": "web_search_call", "id": f"ws_{number}", "status": "completed"}
            item = ProviderItem(dialect="responses", data=data)
            start = t.ItemStarted(number, "provider", dialect="responses", data=data)
            return [start, t.ItemCompleted(number, content=item)]
        case _:
            raise AssertionError(kind)
    start = t.ItemStarted(number, kind)
    return [start, *made, t.ItemCompleted(number, details=draw(DETAILS))]


def _words() -> st.SearchStrategy[list[str]]:
    return st.lists(WORDS, min_size=1, max_size=3)


def _point(reply: Payloads, number: int) -> int:
    """The number of payloads before a reply is cut: never in a server's own item, whose pieces no log
    keeps."""
    points: list[int] = []
    open_items: set[int] = set()
    for place, payload in enumerate(reply):
        if not open_items:
            points.append(place)
        if isinstance(payload, t.ItemStarted) and payload.kind == "provider":
            open_items.add(payload.item)
        elif isinstance(payload, t.ItemCompleted):
            open_items.discard(payload.item)
    return points[number % len(points)]


@given(reply=replies(), cuts=st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_a_reply_that_is_repeated_continues(reply: Payloads, cuts: list[int]) -> None:
    """However often and wherever its worker dies, a reader sees neither more nor less than without a
    death."""
    undisturbed, disturbed = Writing(), Writing()
    undisturbed.say(reply)
    for cut in cuts:
        disturbed.say(reply, _point(reply, cut))
        disturbed.die()
    disturbed.say(reply)
    assert not any(isinstance(each.payload, t.ReplyAbandoned) for each in disturbed.events)
    before, after = undisturbed.end(), disturbed.end()
    for name in SHOWN:
        assert SURFACES[name](after) == SURFACES[name](before), name
    known, told = fold(before), fold(after)
    assert history.made_by(told) == history.made_by(known)
    assert job_reply.job(RUN, told).count(b'"incomplete"') == 0


@given(reply=replies(), cut=st.integers(0, 40), pieces=st.data())
def test_the_pieces_of_a_text_and_the_ids_do_not_matter(
    reply: Payloads, cut: int, pieces: st.DataObject
) -> None:
    disturbed = Writing()
    disturbed.say(reply, _point(reply, cut))
    disturbed.die()
    disturbed.say(_otherwise(reply, pieces))
    assert not any(isinstance(each.payload, t.ReplyAbandoned) for each in disturbed.events)
    undisturbed = Writing()
    undisturbed.say(reply)
    assert _said(disturbed.end()) == _said(undisturbed.end())


def _otherwise(reply: Payloads, pieces: st.DataObject) -> Payloads:
    """The same reply in other pieces, with other ids for its calls and items."""
    made: Payloads = []
    for payload in reply:
        match payload:
            case t.TextDelta() | t.ReasoningDelta() | t.ArgumentsDelta() if len(payload.text) > 1:
                at = pieces.draw(st.integers(1, len(payload.text) - 1))
                made += [
                    msgspec.structs.replace(payload, text=payload.text[:at]),
                    msgspec.structs.replace(payload, text=payload.text[at:]),
                ]
            case t.ItemStarted(kind="tool_call"):
                made.append(msgspec.structs.replace(payload, call_id=f"other_{payload.item}"))
            case t.ItemStarted(kind="provider"):
                made.append(msgspec.structs.replace(payload, data={**payload.data, "id": "other"}))
            case t.ItemCompleted(content=ProviderItem() as item):
                data = {**item.data, "id": "other"}
                content = ProviderItem(dialect=item.dialect, data=data)
                made.append(msgspec.structs.replace(payload, content=content))
            case _:
                made.append(payload)
    return made


def _said(events: list[t.Event]) -> list[Any]:
    """The content of a run's items, without ids, signatures and the like, which differ in each reply (ADR
    17)."""
    found: list[Any] = []
    for item in history.made_by(fold(events)):
        shown: Any = msgspec.to_builtins(item)
        shown.pop("call_id", None)
        shown.pop("details", None)
        shown.get("data", {}).pop("id", None)
        found.append(shown)
    return found


@given(first=replies(), cut=st.integers(1, 40), second=replies())
def test_another_reply_leaves_no_trace_in_what_holds_the_answer(
    first: Payloads, cut: int, second: Payloads
) -> None:
    """Documents, history and final states hold the reply of the new attempt once, whatever it says."""
    _leaves_no_trace(first[: cut % len(first)], second)


def test_a_citation_of_another_part_is_not_repeated() -> None:
    note = {"type": "url_citation", "url": "http://a/0"}
    start, done = t.ItemStarted(0, "message"), t.ItemCompleted(0)
    first: Payloads = [start, t.TextDelta(0, "a", 0), t.AnnotationAdded(0, note, 0)]
    again: Payloads = [start, t.TextDelta(0, "aa", 0), t.TextDelta(0, "b", 1)]
    again += [t.AnnotationAdded(0, note, 1), done]
    _leaves_no_trace(first, [*again, t.Usage("fast", finish="stop")])


def test_a_message_does_not_grow_behind_a_later_one() -> None:
    first: Payloads = [*(t.ItemStarted(item, "message") for item in (0, 1))]
    first += [t.TextDelta(0, "a"), t.TextDelta(1, "b")]
    again: Payloads = [*_text(0, "a", "c"), t.ItemCompleted(0), *_text(1, "b"), t.ItemCompleted(1)]
    _leaves_no_trace(first, [*again, t.Usage("fast", finish="stop")])


def _leaves_no_trace(cut: Payloads, reply: Payloads) -> None:
    run, alone = Writing(), Writing()
    run.say(cut)
    run.die()
    run.say(reply)
    alone.say(reply)
    after, before = run.end(), alone.end()
    assert history.made_by(fold(after)) == history.made_by(fold(before)) or _continued(after)
    assert _said(after) == _said(before)
    for name, read in DOCUMENTS.items():
        assert read(after) == read(before), name


def _continued(events: list[t.Event]) -> bool:
    return not any(isinstance(each.payload, t.ReplyAbandoned) for each in events)


def _responses_text(events: list[t.Event]) -> Any:
    """The text of the last event's Response object, which a client can also retrieve."""
    frames = responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions()).encode(events)
    last = msgspec.json.decode(frames[-2].split(b"data: ", 1)[1])["response"]
    return [
        part.get("text", part.get("refusal"))
        for item in last["output"]
        if item["type"] == "message"
        for part in item["content"]
    ]


def _chat_text(events: list[t.Event]) -> Any:
    document, status = chat_reply.completion(RUN, events, chat.ChatStreamOptions())
    assert status == 200
    message = msgspec.json.decode(document)["choices"][0]["message"]
    # Whether an absent text is `""` or null is a detail: it is that of the reply that was shown first.
    return message["content"] or None, message["refusal"], message.get("reasoning_content")


def _messages_text(events: list[t.Event]) -> Any:
    document, status = messages_reply.message(RUN, events, messages.MessagesStreamOptions())
    assert status == 200
    blocks = msgspec.json.decode(document)["content"]
    # An empty thinking block has only details (a signature): those of the reply that was shown first.
    texts = [block.get("text", block.get("thinking")) for block in blocks]
    return [text for text in texts if text != ""]


DOCUMENTS: dict[str, Callable[[list[t.Event]], Any]] = {
    "responses": _responses_text,
    "chat": _chat_text,
    "messages": _messages_text,
    "job": lambda events: msgspec.json.decode(job_reply.job(RUN, fold(events)))["output_text"],
}


def _text(item: int, *words: str) -> Payloads:
    return [t.ItemStarted(item, "message"), *(t.TextDelta(item, word) for word in words)]


USAGE = t.Usage("fast")
DIFFERENT: dict[str, tuple[Payloads, Payloads]] = {
    "another word": (_text(0, "He", "llo"), [*_text(0, "Hear"), t.ItemCompleted(0), USAGE]),
    "less": (_text(0, "Hello"), [*_text(0, "Hell"), t.ItemCompleted(0), USAGE]),
    "nothing": (_text(0, "Hello"), [USAGE]),
    "another kind": (
        _text(0, "Hello"),
        [t.ItemStarted(0, "reasoning"), t.ReasoningDelta(0, "Hello"), t.ItemCompleted(0), USAGE],
    ),
    "more of what was whole": (
        [*_text(0, "Hi"), t.ItemCompleted(0)],
        [*_text(0, "Hi", "!"), t.ItemCompleted(0), USAGE],
    ),
    "another tool": (
        [t.ItemStarted(0, "tool_call", name="pay", call_id="a"), t.ArgumentsDelta(0, "{")],
        [
            t.ItemStarted(0, "tool_call", name="ask", call_id="a"),
            t.ArgumentsDelta(0, "{}"),
            t.ItemCompleted(0),
            USAGE,
        ],
    ),
    "half a picture": (
        [t.ItemStarted(0, "image"), t.ImagePartial(0, "iVBO")],
        [
            t.ItemStarted(0, "image"),
            t.ImagePartial(0, "iVBO"),
            t.ItemCompleted(0, content=Message(role="assistant")),
            USAGE,
        ],
    ),
    "another part": (
        [*_text(0, "Hi"), t.TextDelta(0, "you", 1)],
        [*_text(0, "Hi"), t.RefusalDelta(0, "you", 1), t.ItemCompleted(0), USAGE],
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_reply_with_another_text_is_another_reply(name: str) -> None:
    shown, again = DIFFERENT[name]
    run = Writing()
    run.say([*shown, t.ItemCompleted(0), USAGE], len(shown))
    run.die()
    run.say(again)
    assert sum(isinstance(each.payload, t.ReplyAbandoned) for each in run.events) == 1
    assert run.state.items[0].abandoned
    run.end()


def test_fields_of_a_reply_belong_to_that_reply() -> None:
    """Signatures differ in each reply, and so does the content of a prompt's cache; the first values stay."""

    def reply(which: str) -> Payloads:
        about = {"messages": {"reply": {"id": which, "usage": {"cache_read_input_tokens": which}}}}
        signed = {"messages": {"signature": which}}
        thought: Payloads = [
            t.ItemStarted(0, "reasoning", details=about),
            t.ReasoningDelta(0, "Hm"),
            t.ItemCompleted(0, details=signed),
        ]
        return [*thought, *_text(1, "He", "llo"), t.ItemCompleted(1), USAGE]

    run = Writing()
    run.say(reply("A"), 5)
    run.die()
    run.say(reply("B"))
    assert not any(isinstance(each.payload, t.ReplyAbandoned) for each in run.events)
    thought, message = history.made_by(fold(run.end()))
    assert thought.details == {"messages": {"signature": "A"}}
    assert isinstance(message, Message)
    assert text_of(message.content) == "Hello"


def test_nothing_is_shown_while_a_reply_repeats_and_nothing_late_after_that() -> None:
    run = Writing()
    run.say(_text(0, "so ", "far"))
    run.die()
    before = len(run.events)
    reply = ModelReply(run.state)
    number = 0
    for word in ("s", "o f"):
        run.add(reply.convert(_text(number, word)[0 if word == "s" else 1 :]))
        assert len(run.events) == before
    run.add(reply.convert([t.TextDelta(number, "ar away")]))
    assert [event.payload for event in run.events[before:]] == [t.TextDelta(0, " away")]


def test_what_a_crash_leaves_of_an_abandoned_reply_is_closed_by_the_next_attempt() -> None:
    """The frame that abandons a reply may be the last one that its worker writes."""
    run = Writing()
    run.say(_text(0, "so far"))
    run.die()
    run.add([t.Draft(t.ReplyAbandoned(), NODE, t.MAIN)])
    run.die()
    assert not run.state.open
    run.say([*_text(0, "anew"), t.ItemCompleted(0), USAGE])
    made = history.made_by(fold(run.end()))
    assert [text_of(item.content) for item in made if isinstance(item, Message)] == ["anew"]


def test_a_log_of_an_earlier_release_abandons_at_the_attempt() -> None:
    """Its attempts do not keep replies."""
    old = stored.line(t.Event(5, TS, "", "", t.RunAttempt(2, "restarted")))
    assert b"keeps_replies" not in old
    run = Writing()
    run.say(_text(0, "so far"))
    run.add([t.Draft(t.RunAttempt(2, "restarted"))])
    assert run.state.items[0].abandoned
    assert not run.state.cut_items((NODE, t.MAIN))
