"""Replies of Responses servers: a well-formed stream, and the ways in which servers differ. Each oddity
keeps the content. The reply is sent in many forms; the result must be the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Event = dict[str, Any]
Item = dict[str, Any]
Oddity = Callable[[list[Event]], list[Event]]

TEXTS = st.text(alphabet="abé \n😀", min_size=1, max_size=9)
ARGUMENTS = st.sampled_from(("{}", '{"a": 1}', '{"city":"Oslo","n":[1,2]}'))
MORE = st.sampled_from(({}, {}, {"novel": 1}, {"signature": "gA", "marks": [{"a": None}]}))
"""Fields of a part that this file does not name."""
CITE = {"type": "url_citation", "url": "http://a/", "title": "A", "start_index": 0, "end_index": 1}


def items() -> st.SearchStrategy[list[Item]]:
    """The complete items that a server may output; ids and texts are its own and all different."""
    kinds = st.one_of(_messages(), _reasoning(), _calls(), st.sampled_from(PROVIDER))
    return st.lists(kinds, max_size=4).map(_numbered)


def _numbered(made: Sequence[Item]) -> list[Item]:
    numbered: list[Item] = []
    for n, item in enumerate(made):
        call = {"call_id": f"call_{n}"} if "call_id" in item else {}
        numbered.append({**item, **call, "id": f"id_{n}"})
        for part in [*item.get("content", ()), *item.get("summary", ())]:
            for field in {"text", "refusal"} & set(part):
                part[field] = f"{n}{part[field]}"
    return numbered


def _messages() -> st.SearchStrategy[Item]:
    text = st.builds(
        lambda text, cites, more: {
            "type": "output_text",
            "text": text,
            "annotations": cites,
            **more,
        },
        TEXTS,
        st.lists(st.just(CITE), max_size=1),
        MORE,
    )
    refusal = st.builds(
        lambda text, more: {"type": "refusal", "refusal": text, **more}, TEXTS, MORE
    )
    return st.builds(
        lambda content: {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": content,
        },
        st.lists(text | refusal, min_size=1, max_size=2),
    )


def _reasoning() -> st.SearchStrategy[Item]:
    summary = st.builds(lambda text, m: {"type": "summary_text", "text": text, **m}, TEXTS, MORE)
    content = st.builds(lambda text, m: {"type": "reasoning_text", "text": text, **m}, TEXTS, MORE)
    return st.builds(
        lambda summary, content: {
            "type": "reasoning",
            "summary": summary,
            "content": content,
            "encrypted_content": "gA",
        },
        st.lists(summary, min_size=1, max_size=2),
        st.lists(content, max_size=1),
    )


def _calls() -> st.SearchStrategy[Item]:
    function = st.builds(
        lambda name, arguments, more: {
            "type": "function_call",
            "call_id": "",
            "name": name,
            "arguments": arguments,
            "status": "completed",
            **more,
        },
        st.sampled_from(("find", "price")),
        ARGUMENTS,
        st.sampled_from(({}, {"namespace": "n", "caller": {"type": "direct"}, "async": True})),
    )
    custom = st.builds(
        lambda text: {"type": "custom_tool_call", "call_id": "", "name": "patch", "input": text},
        TEXTS,
    )
    return function | custom


PROVIDER: list[Item] = [
    {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q", "queries": ["q"]},
    },
    {
        "type": "code_interpreter_call",
        "status": "completed",
        "code": "1+1",
        "container_id": "c",
        "outputs": [{"type": "logs", "logs": "2"}],
    },
    {"type": "compaction", "encrypted_content": "gA"},
    {
        "type": "shell_call",
        "status": "completed",
        "call_id": "",
        "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None},
    },
    {"type": "program", "call_id": "", "code": "1", "fingerprint": "f"},
]


def told(whole: Sequence[Item]) -> list[Event]:
    """A reply as OpenAI streams it: piece by piece, with all content three times."""
    events: list[Event] = [_response("response.created", [], "in_progress")]
    for n, item in enumerate(whole):
        place = {"output_index": n}
        named = {**place, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", **place, "item": _begun(item)})
        events += [{**named, **event} for event in _grown(item)]
        events.append({"type": "response.output_item.done", **place, "item": item})
    events.append(_response("response.completed", list(whole), "completed"))
    return events


def _response(kind: str, output: list[Item], status: str) -> Event:
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    return {
        "type": kind,
        "response": {
            "id": "resp_up",
            "object": "response",
            "created_at": 1,
            "status": status,
            "model": "up",
            "output": output,
            "usage": usage if status == "completed" else None,
            "error": None,
        },
    }


def _begun(item: Item) -> Item:
    empty = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}
    begun = {name: empty.get(name, value) for name, value in item.items()}
    return {name: value for name, value in begun.items() if name != "encrypted_content"}


def _grown(item: Item) -> list[Event]:
    events: list[Event] = []

    def say(name: str, field: str, text: str, **place: Any) -> None:
        half = len(text) // 2
        kind = f"response.{name}.delta"
        pieces = filter(None, (text[:half], text[half:]))
        events.extend({"type": kind, "delta": piece, **place} for piece in pieces)
        events.append({"type": f"response.{name}.done", field: text, **place})

    if item["type"] == "function_call":
        say("function_call_arguments", "arguments", item["arguments"])
    elif item["type"] == "custom_tool_call":
        say("custom_tool_call_input", "input", item["input"])
    for n, part in enumerate(item.get("summary", ())):
        place = {"summary_index": n}
        zero = {"type": "summary_text", "text": ""}
        events.append({"type": "response.reasoning_summary_part.added", **place, "part": zero})
        say("reasoning_summary_text", "text", part["text"], **place)
        events.append({"type": "response.reasoning_summary_part.done", **place, "part": part})
    for n, part in enumerate(item.get("content", ())):
        place = {"content_index": n}
        field = "refusal" if part["type"] == "refusal" else "text"
        cites: Event = {"annotations": []} if "annotations" in part else {}
        zero = {**part, field: "", **cites}
        events.append({"type": "response.content_part.added", **place, "part": zero})
        say(part["type"], field, part[field], **place)
        for k, cite in enumerate(part.get("annotations", ())):
            kind = "response.output_text.annotation.added"
            added = {"type": kind, "annotation_index": k, "annotation": cite, **place}
            events.insert(len(events) - 1, added)
        events.append({"type": "response.content_part.done", **place, "part": part})
    return events


def wire(events: Sequence[Event]) -> bytes:
    """Events as a server writes them."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event.get("type", "").encode(), json.dumps(event).encode())
        for event in ({**event, "sequence_number": n} for n, event in enumerate(events))
    )


