"""How many requests a model server receives in total, from us and from the official SDKs, before a failure
is reported."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import anthropic
import openai
import pytest

from tests.support.refusing import ModelServer, Refusal, refusing
from tests.support.servers import ChildServer

LONG = (
    b'{"error":{"code":500,"message":"the request exceeds the available context size",'
    b'"type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}'
)
PAGE = b"<html><title>Please log in</title></html>"
TABLE = {
    "too_long": Refusal(500, LONG),
    "page": Refusal(200, PAGE, {"content-type": "text/html"}),
    "nothing": Refusal(200),
    "no_content": Refusal(204),
    "right": Refusal(403, b'{"error":{"message":"Missing scopes: model.request"}}'),
}
ASKED = {"too_long": 1, "page": 2, "nothing": 2, "no_content": 2, "right": 1}
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def serving(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[ChildServer, ModelServer]]:
    with refusing(TABLE) as models:
        made = "[server]\n{server}\n"
        for name in TABLE:
            made += f'\n[models.{name}]\ndialect = "chat"\nmodel = "up"\n'
            made += f'base_url = "{models.url}/{name}"\n'
        child = ChildServer(tmp_path_factory.mktemp("server"), config=made).start()
        yield child, models
        child.kill()


def ask(url: str, sdk: str, model: str) -> None:
    """One question, as the SDK asks it by itself."""
    if sdk == "anthropic":
        with anthropic.Anthropic(base_url=url, api_key="x") as claude:
            claude.messages.create(model=model, max_tokens=9, messages=MESSAGES)
        return
    streamed: Any = sdk != "openai"
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=streamed)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("sdk", ["openai", "openai, streamed", "anthropic"])
def test_a_permanent_failure_is_not_retried_nine_times(
    serving: tuple[ChildServer, ModelServer], sdk: str, name: str
) -> None:
    child, models = serving
    models.asked.clear()
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        ask(child.url, sdk, name)
    assert models.asked[name] == ASKED[name]
    refused: Any = caught.value
    assert refused.status_code == (400 if name == "too_long" else 502)
