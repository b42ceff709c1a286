"""Values against schemas, also against what only looks like one."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tailrace.events.answers import reply
from tailrace.events.schemas import mismatch
from tailrace.events.types import InputRequested

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("value", "schema", "wrong"),
    [
        ({"n": 1}, OBJECT, ""),
        ({"n": "1"}, OBJECT, "'1' is not of type 'integer' at $.n"),
        ("anything", None, ""),
        ("anything", "no schema", ""),
        ("anything", {"type": 7}, ""),
        ("anything", {"$ref": "#"}, ""),
    ],
)
def test_what_fits(value: Any, schema: Any, wrong: str) -> None:
    assert mismatch(value, schema) == wrong


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret"
        assert mismatch(1, {"$ref": url}) == ""
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "integer"}, 5),
        ("5", {"type": "string"}, "5"),
        ('{"n": 1}', OBJECT, {"n": 1}),
        ("five", {"type": "integer"}, "five"),
        ("5", None, "5"),
    ],
)
def test_words_are_taken_as_what_was_asked_for(text: str, schema: Any, value: Any) -> None:
    assert reply(InputRequested("q", "?", schema), text).value == value
