"""Content that a model's server has no form for is 400 with its place before a run begins, on every surface
that a gateway's client may use; no client has to read a failed run."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.servers import ChildServer
from tests.support.without_form import ELSEWHERE, KEPT_QUIET, REFUSED

CONFIG = "[server]\n{server}\n" + "".join(
    f'\n[models.{name}]\ndialect = "{name}"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nretries = 0\n'
    for name in ("chat", "responses", "messages")
)
CONFIG += "".join(
    f'\n[agents.agent_{name}]\nmodel = "{name}"\n'
    f'\n[workflows.flow_{name}]\nnodes = [{{{{ id = "a", type = "deep_agent", agent = "agent_{name}" }}}}]\n'
    for name in ("chat", "responses", "messages")
)
# One by each wrapper: with a price, and one that continues from a beginning.
CONFIG += '\n[models.priced]\nprice = {{ input = 1.0 }}\ncontinue_reply = "prefill"\n' + (
    'dialect = "chat"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nretries = 0\n'
)
"""No server listens: a request that is sent fails in another way."""

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
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


def assert_refused(surface: str, error: dict[str, Any], param: str, word: str) -> None:
    assert error["type"] == "invalid_request_error"
    assert word in error["message"]
    if surface == "messages":  # its errors have no field for the place
        assert error["message"].startswith(f"{param}: ")
    else:
        assert (error["param"], error["code"]) == (param, "invalid_prompt")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_400_with_its_place_and_no_run(server: ChildServer, name: str, stream: bool) -> None:
    (surface, asked), model, param, word = REFUSED[name]
    before = ask(server, "GET", "/jobs")[1]["data"]
    status, told = ask(server, "POST", PATHS[surface], {"model": model, "stream": stream, **asked})
    assert status == 400, told
    assert_refused(surface, told["error"], param, word)
    assert ask(server, "GET", "/jobs")[1]["data"] == before


@pytest.mark.parametrize("agent", ["agent", "flow"])
@pytest.mark.parametrize("name", [n for n in REFUSED if "choice" not in n and "priced" not in n])
def test_an_agents_client_gets_the_failure_as_early(
    server: ChildServer, name: str, agent: str
) -> None:
    """The tools of an agent are known only in its runs; everything else is refused by the same rule."""
    (surface, asked), model, param, word = REFUSED[name]
    before = ask(server, "GET", "/jobs")[1]["data"]
    body = {"model": f"{agent}_{model}", **asked}
    status, told = ask(server, "POST", PATHS[surface], body)
    assert status == 400, told
    assert_refused(surface, told["error"], param, word)
    assert ask(server, "GET", "/jobs")[1]["data"] == before


@pytest.mark.parametrize("agent", ["agent_chat", "flow_chat"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_surfaces_report_the_position_as_well(
    server: ChildServer, name: str, agent: str
) -> None:
    path, asked, param = ELSEWHERE[name]
    status, told = ask(server, "POST", path.format(agent), asked)
    assert (status, told["error"]["param"]) == (400, param)
    assert "file by its address" in told["error"]["message"]


def test_content_of_earlier_turns_counts_as_well(server: ChildServer) -> None:
    """A conversation whose earlier turns used another model."""
    output = {"type": "computer_call_output", "call_id": "c", "output": {}}
    made = ask(server, "POST", "/v1/conversations", {"items": [output]})[1]["id"]
    asked = {"model": "chat", "input": "Go on", "conversation": made}
    status, told = ask(server, "POST", "/v1/responses", asked)
    assert (status, told["error"]["param"]) == (400, "conversation")


@pytest.mark.parametrize("name", KEPT_QUIET)
def test_what_the_table_leaves_out_is_no_reason_to_refuse(server: ChildServer, name: str) -> None:
    """The run begins, and fails only because no server listens."""
    (surface, asked), model = KEPT_QUIET[name]
    before = len(ask(server, "GET", "/jobs")[1]["data"])
    body = {**asked, "model": model, "stream": False}
    _, told = ask(server, "POST", PATHS[surface], body)
    assert "cannot be reached" in json.dumps(told)
    assert len(ask(server, "GET", "/jobs")[1]["data"]) == before + 1
