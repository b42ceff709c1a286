"""What a model's server has no form for is 400 with its place before a run begins, on every surface that a
gateway's client may speak; nobody has to read a failed run."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.servers import ChildServer

CONFIG = "[server]\n{server}\n" + "".join(
    f'\n[models.{name}]\ndialect = "{name}"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nretries = 0\n'
    for name in ("chat", "responses", "messages")
)
# One by each wrapper: with a price, and one that goes on from a beginning.
CONFIG += '\n[models.priced]\nprice = {{ input = 1.0 }}\ncontinue_reply = "prefill"\n' + (
    'dialect = "chat"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nretries = 0\n'
)
"""Nobody is there: who is asked fails in another way."""

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
HELLO = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def chat(*parts: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    said = [{"role": "user", "content": list(parts)}] if parts else [HELLO]
    return "chat", {"messages": said, **more}


def responses(*items: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "responses", {"input": [HELLO, *items], **more}


def messages(*blocks: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    said = [{"role": "user", "content": list(blocks)}] if blocks else [HELLO]
    return "messages", {"max_tokens": 9, "messages": said, **more}


WORD = {"type": "text", "text": "See"}
UPLOAD = {"type": "container_upload", "file_id": "file_1"}
BY_ID = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
BY_URL = {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}}
REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], str, str, str]] = {
    # what is asked, of whom, the place, a word of the message
    "a block of the client's to chat": (
        messages(WORD, UPLOAD),
        "chat",
        "messages",
        "container_upload",
    ),
    "a block of the client's to Responses": (
        messages(WORD, UPLOAD),
        "responses",
        "messages",
        "container_upload",
    ),
    "an output of a tool of Responses to chat": (
        responses({"type": "computer_call_output", "call_id": "c", "output": {}}),
        "chat",
        "input",
        "computer_call_output",
    ),
    "an output of a tool of Responses to Messages": (
        responses({"type": "local_shell_call_output", "id": "c", "output": "x"}),
        "messages",
        "input",
        "local_shell_call_output",
    ),
    "no token of chat": (messages(max_tokens=0), "chat", "max_tokens", "one token"),
    "no token of Responses": (messages(max_tokens=0), "responses", "max_tokens", "one token"),
    "a picture by its id, to a model with a price": (
        messages(BY_ID),
        "priced",
        "messages",
        "picture",
    ),
    "a picture by its id": (messages(BY_ID), "chat", "messages", "picture"),
    "a file by its address": (messages(BY_URL), "chat", "messages", "file"),
    "a file of an unknown type to Messages": (
        chat({"type": "file", "file": {"file_data": "data:video/mp4;base64,AA"}}),
        "messages",
        "messages",
        "video/mp4",
    ),
    "a tool that a provider runs": (
        messages(tools=[{"type": "bash_20250124", "name": "bash"}]),
        "responses",
        "tools.0",
        "bash_20250124",
    ),
    "a search that leaves out domains": (
        messages(
            tools=[
                {"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["a.b"]}
            ]
        ),
        "responses",
        "tools",
        "blocked_domains",
    ),
    "a choice of what chat cannot be offered": (
        messages(
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
            tool_choice={"type": "tool", "name": "web_search"},
        ),
        "chat",
        "tool_choice",
        "web_search",
    ),
    "a choice of what Messages cannot be offered": (
        responses(tools=[{"type": "web_search"}], tool_choice={"type": "web_search"}),
        "messages",
        "tool_choice",
        "web_search",
    ),
    "a choice of nobody's tool, in one dialect": (
        chat(
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "g"}}],
                },
            },
        ),
        "chat",
        "tool_choice",
        "'g'",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    child = ChildServer(tmp_path_factory.mktemp("refused"), config=CONFIG).start()
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


def ask(server: ChildServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_400_with_its_place_and_no_run(server: ChildServer, name: str, stream: bool) -> None:
    (surface, asked), model, param, word = REFUSED[name]
    before = ask(server, "GET", "/jobs")[1]["data"]
    status, told = ask(server, "POST", PATHS[surface], {"model": model, "stream": stream, **asked})
    assert status == 400, told
    error = told["error"]
    assert error["type"] == "invalid_request_error"
    assert word in error["message"]
    assert surface == "messages" or error["param"] == param
    assert ask(server, "GET", "/jobs")[1]["data"] == before


def test_what_earlier_turns_said_counts_as_well(server: ChildServer) -> None:
    """A conversation that was held with another model."""
    output = {"type": "computer_call_output", "call_id": "c", "output": {}}
    made = ask(server, "POST", "/v1/conversations", {"items": [output]})[1]["id"]
    asked = {"model": "chat", "input": "Go on", "conversation": made}
    status, told = ask(server, "POST", "/v1/responses", asked)
    assert (status, told["error"]["param"]) == (400, "input")


KEPT_QUIET: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "what a server of Responses made": (
        responses({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        "chat",
    ),
    "what a server of Messages made": (
        (
            "messages",
            {
                "max_tokens": 9,
                "messages": [
                    HELLO,
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "server_tool_use", "id": "s", "name": "n", "input": {}}
                        ],
                    },
                    HELLO,
                ],
            },
        ),
        "responses",
    ),
    "tools that come on the way": (
        responses({"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}),
        "messages",
    ),
    "tools that come on the way, to chat": (
        responses({"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}),
        "chat",
    ),
    "tools that were searched for": (
        responses({"type": "tool_search_output", "call_id": "s", "tools": [FUNCTION]}),
        "chat",
    ),
    "an approval": (
        responses(
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}, HELLO
        ),
        "chat",
    ),
}


@pytest.mark.parametrize("name", KEPT_QUIET)
def test_what_the_table_leaves_out_is_no_reason_to_refuse(server: ChildServer, name: str) -> None:
    """The run begins, and fails only since nobody is there."""
    (surface, asked), model = KEPT_QUIET[name]
    before = len(ask(server, "GET", "/jobs")[1]["data"])
    body = {"model": model, "stream": False, **asked}
    _, told = ask(server, "POST", PATHS[surface], body)
    assert "cannot be reached" in json.dumps(told)
    assert len(ask(server, "GET", "/jobs")[1]["data"]) == before + 1
