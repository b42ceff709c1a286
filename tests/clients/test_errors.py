"""What the official Python SDKs raise after a model server refuses a request, and how often they send it.

The clients have their default number of retries: the status and headers of our reply must prevent useless
retries.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import anthropic
import openai
import pytest

from tests.support.refusals import DIALECTS, TABLE, config
from tests.support.refusing import ModelServer, refusing
from tests.support.servers import ChildServer


@pytest.fixture(scope="module")
def models() -> Generator[ModelServer]:
    with refusing(TABLE) as found:
        yield found


@pytest.fixture(scope="module")
def server(models: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    child = ChildServer(tmp_path_factory.mktemp("server"), config=config(models)).start()
    yield child
    child.kill()


SEEN: dict[str, tuple[str, int]] = {
    "400": ("BadRequestError", 1),
    "401": ("InternalServerError", 1),
    "402": ("InternalServerError", 1),
    "403": ("InternalServerError", 1),
    "404": ("NotFoundError", 1),
    "413": ("APIStatusError", 1),
    "422": ("UnprocessableEntityError", 1),
    "429-quota": ("RateLimitError", 1),
    "400-long": ("BadRequestError", 1),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_openais_client_raises_the_right_error_and_does_not_retry(
    server: ChildServer, models: ModelServer, surface: str, dialect: str, *, stream: bool
) -> None:
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="x")
    for name, (kind, times) in SEEN.items():
        if name == "429-quota" and dialect == "messages":
            continue  # the dialect has no such error
        if name == "400-long" and surface == "responses" and stream:
            continue  # reported in the stream, as OpenAI's servers do
        before = models.asked[f"{dialect}-{name}"]
        model = f"m-{dialect}-{name}"
        create: Any = client.responses.create
        asked: dict[str, Any] = {"input": "hi"}
        if surface == "chat":
            create = client.chat.completions.create
            asked = {"messages": [{"role": "user", "content": "hi"}]}
        with pytest.raises(getattr(openai, kind)) as caught:
            create(model=model, stream=stream, **asked)
        assert models.asked[f"{dialect}-{name}"] - before == times
        if name == "400-long":
            assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client_raises_the_right_error_and_does_not_retry(
    server: ChildServer, models: ModelServer, dialect: str, *, stream: bool
) -> None:
    client = anthropic.Anthropic(base_url=server.url, api_key="x")
    for name, (kind, times) in SEEN.items():
        if name == "429-quota" and dialect == "messages":
            continue
        before = models.asked[f"{dialect}-{name}"]
        said: Any = [{"role": "user", "content": "hi"}]
        create: Any = client.messages.create
        kind = {"APIStatusError": "RequestTooLargeError"}.get(kind, kind)
        with pytest.raises(getattr(anthropic, kind, anthropic.APIStatusError)) as caught:
            create(model=f"m-{dialect}-{name}", messages=said, max_tokens=9, stream=stream)
        assert models.asked[f"{dialect}-{name}"] - before == times
        if name == "400-long":
            assert "prompt is too long: 5000 tokens > 4096 maximum" in str(caught.value)


def test_clients_get_the_delay_before_a_retry(server: ChildServer) -> None:
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(model="m-chat-429-wait", input="hi", stream=stream)
        assert limited.value.response.headers["retry-after"] == "7"
    other = anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0)
    said: Any = [{"role": "user", "content": "hi"}]
    with pytest.raises(anthropic.APIStatusError) as busy:
        other.messages.create(model="m-messages-529", messages=said, max_tokens=9)
    assert busy.value.status_code == 529
    assert "overloaded_error" in str(busy.value)
