"""Values against schemas: the result equals that of another validator, takes bounded work, and is defined
for invalid schemas too."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tailrace.errors import BadRequest
from tailrace.events.answers import reply
from tailrace.events.schema_shapes import NoSchema, fault
from tailrace.events.schemas import QUICK, misfits, mismatch
from tailrace.events.types import InputRequested
from tailrace.events.work import Overspent, WorkBudget
from tests.support.schemas import ATTACKS, SCHEMAS, VALUES

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("value", "schema", "wrong"),
    [
        ({"n": 1}, OBJECT, ""),
        ({"n": "1"}, OBJECT, "'1' is not of type 'integer' at $.n"),
        ({}, OBJECT, "'n' is a required property at $"),
        ([{"n": [1, 1.0]}], {"items": {"properties": {"n": {"uniqueItems": True}}}}, "$[0].n"),
        ("anything", None, ""),
        ("anything", {}, ""),
        (1, False, "1 is not allowed at $"),
        # draft 7, as in use
        (["a", 1], {"items": [{"type": "string"}, {"type": "string"}]}, "$[1]"),
        (["a", 1], {"items": [True], "additionalItems": False}, "$[1]"),
        ({"a": 1}, {"dependencies": {"a": ["b"]}}, "'b' is a dependency of 'a'"),
        ({"a": 1}, {"dependencies": {"a": {"required": ["b"]}}}, "'b' is a required property"),
        (1, {"$ref": "#/definitions/s", "definitions": {"s": {"type": "string"}}}, "$"),
    ],
)
def test_what_fits(value: Any, schema: Any, wrong: str) -> None:
    assert wrong in mismatch(value, schema)
    assert bool(mismatch(value, schema)) == bool(wrong)


@given(value=VALUES, schema=SCHEMAS)
def test_another_validator_agrees(value: Any, schema: Any) -> None:
    assert (mismatch(value, schema) == "") == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": 7}, "/type must be one of"),
        ("no schema", "the schema must be an object"),
        (
            {"properties": {"a": {"minLength": -1}}},
            "/properties/a/minLength must be a whole number",
        ),
        ({"items": {"anyOf": {}}}, "/items/anyOf must be a list of schemas"),
        ({"properties": []}, "/properties must be an object of schemas"),
        ({"required": "a"}, "/required must be a list of strings"),
        ({"$ref": "#/nowhere"}, "/$ref refers to '/nowhere', which is not in the schema"),
        ({"$ref": "http://[/#x"}, "/$ref must be a URI reference"),
        (
            {"properties": {"a/b": {"pattern": "(?=a)b"}}},
            "/properties/a~1b/pattern is a pattern that",
        ),
        ({"patternProperties": {r"(a)\1": {}}}, "refers back to a group"),
        ({"properties": {str(i): {} for i in range(50_000)}}, "too large"),
    ],
)
def test_an_invalid_schema_is_refused_by_its_position(schema: Any, words: str) -> None:
    assert words in fault(schema)
    with pytest.raises((NoSchema, Overspent)):
        mismatch("anything", schema)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_schema_takes_more_than_it_may(name: str) -> None:
    """The check ends in bounded work, with a result or without one; it never continues beyond the bound."""
    schema, value = ATTACKS[name]
    work = WorkBudget(QUICK)
    try:
        mismatch(value, schema, work)
    except (NoSchema, Overspent):
        return
    assert work.left >= 0


@given(schema=SCHEMAS, value=VALUES, units=st.integers(0, 60))
def test_less_work_gives_the_same_answer_or_none(schema: Any, value: Any, units: int) -> None:
    try:
        found = mismatch(value, schema, WorkBudget(units))
    except Overspent:
        return
    assert found == mismatch(value, schema)


def test_a_schema_that_never_ends_is_none() -> None:
    with pytest.raises(NoSchema, match="refers to itself"):
        mismatch(1, {"$ref": "#"})


def test_a_message_never_repeats_a_large_value() -> None:
    assert len(mismatch(["x" * 10_000_000], {"type": "string"})) < 200
    assert len(mismatch("x" * 10_000_000, {"type": "integer"})) < 200
    assert len(mismatch({"k" * 10_000: 1}, {"additionalProperties": False})) < 300


def test_texts_are_json_first() -> None:
    texts = ['{"n": 1}', '{"n": "x"}', "{", "[" * 100_000]
    fits, unfit, broken, deep = misfits(texts, OBJECT, WorkBudget(QUICK))
    assert fits == ""
    assert "$.n" in unfit
    assert "truncated" in broken
    assert deep == "it is nested too deep"


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret"
        with pytest.raises(NoSchema, match="is not in the schema"):
            mismatch(1, {"$ref": url})
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "integer"}, 5),
        ("5", {"type": "string"}, "5"),
        ('{"n": 1}', OBJECT, {"n": 1}),
        ("five", {"type": "integer"}, "five"),
        ("[" * 100_000, {"type": "integer"}, "[" * 100_000),
        ("5", None, "5"),
        ("5", {"type": 7}, "5"),
    ],
)
def test_a_text_answer_is_converted_to_the_requested_type(
    text: str, schema: Any, value: Any
) -> None:
    assert reply(InputRequested("q", "?", schema), text).value == value


def test_an_answer_that_takes_too_long_to_check_is_refused() -> None:
    schema, value = ATTACKS["references that double"]
    with pytest.raises(BadRequest, match="takes too long to check"):
        reply(InputRequested("q", "?", schema), msgspec.json.encode(value).decode())
