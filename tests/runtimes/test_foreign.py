"""A library's exception for a model server's refusal has the refusal's meaning, without its words."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic_ai.exceptions import ModelHTTPError

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.runtimes.adapters.generator.run import Run
from tailrace.runtimes.adapters.generator.runtime import GeneratorRuntime
from tailrace.runtimes.foreign import model_failure, without_server_words
from tests.support.house import open_house

SECRET = "canary words"


def response(status: int, **headers: str) -> Any:
    return httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://m.test"))


def of_openai(status: int, code: str = "", **headers: str) -> openai.APIStatusError:
    body = {"message": SECRET, "type": "invalid_request_error", "param": "model", "code": code}
    kind: Any = {404: openai.NotFoundError, 429: openai.RateLimitError}.get(
        status, openai.APIStatusError
    )
    made: openai.APIStatusError = kind(SECRET, response=response(status, **headers), body=body)
    return made


def of_anthropic(status: int, kind: str) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"type": kind, "message": SECRET}}
    return anthropic.APIStatusError(SECRET, response=response(status), body=body)


RAISED: dict[str, tuple[Exception, tuple[int, str, float | None]]] = {
    "a model that is not there": (
        of_openai(404, "model_not_found"),
        (404, "model_not_found", None),
    ),
    "a limit": (
        of_openai(429, "rate_limit_exceeded", **{"retry-after": "7"}),
        (429, "rate_limit_exceeded", 7.0),
    ),
    "a key": (of_openai(401, "invalid_api_key"), (401, "upstream_auth_failed", None)),
    "too much to do": (of_anthropic(529, "overloaded_error"), (529, "overloaded_error", None)),
    "Pydantic AI": (
        ModelHTTPError(400, "m", {"error": {"code": "context_length_exceeded", "message": SECRET}}),
        (400, "context_length_exceeded", None),
    ),
}


@pytest.mark.parametrize("name", RAISED)
async def test_a_refusal_keeps_its_meaning_through_a_library(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, expected = RAISED[name]

    async def agent(run: Run) -> AsyncGenerator[str, None]:
        yield ""
        raise error

    with caplog.at_level(logging.WARNING):
        house = await open_house(GeneratorRuntime("helper", agent))
        end = (await house.finished(await house.start())).end
        await house.supervisor.close()
    assert isinstance(end, t.RunFailed)
    assert (end.status, end.code, end.retry_after) == expected
    assert SECRET not in end.message
    assert SECRET in caplog.text


class Teapot(Exception):
    """An author's own exception, which has a status."""

    status_code = 418


@pytest.mark.parametrize("error", [Teapot("x"), ValueError("x"), openai.OpenAIError("x")])
def test_other_exceptions_are_no_refusals(error: Exception) -> None:
    assert model_failure(error) is None


def test_what_is_kept_back_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    said = ModelFailed(
        "The model server answered 404: " + SECRET, public="It answered 404.", status=404
    )
    with caplog.at_level(logging.WARNING):
        told = without_server_words(said, "r1")
    assert (told.message, told.status) == ("It answered 404.", 404)
    assert f"run r1: The model server answered 404: {SECRET}" in caplog.text
    ours = ModelFailed("The model server cannot be reached.")
    assert without_server_words(ours, "r1") is ours
