"""The official OpenAI client, with schemas that are designed to stop the server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import openai
import pytest

from tests.support.schemas import doubling
from tests.support.servers import CONFIG, ChildServer

EVIL = {"type": "string", "pattern": "^(a+)+$"}
SCENARIO = f"""
[[replies]]
steps = [{{ text = '"{"a" * 40}b"' }}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    folder: Path = tmp_path_factory.mktemp("schemas")
    child = ChildServer(folder, config=CONFIG, scenario=SCENARIO).start()
    yield child
    child.kill()
    assert "the event loop is blocked" not in child.errors()
    assert "Traceback" not in child.errors()


@pytest.fixture
def client(server: ChildServer) -> Generator[openai.OpenAI, None, None]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30
    ) as made:
        yield made


def chat(client: openai.OpenAI, schema: dict[str, Any], model: str = "helper") -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "go"}],
        response_format=cast("Any", form),
    )


def respond(client: openai.OpenAI, schema: dict[str, Any], model: str = "helper") -> Any:
    form = {"type": "json_schema", "name": "answer", "schema": schema}
    return client.responses.create(model=model, input="go", text=cast("Any", {"format": form}))


def test_a_backtracking_pattern_is_matched_in_linear_time(client: openai.OpenAI) -> None:
    """The answer nearly fits: the server requests it again, and the run fails in the end."""
    reply = respond(client, EVIL)
    assert reply.status == "failed"
    assert "did not fit the schema in 3 tries" in reply.error.message


def test_references_that_double_end_the_run(client: openai.OpenAI) -> None:
    reply = respond(client, doubling(40))
    assert reply.status == "failed"
    assert reply.error.message == "The answer takes more than 5 s to check against its schema."
    assert client.models.list().data, "it serves"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"properties": {"a": {"pattern": "(?=a)b"}}},
            "/properties/a/pattern is a pattern that looks",
        ),
        ({"type": 7}, "/type must be one of"),
        ({"$ref": "https://nowhere.test/x"}, "/$ref refers to"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_it_runs(
    client: openai.OpenAI, schema: dict[str, Any], words: str
) -> None:
    for ask, param in (
        (chat, "response_format.json_schema.schema"),
        (respond, "text.format.schema"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, schema)
        assert words in str(caught.value)
        assert caught.value.param == param
        assert caught.value.code == "invalid_json_schema"


def test_a_served_model_gets_the_request_unchanged(client: openai.OpenAI) -> None:
    """A served model's own server checks the schema."""
    assert chat(client, {"pattern": "(?=a)b"}, "script").choices[0].message.content
    assert respond(client, {"type": 7}, "script").status == "completed"
