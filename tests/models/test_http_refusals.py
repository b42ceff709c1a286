"""The error that a client gets for a model server's refusal: its text, without keys, and the number of
tries."""

from __future__ import annotations

import logging

import pytest

from tailrace.errors import ModelFailed
from tailrace.events.items import Item, Message, ProviderItem, ProviderPart, ToolOutput
from tailrace.events.request import ModelRequest, Settings
from tailrace.models.http import Timeouts
from tests.models.test_http import ASKED, REPLY, SECRET, answers, asking, status
from tests.support.logs import user
from tests.support.upstreams import HEAD, Serve, upstream


async def refused(url: str, *, retries: int = 0) -> ModelFailed:
    model = asking(url, retries, Timeouts(20, 20, 20))
    with pytest.raises(ModelFailed) as caught:
        async for _ in model.stream(ASKED):
            pass
    await model.close()
    return caught.value


async def test_a_refusal_is_reported_with_all_its_fields() -> None:
    body = b'{"error":{"message":"no","type":"kind","param":"model","code":"no_such_model"}}'
    async with upstream(status(404, body, b"retry-after: 7\r\n")) as (url, _):
        failure = await refused(url, retries=2)
    assert vars(failure) == {
        "message": "The model server answered 404: no",
        "code": "no_such_model",
        "status": 404,
        "retryable": False,
        "param": "model",
        "dialect": "chat",
        "error_type": "kind",
        "retry_after": 7.0,
        "final": False,
        "public": "The model server answered 404 (no_such_model).",
        "detail": "",
    }


async def test_a_failure_names_the_number_of_attempts() -> None:
    busy = status(429, b'{"error":"slow down"}', b"retry-after-ms: 1\r\n")
    last = status(429, b'{"error":"slow down"}', b"retry-after: 9\r\n")
    async with upstream(busy, busy, last) as (url, peers):
        failure = await refused(url, retries=2)
    assert len(peers) == 3
    assert failure.message == "The model server answered 429: slow down (asked 3 times)"
    assert failure.public == "The model server answered 429. (asked 3 times)"
    assert (failure.status, failure.retry_after) == (429, 9.0)


IN_VAIN = {
    "a bad request": status(400, b"{}"),
    "a key": status(401, b"{}"),
    "a bill": status(402, b"{}"),
    "a ban": status(403, b"{}"),
    "nothing there": status(404, b"{}"),
    "too large": status(413, b"{}"),
    "unprocessable": status(422, b"{}"),
    "cancelled": status(499, b"{}"),
    "not implemented": status(501, b"{}"),
    "another address": status(307, b"", b"location: http://127.0.0.1:1/\r\n"),
    "used up": status(429, b'{"error":{"code":"insufficient_quota"}}'),
    "it says so": status(503, b"{}", b"x-should-retry: false\r\n"),
    "a request in a reply": answers(HEAD + b'data: {"error":{"code":"model_not_found"}}\n\n'),
}


@pytest.mark.parametrize("name", IN_VAIN)
async def test_a_permanent_failure_is_not_retried(name: str) -> None:
    async with upstream(IN_VAIN[name], answers(HEAD + REPLY)) as (url, peers):
        failure = await refused(url, retries=2)
    assert len(peers) == 1
    assert not failure.retryable
    assert "asked" not in failure.message


THEIRS = ProviderItem(dialect="messages", data={"type": "compaction", "content": "all"})
PART = ProviderPart("messages", {"type": "document"})
BEFORE: list[tuple[Item, bool]] = [
    # an earlier item of another dialect, and whether the server gets the request
    (user("Hi"), True),
    (ProviderItem(dialect="chat", data={"type": "novel"}, role="user"), True),
    (THEIRS, False),
    (Message(role="user", content=(PART,)), False),
    (ToolOutput(call_id="c", output=(PART,)), False),
]


@pytest.mark.parametrize(("item", "asked"), BEFORE)
async def test_items_of_another_dialect_are_refused_before_a_run(item: Item, asked: bool) -> None:
    model = asking("http://127.0.0.1:9", 0, Timeouts(1, 1, 1))
    request = ModelRequest(items=(item,), settings=Settings(origin="chat"))
    refused = model.refusal(request)
    await model.close()
    assert (refused is None) == asked
    if refused is not None:
        assert (refused.status, refused.code) == (400, "invalid_prompt")


SAYS_KEYS: dict[str, Serve] = {
    "in its status": status(401, b'{"error":{"message":"bad %b"}}' % SECRET.encode()),
    "in a text": status(401, b"bad " + SECRET.encode()),
    "in a reply": answers(
        HEAD + b'data: {"error":{"code":"invalid_api_key","message":"%b"}}\n\n' % SECRET.encode()
    ),
    "elsewhere": status(
        400, b'{"error":{"message":"%b","param":"%b","code":"%b"}}' % ((SECRET.encode(),) * 3)
    ),
    "a key of its own": status(500, b'{"error":{"message":"upstream said sk-proj-a1b2c3d4e5f6"}}'),
}


@pytest.mark.parametrize("name", SAYS_KEYS)
async def test_a_key_is_in_no_error_and_no_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with upstream(SAYS_KEYS[name]) as (url, _):
        with caplog.at_level(logging.DEBUG):
            failure = await refused(url)
    for place in (*map(str, vars(failure).values()), caplog.text):
        assert SECRET not in place
        assert "a1b2c3d4e5f6" not in place
    if failure.status == 401:
        assert "refused the credentials of this server" in failure.message
        assert "model m answered 401: " in caplog.text
