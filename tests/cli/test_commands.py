"""The commands, as a person and as a script use them."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest

from tailrace import __version__
from tests.support.commands import tailrace
from tests.support.servers import ChildServer, running, select_a_moment
from tests.support.team_files import team_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    with running(tmp_path_factory.mktemp("server")) as child:
        yield child


def test_the_demo_shows_a_run(tmp_path: Path) -> None:
    done = tailrace("demo", "--once", "--port", "0", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for shown in (
        "researcher begins",
        "researcher#2 begins",
        "researcher#2: Lisbon: sunny and 19 °C.",
        "● waiting for an answer",
        "✓ book:",
        "Two nights in Lisbon",
        "● completed",
    ):
        assert shown in done.stdout


def test_run_prints_frames_when_piped(server: ChildServer) -> None:
    config = str(server.folder / "tailrace.toml")
    done = tailrace("run", "echo", "hello you", "--config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("id: 0\nevent: node\ndata: ")
    chat = tailrace("run", "echo", "hello you", "--config", config, "--as", "chat")
    assert chat.stdout.endswith("data: [DONE]\n\n")
    failed = tailrace("run", "helper", "fail now", "--config", config)
    assert failed.returncode == 1
    assert "The model is out." in failed.stderr


def test_tail_prints_what_a_client_would_get(server: ChildServer) -> None:
    started = tailrace("runs", "--url", server.url)
    assert started.returncode == 0
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/v1/responses", b'{"model":"echo","input":"a b"}')
    reply = connection.getresponse()
    run = reply.headers["x-run-id"]
    reply.read()
    connection.request("GET", f"/v1/responses/resp_{run[4:]}?starting_after=3")
    rest = connection.getresponse().read().decode()
    connection.close()
    assert (
        tailrace("tail", run, "--as", "responses", "--after", "3", "--url", server.url).stdout
        == rest
    )
    listed = tailrace("runs", "--url", server.url).stdout.splitlines()
    assert msgspec.json.decode(listed[0])["id"] == f"job_{run[4:]}"
    refused = tailrace("cancel", run, "--url", server.url)
    assert refused.returncode == 1
    assert "ended already" in refused.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[models.a]\ndialect = 'chatt'",
            "tailrace.toml:2: [models.a] dialect: Invalid enum value 'chatt'; did you mean 'chat'?",
        ),
        (
            "[models.a]\ndialect = 'echo'\nintervall_ms = 3",
            "tailrace.toml:3: unknown key 'intervall_ms' in [models.a]; did you mean 'interval_ms'?",
        ),
        (
            "[model.a]\ndialect = 'echo'",
            "tailrace.toml:1: unknown key 'model'; did you mean 'models'?",
        ),
        (
            "[models.a]\ndialect = 'chat'\nmodel = 'x'",
            "tailrace.toml:1: [models.a] dialect 'chat' needs 'base_url'",
        ),
        (
            "[models.a]\ndialect = 'chat'\nmodel = 'x'\nbase_url = 'localhost'",
            "tailrace.toml:4: [models.a] base_url is no http or https URL",
        ),
        (
            "[models.fast]\ndialect = 'echo'\n[agents.b]\nmodel = 'fats'",
            "tailrace.toml:4: [agents.b] unknown model 'fats'; did you mean 'fast'?",
        ),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\ntools = ['nothing:here']",
            "[agents.b] tool 'nothing:here': cannot import nothing: No module named 'nothing'",
        ),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\ntools = ['shutil:mov']",
            "[agents.b] tool 'shutil:mov': shutil has no mov; did you mean 'move'?",
        ),
        ("[models.a]\ndialect = 'script'\nscenario = 'none.toml'", "No such file"),
        (
            "[models.a]\ndialect = 'chat'\nmodel = 'x'\nbase_url = 'http://a'\napi_key_env = 'NO_SUCH_KEY'",
            "[models.a] the environment has no NO_SUCH_KEY",
        ),
        ("[models.a]\ndialect = 'echo'\nrepeat = 0", "repeat must be at least 1"),
        ("[server]\nheartbeat_seconds = 0", ":2: [server] heartbeat_seconds cannot be 0"),
        ("[server]\nport = 99999", ":2: [server] port cannot be 99999"),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\nsubagents = ['c']\n"
            "[agents.c]\nmodel = 'a'\nsubagents = ['b']",
            ":5: [agents.b] an agent dispatches itself: b → c → b",
        ),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\nsubagents = ['d']",
            ":5: [agents.b] unknown agent 'd'",
        ),
        ("[agents.b]\nentry = 'nothing:here'", "cannot import nothing: No module named"),
        ("[agents.b]\nentry = 'shutil:move'", "a builtins.function is not an agent"),
        (
            "[agents.b]\nentry = 'shutil:move'\nmax_turns = 3",
            "it has no max_turns; limit it in its own code",
        ),
        ("[agents.b]\nentry = 'a:b'\ntools = ['c:d']", "an agent with an entry has no 'tools'"),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\nsubagents = ['c']\n"
            "[agents.c]\nmodel = 'a'\n[workflows.w]\nnodes = ["
            "{ id = 'c', type = 'deep_agent', agent = 'b' },"
            "{ id = 'd', type = 'deep_agent', agent = 'c' }]",
            "[workflows.w] node id 'c' is also the name of an agent that a node dispatches",
        ),
        (
            "[models.a]\ndialect = 'echo'\n[agents.b]\nmodel = 'a'\nsubagents = ['MAIN']\n"
            "[agents.MAIN]\nmodel = 'a'",
            ":5: [agents.b] an agent named 'MAIN' cannot be dispatched",
        ),
        ("[agents.b]\n", "needs a model or an entry"),
        ("[server]\nport = 'x'", "[server] port: Expected `int`, got `str`"),
        ("[models.a\n", "tailrace.toml:1: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_faulty_configuration_is_one_clear_message(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "tailrace.toml").write_text(text, encoding="utf-8")
    done = tailrace("check", folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    for line in done.stderr.splitlines():
        assert re.match(r"tailrace: tailrace\.toml:\d+: ", line), line


def test_a_good_configuration_is_fine(server: ChildServer) -> None:
    done = tailrace("check", str(server.folder / "tailrace.toml"))
    assert (done.returncode, done.stderr) == (0, "")


def test_serving_to_everybody_without_tokens_is_refused(server: ChildServer) -> None:
    done = tailrace("serve", str(server.folder / "tailrace.toml"), "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "without a key" in done.stderr


def test_a_taken_port_and_a_missing_server_are_clear(server: ChildServer) -> None:
    taken = tailrace("serve", str(server.folder / "tailrace.toml"), "--port", str(server.port))
    assert taken.returncode == 2
    assert "cannot listen" in taken.stderr
    gone = tailrace("runs", "--url", "http://127.0.0.1:9")
    assert gone.returncode == 1
    assert "cannot be reached" in gone.stderr


def test_answer_answers_what_a_run_waits_for(tmp_path: Path) -> None:
    team = team_server(tmp_path).start()
    try:
        for text, status in (("order a hat", "yes"), ("ask them", "red")):
            reply = httpx.post(f"{team.url}/jobs", json={"agent": "lead", "input": text})
            job = reply.json()["id"]
            while httpx.get(f"{team.url}/jobs/{job}").json()["status"] != "waiting":
                select_a_moment()
            if status == "yes":
                wrong = tailrace("answer", job, "maybe", "--url", team.url)
                assert (wrong.returncode, "waits for a decision" in wrong.stderr) == (1, True)
            assert tailrace("answer", job, status, "--url", team.url).returncode == 0
            assert (
                "run.completed" in tailrace("tail", job, "--as", "native", "--url", team.url).stdout
            )
            late = tailrace("answer", job, status, "--url", team.url)
            assert (late.returncode, "does not wait for an answer" in late.stderr) == (1, True)
    finally:
        team.kill()


def test_the_version_is_shown() -> None:
    done = tailrace("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"tailrace {__version__}")