# variations


def _drop(*endings: str) -> Oddity:
    return lambda events: [event for event in events if not event["type"].endswith(endings)]


def _without(*fields: str) -> Oddity:
    return lambda events: [
        {name: value for name, value in event.items() if name not in fields} for event in events
    ]


def _each_item(change: Callable[[Item], Item], *kinds: str) -> Oddity:
    def odd(events: list[Event]) -> list[Event]:
        return [
            {**event, "item": change(event["item"])} if event["type"].endswith(kinds) else event
            for event in events
        ]

    return odd


def _last(change: Callable[[Item], Item]) -> Oddity:
    def odd(events: list[Event]) -> list[Event]:
        response = events[-1]["response"]
        output = [change(item) for item in response["output"]]
        return [*events[:-1], {**events[-1], "response": {**response, "output": output}}]

    return odd


def _no_output(events: list[Event]) -> list[Event]:
    return [*events[:-1], {**events[-1], "response": {**events[-1]["response"], "output": []}}]


def _same_index(events: list[Event]) -> list[Event]:
    return [{**event, "output_index": 0} if "output_index" in event else event for event in events]


def _other_ids(events: list[Event]) -> list[Event]:
    """The ids of the final response are not those of the stream."""
    return _last(lambda item: {**item, "id": f"x{item['id']}"})(events)


def _twice(events: list[Event]) -> list[Event]:
    made: list[Event] = []
    for event in events:
        again = event["type"].startswith("response.output_item")
        made += [event, event] if again else [event]
    return made


def _pings(events: list[Event]) -> list[Event]:
    odd: list[Event] = [
        {"type": "keepalive"},
        {"type": "acme:trace", "output_index": None, "item_id": None},
        {"type": "response.novel.delta", "delta": 3},
    ]
    return [made for event in events for made in (event, *odd)][: -len(odd)]


def _null_fields(events: list[Event]) -> list[Event]:
    odd: Event = {"logprobs": None, "obfuscation": 1.5, "novel": {}, "content_index": 0}
    return [{**odd, **event} for event in events]


def _bare_done(events: list[Event]) -> list[Event]:
    """Messages and calls whose finished item lacks their content."""
    gone = ("content", "arguments", "input")
    change = _each_item(
        lambda item: (
            item
            if item["type"] == "reasoning"
            else {k: v for k, v in item.items() if k not in gone}
        ),
        "item.done",
    )
    return change(events)


ODDITIES: dict[str, Oddity] = {
    "nothing odd": lambda events: events,
    "no deltas": _drop(".delta"),
    "items whole when they are done": _drop(".delta", "_part.added", "_part.done"),
    "no dones of texts": _drop("text.done", "refusal.done", "arguments.done", "input.done"),
    "no parts": _drop("part.added", "part.done"),
    "no beginnings": _drop("output_item.added"),
    "no ends of items": _drop("output_item.done"),
    "only the final response": lambda events: [events[0], events[-1]],
    "only the final response and texts": _drop("output_item.added", "output_item.done"),
    "an empty final output": _no_output,
    "all at index 0": _same_index,
    "no indexes": _without("output_index"),
    "no names of items": _without("item_id"),
    "other ids in the final response": _other_ids,
    "said twice": _twice,
    "events nobody knows": _pings,
    "odd fields": _null_fields,
    "done without content": _bare_done,
    "content only in the final response": lambda events: _bare_done(
        _drop(".delta", "text.done", "refusal.done", "arguments.done", "input.done", "part.done")(
            events
        )
    ),
}
"""Ways in which servers differ; none alone removes content."""
