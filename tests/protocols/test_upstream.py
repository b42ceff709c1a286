"""Rules common to all upstream dialects: what an event is, what fails, and how near-JSON and replies that
are not streams are read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import ToolCall
from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode() if name else f"data: {data}\n\n".encode()


REPLIES: dict[str, list[bytes]] = {
    "chat": [
        _event(
            "", '{"id":"c","choices":[{"index":0,"delta":{"content":"o@"},"finish_reason":null}]}'
        ),
        _event(
            "", '{"id":"c","choices":[{"index":0,"delta":{"content":"@k"},"finish_reason":null}]}'
        ),
        _event("", '{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
        _event("", "[DONE]"),
    ],
    "responses": [
        _event("", '{"type":"response.created","response":{"id":"r","error":null}}'),
        _event(
            "",
            '{"type":"response.output_item.added","output_index":0,'
            '"item":{"type":"message","id":"m"}}',
        ),
        _event(
            "",
            '{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"o@"}',
        ),
        _event(
            "",
            '{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"@k"}',
        ),
        _event(
            "",
            '{"type":"response.output_item.done","output_index":0,'
            '"item":{"type":"message","id":"m","content":[{"type":"output_text","text":"o@@k"}]}}',
        ),
        _event("", '{"type":"response.completed","response":{"id":"r","status":"completed"}}'),
    ],
    "messages": [
        _event("message_start", '{"type":"message_start","message":{"id":"m","usage":{}}}'),
        _event(
            "content_block_start",
            '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        ),
        _event(
            "content_block_delta",
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"o@"}}',
        ),
        _event(
            "content_block_delta",
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@k"}}',
        ),
        _event("content_block_stop", '{"type":"content_block_stop","index":0}'),
        _event(
            "message_delta",
            '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}',
        ),
        _event("message_stop", '{"type":"message_stop"}'),
    ],
}
"""A complete reply of each dialect that says "ok" in two pieces; `@` marks where more can be inserted."""


def play(dialect: str, data: bytes, size: int = 0) -> tuple[str, ModelFailed | None]:
    """The text of a reply and its failure; the data is fed in pieces of this size."""
    decoder = CODECS[dialect].decoder("m")
    made: list[t.Payload] = []
    for start in range(0, len(data), size or len(data) or 1):
        made += decoder.feed(data[start : start + (size or len(data))])
    made += decoder.close()
    assert decoder.done == (decoder.failure is None)
    return said(made), decoder.failure


def said(payloads: Sequence[t.Payload]) -> str:
    return "".join(p.text for p in payloads if isinstance(p, t.TextDelta))


def reply(dialect: str, more: Sequence[str] = ("", "")) -> list[bytes]:
    made = iter(more)
    return [
        b"".join(
            part if n == 0 else next(made).encode() + part
            for n, part in enumerate(frame.split(b"@"))
        )
        if b"done" not in frame
        else frame.replace(b"@@", b"")
        for frame in REPLIES[dialect]
    ]


SAYS_NOTHING = {
    "no data": b"data\n\n",
    "empty data": b"data: \n\n",
    "blank data": b"data:   \n\n",
    "a comment": b": ping\n\n",
    "a ping without data": b"event: ping\n\n",
    "a ping with empty data": b"event: ping\ndata:\n\n",
    "a ping with a word": b"event: ping\ndata: ping\n\n",
    "a ping with an object": b'event: ping\ndata: {"time": 5}\n\n',
    "a ping that says so": b'event: ping\ndata: {"message": "alive"}\n\n',
    "a ping by its type": b'data: {"type": "ping"}\n\n',
    "a keepalive": b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n',
    "a keep-alive": b"event: keep-alive\ndata: 1\n\n",
    "a heartbeat": b"event: heartbeat\ndata: {}\n\n",
    "a word": b"data: [HEARTBEAT]\n\n",
    "null": b"data: null\n\n",
    "a number": b"data: 1763690000\n\n",
    "an empty list": b"data: []\n\n",
    "an id alone": b"id: 7\n\n",
}


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_events_without_content_change_nothing(dialect: str, name: str) -> None:
    frames = reply(dialect)
    for place in range(len(frames)):
        with_it = b"".join([*frames[:place], SAYS_NOTHING[name], *frames[place:]])
        assert play(dialect, with_it) == ("ok", None)


REPORTS: dict[str, tuple[bytes, str]] = {
    "an error object": (b'data: {"error":{"message":"too hot","code":500}}\n\n', "too hot"),
    "an error text": (b'data: {"error":"too hot"}\n\n', "too hot"),
    "an object that is one": (b'data: {"object":"error","message":"too hot"}\n\n', "too hot"),
    "an error list": (b'data: {"error":[{"message":"too hot"}]}\n\n', "too hot"),
    "a list of one": (b'data: [{"error":{"code":503,"message":"too hot"}}]\n\n', "too hot"),
    "a named event": (b'event: error\ndata: {"message":"too hot"}\n\n', "too hot"),
    "a named event of words": (b"event: error\ndata: too hot\n\n", "too hot"),
    "a named event of a text": (b'event: error\ndata: "too hot"\n\n', "too hot"),
    "a named event without data": (b"event: error\n\n", "reported an error"),
    "a named event of nothing": (b"event: error\ndata: {}\n\n", "reported an error"),
    "nested": (b'event: error\ndata: {"error":{"error":{"message":"too hot"}}}\n\n', "too hot"),
    "a type": (b'data: {"type":"error","error":{"message":"too hot"}}\n\n', "too hot"),
    "another field": (b'error: {"code":500,"message":"too hot"}\n\n', "too hot"),
    "no field": (b'{"error":{"message":"too hot"}}\n\n', "too hot"),
    "words": (b"data: Internal Server Error\n\n", "cannot be read: it is not JSON: Internal"),
    "a cut object": (b'data: {"choices":[{"de\n\n', "cannot be read: it is not JSON"),
}


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("name", REPORTS)
def test_what_reports_a_failure_is_one(dialect: str, name: str) -> None:
    frames = reply(dialect)
    event, words = REPORTS[name]
    for place in range(len(frames) - 1):
        _, failure = play(dialect, b"".join([*frames[:place], event, *frames[place:]]))
        assert failure is not None
        assert words in failure.message


CODES = [
    (503, "server_error", True),
    (429, "rate_limit_exceeded", True),
    ("overloaded_error", "overloaded_error", True),
    (400, "invalid_prompt", False),
    ("context_length_exceeded", "context_length_exceeded", False),
]


@pytest.mark.parametrize(("code", "means", "again"), CODES)
def test_a_reported_code_keeps_its_meaning(code: str | int, means: str, *, again: bool) -> None:
    said = f'"{code}"' if isinstance(code, str) else code
    for data in (f'{{"error":{{"code":{said}}}}}', f'{{"object":"error","code":{said}}}'):
        _, failure = play("chat", f"data: {data}\n\n".encode())
        assert failure is not None
        assert (failure.code, failure.retryable) == (means, again)


@pytest.mark.parametrize("dialect", CODECS)
def test_done_is_the_end(dialect: str) -> None:
    """A `[DONE]` before the end of a reply is a failure, and later data is ignored."""
    _, failure = play(dialect, b"data: [DONE]\n\n" + b"".join(reply(dialect)))
    assert failure is not None
    assert failure.retryable
    assert play(dialect, b"".join(reply(dialect)) + b"data: [DONE]\n\n") == ("ok", None)


NO_STREAM: dict[str, tuple[bytes, str]] = {
    "an error": (b'{"error": {"message": "model overloaded", "code": 503}}', "model overloaded"),
    "an error in lines": (b'{\n  "error": {\n    "message": "too hot"\n  }\n}\n', "too hot"),
    "a detail": (b'{"detail": "Not Found"}', "Not Found"),
    "a page": (
        b"<html>\n<head><title>502 Bad Gateway</title></head>\n\n<body>x</body></html>",
        "a page instead of a stream: 502 Bad Gateway",
    ),
    "a text": (b"upstream connect error", "a text instead of a stream: upstream connect error"),
}


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("name", NO_STREAM)
@pytest.mark.parametrize("size", [0, 1])
def test_a_reply_that_is_not_a_stream_is_reported_with_its_reason(
    dialect: str, name: str, size: int
) -> None:
    body, words = NO_STREAM[name]
    text, failure = play(dialect, body, size)
    assert text == ""
    assert failure is not None
    if not (name == "a detail" and dialect != "chat"):
        assert words in failure.message


@pytest.mark.parametrize("dialect", CODECS)
def test_the_last_event_needs_no_blank_line(dialect: str) -> None:
    assert play(dialect, b"".join(reply(dialect)).rstrip(b"\n")) == ("ok", None)


@pytest.mark.parametrize("dialect", CODECS)
def test_a_reply_that_is_cut_anywhere_is_no_success(dialect: str) -> None:
    data = b"".join(reply(dialect))
    reason = {"chat": b'"stop"', "messages": b'"end_turn"'}  # after it the reply is complete
    end = data.index(reason[dialect]) if dialect in reason else data.rindex(b"data:")
    for cut in range(0, end, 7):
        _, failure = play(dialect, data[:cut])
        assert failure is not None
        assert "ended in the middle" in failure.message or "instead of" in failure.message


HALVES = [
    ("\\ud83d", "\\ude00", "o\U0001f600k"),
    ("\\ud83d", "", "o\ufffdk"),
    ("", "\\ude00", "o\ufffdk"),
    ("\\ud83d", "\\ud83d", "o\ufffd\ufffdk"),
    ("\\ud83d\\ude00", "", "o\U0001f600k"),
    ("\\ude00", "\\ud83d", "o\ufffd\ufffdk"),
]


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize(("first", "second", "text"), HALVES)
def test_halves_of_characters_find_each_other(
    dialect: str, first: str, second: str, text: str
) -> None:
    assert play(dialect, b"".join(reply(dialect, (first, second)))) == (text, None)


@pytest.mark.parametrize("dialect", CODECS)
@given(data=st.data())
def test_texts_cut_between_any_units_are_whole(dialect: str, data: st.DataObject) -> None:
    """A text of any characters, from a server that counts in UTF-16, cut in two at any place."""
    nobodys = [
        chr(each) for each in range(0x10D800, 0x10E000)
    ]  # the encoding of surrogate halves (`loose_json.py`)
    text = data.draw(st.text(st.characters(codec="utf-8", exclude_characters=nobodys), max_size=6))
    units = [
        text.encode("utf-16-be")[n : n + 2] for n in range(0, len(text.encode("utf-16-be")), 2)
    ]
    cut = data.draw(st.integers(0, len(units)))
    pieces = ["".join(f"\\u{unit.hex()}" for unit in half) for half in (units[:cut], units[cut:])]
    assert play(dialect, b"".join(reply(dialect, pieces))) == (f"o{text}k", None)


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("odd", [b"\x80", b"\xff\xfe", b"\x01", b"\xf0\x9f\x98"])
def test_bytes_that_are_not_text_are_read(dialect: str, odd: bytes) -> None:
    text, failure = play(dialect, b"".join(reply(dialect)).replace(b'"k"', b'"' + odd + b'k"'))
    assert failure is None
    assert text == "o" + odd.decode("utf-8", "replace") + "k"


@given(junk=st.binary(max_size=60), place=st.integers(0, 3))
@pytest.mark.parametrize("dialect", CODECS)
def test_no_message_has_the_text_of_an_exception(dialect: str, junk: bytes, place: int) -> None:
    frames = reply(dialect)
    data = b"".join([*frames[:place], b"data: {" + junk + b"\n\n", *frames[place:]])
    _, failure = play(dialect, data)
    if failure is not None:
        python = ("object has no", "not subscriptable", "expected `", "invalid literal", "`$")
        assert not any(word in failure.message.lower() for word in python)


# calls without arguments


def _calls(dialect: str, said: Sequence[str]) -> list[bytes]:
    """A reply that calls `f`, whose arguments come in these pieces."""
    if dialect == "chat":
        call = '{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":%s}}'
        pieces = [call % json.dumps(piece) for piece in said or ("",)]
        chunk = '{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[%s]},"finish_reason":%s}]}'
        return [
            *(_event("", chunk % (piece, "null")) for piece in pieces),
            _event("", chunk % ("", '"tool_calls"')),
        ]
    if dialect == "messages":
        delta = '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",'
        return [
            _event("", '{"type":"message_start","message":{"id":"m","usage":{}}}'),
            _event(
                "",
                '{"type":"content_block_start","index":0,'
                '"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}',
            ),
            *(_event("", f'{delta}"partial_json":{json.dumps(piece)}}}}}') for piece in said),
            _event("", '{"type":"content_block_stop","index":0}'),
            _event("", '{"type":"message_delta","delta":{"stop_reason":"tool_use"}}'),
            _event("", '{"type":"message_stop"}'),
        ]
    whole = json.dumps("".join(said))
    item = '{"type":"function_call","id":"i","call_id":"c","name":"f","arguments":%s}'
    place = '"output_index":0,"item_id":"i"'
    return [
        _event(
            "", f'{{"type":"response.output_item.added",{place},"item":{item % json.dumps("")}}}'
        ),
        *(
            _event(
                "",
                f'{{"type":"response.function_call_arguments.delta",{place},'
                f'"delta":{json.dumps(piece)}}}',
            )
            for piece in said
        ),
        _event("", f'{{"type":"response.output_item.done",{place},"item":{item % whole}}}'),
        _event(
            "",
            '{"type":"response.completed","response":{"id":"r","status":"completed",'
            f'"output":[{item % whole}]}}}}',
        ),
    ]


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("said", [(), ("",), ("", ""), (" ",), ("\n", " ")])
def test_a_call_without_arguments_has_an_empty_object(dialect: str, said: Sequence[str]) -> None:
    decoder = CODECS[dialect].decoder("m")
    made = [*decoder.feed(b"".join(_calls(dialect, said))), *decoder.close()]
    assert decoder.failure is None
    arguments = "".join(p.text for p in made if isinstance(p, t.ArgumentsDelta))
    assert arguments.strip() == "{}"
    assert [type(p) for p in made if not isinstance(p, t.ArgumentsDelta)] == [
        t.ItemStarted,
        t.ItemCompleted,
        t.Usage,
    ]


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("said", [('{"a":', "", "1}"), ("", '{"a":1}'), ("{", "}"), (" {}",)])
def test_a_call_with_arguments_has_them(dialect: str, said: Sequence[str]) -> None:
    decoder = CODECS[dialect].decoder("m")
    made = [*decoder.feed(b"".join(_calls(dialect, said))), *decoder.close()]
    assert "".join(p.text for p in made if isinstance(p, t.ArgumentsDelta)) == "".join(said)


@pytest.mark.parametrize("dialect", CODECS)
def test_a_call_without_arguments_goes_back_with_an_empty_object(dialect: str) -> None:
    """A call that the client of another dialect sends with empty arguments."""
    call = ToolCall(call_id="c", name="f", arguments="", details={})
    made = json.loads(CODECS[dialect].request(ModelRequest(items=(call,)), "m").body)
    match dialect:
        case "chat":
            assert made["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"
        case "messages":
            assert made["messages"][0]["content"][0]["input"] == {}
        case _:
            assert made["input"][0]["arguments"] == "{}"
