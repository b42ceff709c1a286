"""Records of every version are read: current ones and those without a version; newer ones are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.auth.tokens import SHAPE as TOKEN
from tailrace.auth.tokens import Token
from tailrace.errors import Unreadable
from tailrace.events.versions import Shape, pack_entry, unpack_entry
from tailrace.runs import (
    accounts,
    concurrency,
    conversations,
    directory,
    submission,
    sweeping,
    turns,
)
from tailrace.runs.conversations import Conversation
from tailrace.runs.directory import RunRecord

SHAPES: list[Shape[Any]] = [
    TOKEN,
    accounts.SHAPE,
    conversations.SHAPE,
    directory.SHAPE,
    concurrency.SHAPE,
    submission.SHAPE,
    sweeping.SHAPE,
    turns.SHAPE,
]
RUN = RunRecord(run="r", agent="a", surface="chat", tenant="t")
OLD: list[tuple[Shape[Any], bytes, Any]] = [
    # the form before there were versions
    (directory.SHAPE, b'{"run":"r","agent":"a","surface":"chat","tenant":"t"}', RUN),
    (
        conversations.SHAPE,
        b'{"id":"c","tenant":"t","user":"","created":1,"metadata":{},"entries":[],"count":0}',
        Conversation(id="c", tenant="t", created=1),
    ),
    (TOKEN, b'{"id":"i","name":"n","tenant":"t"}', Token(id="i", name="n", tenant="t")),
    (concurrency.SHAPE, b'{"01k":5}', {"01k": 5}),
    (concurrency.SHAPE, b'{"v":1,"01k":5}', {"01k": 5}),
]


class _Person(msgspec.Struct):
    first: str
    last: str


PERSON = Shape(
    "person",
    _Person,
    version=3,
    upgrades={
        1: lambda name: {"name": name},  # formerly a plain text
        2: lambda old: dict(zip(("first", "last"), old["name"].split(" ", 1), strict=True)),
    },
)


@pytest.mark.parametrize(
    ("shape", "value", "said"), OLD, ids=lambda each: getattr(each, "name", "")
)
def test_what_has_no_version_is_of_the_first(shape: Shape[Any], value: bytes, said: Any) -> None:
    assert shape.decode(value) == said
    again = shape.encode(said)
    assert again.startswith(b'{"v":1')
    assert shape.decode(again) == said


def test_a_turn_of_version_1_is_a_bare_number() -> None:
    now = turns.SHAPE.decode(b'{"v":2,"by":"","until":17}')
    assert turns.SHAPE.decode(b"17") == now
    assert turns.SHAPE.decode(b'{"by":"","until":17}') == now


@pytest.mark.parametrize(
    "value",
    [
        b'"Ada Lovelace"',
        b'{"v":2,"name":"Ada Lovelace"}',
        b'{"v":3,"first":"Ada","last":"Lovelace"}',
    ],
)
def test_each_older_version_becomes_todays(value: bytes) -> None:
    found = PERSON.decode(value)
    assert (found.first, found.last) == ("Ada", "Lovelace")
    assert PERSON.encode(found) == b'{"v":3,"first":"Ada","last":"Lovelace"}'


@pytest.mark.parametrize("shape", [*SHAPES, PERSON], ids=lambda shape: shape.name)
@pytest.mark.parametrize("version", [b"4", b"99", b"99999999999999999999"])
def test_a_newer_version_is_refused_by_name(shape: Shape[Any], version: bytes) -> None:
    with pytest.raises(Unreadable, match=r"newer tailrace|no number"):
        shape.decode(b'{"v":%b,"run":"r"}' % version)


@pytest.mark.parametrize("shape", [*SHAPES, PERSON], ids=lambda shape: shape.name)
@pytest.mark.parametrize(
    "value",
    [b"", b"\xff\xfe", b"[]", b"{", b'{"v":"1"}', b'{"v":0}', b'{"v":-7}', b'{"v":null}', b'"x"'],
)
def test_rubbish_is_refused_with_no_other_exception(shape: Shape[Any], value: bytes) -> None:
    with pytest.raises(Unreadable):
        shape.decode(value)


def test_what_runtimes_keep_has_a_version_too() -> None:
    entry = ("asked", "id", [1, b"\x00"], True)
    said = ["asked", "id", [1, b"\x00"], True]
    assert unpack_entry(pack_entry(entry)) == said
    assert unpack_entry(msgspec.msgpack.encode(entry)) == said
    for bad in (msgspec.msgpack.encode((2, entry)), b"\xc1", b""):
        with pytest.raises(Unreadable):
            unpack_entry(bad)
