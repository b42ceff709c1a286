"""Streams over real connections: heartbeats, clients that disconnect, retries, restarts, slow readers."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.http.conftest import Ask
from tests.support.servers import ChildServer, select_a_moment


def _post(
    server: ChildServer, path: str, body: object, **headers: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, json.dumps(body), names)
    return connection, connection.getresponse()


def _established(here: int, there: int) -> bool:
    """Whether the kernel holds an open connection from port `here` to port `there`."""
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in table]
    ends = (f":{here:04X}", f":{there:04X}")
    return any(
        row[1].endswith(ends[0]) and row[2].endswith(ends[1]) and row[3] == "01" for row in rows
    )


def _status(ask: Ask, run: str) -> str:
    return str(ask("GET", f"/jobs/job_{run.removeprefix('run_')}").json["status"])


@pytest.mark.req("R107")
@pytest.mark.req("R108")
@pytest.mark.req("R124")
def test_a_silent_stream_is_kept_alive_by_comments(ask: Ask, server: ChildServer) -> None:
    """Complete frames only; a heartbeat is a comment line without a blank line after it, so that no client
    sees an event."""
    connection, reply = _post(
        server,
        "/v1/responses",
        {"model": "slow", "input": "a b c d e f g h i j k l", "stream": True},
    )
    body = reply.read()
    connection.close()
    assert reply.headers["content-type"].startswith("text/event-stream")
    for frame in body.replace(b": ping\n", b"").split(b"\n\n")[:-1]:
        *_, data = frame.split(b"\n")
        assert data.startswith(b"data: ")
        assert not any(line.startswith((b"id:", b"retry:")) for line in frame.split(b"\n"))
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.req("R102")
@pytest.mark.req("R173")
@pytest.mark.req("R178")
@pytest.mark.req("R179")
def test_tokens_come_before_the_end(server: ChildServer, ask: Ask) -> None:
    connection, reply = _post(
        server, "/v1/responses", {"model": "slow", "input": "word " * 50, "stream": True}
    )
    data = b""
    while b"output_text.delta" not in data:
        data += reply.read1(65536)
    assert _status(ask, reply.headers["x-run-id"]) == "in_progress"
    connection.close()


def test_a_response_outlives_its_connection(server: ChildServer, ask: Ask) -> None:
    connection, reply = _post(
        server, "/v1/responses", {"model": "slow", "input": "one two three", "stream": True}
    )
    run = reply.headers["x-run-id"]
    connection.close()
    frames = ask("GET", f"/v1/responses/resp_{run.removeprefix('run_')}?stream=true").body
    assert b"response.completed" in frames


def _abandoned_chat(server: ChildServer, words: int, **headers: str) -> str:
    """Start a chat stream and disconnect; returns the run's suffix."""
    message = {"role": "user", "content": "w " * words}
    body = {"model": "slow", "messages": [message], "stream": True}
    connection, reply = _post(server, "/v1/chat/completions", body, **headers)
    run = reply.headers["x-run-id"].removeprefix("run_")
    reply.close()
    connection.close()
    return run


@pytest.mark.req("R5")
def test_a_chat_run_without_readers_is_cancelled_after_its_grace_period(
    server: ChildServer, ask: Ask
) -> None:
    run = _abandoned_chat(server, 2000)
    while _status(ask, run) == "in_progress":
        select_a_moment()
    assert _status(ask, run) == "cancelled"
    told = ask("GET", f"/jobs/job_{run}/stream?as=chat").body
    assert b"was cancelled by the server, because it had no readers." in told


def test_a_chat_run_with_a_reader_on_another_surface_continues(
    server: ChildServer, ask: Ask
) -> None:
    run = _abandoned_chat(server, 40)
    events = ask("GET", f"/jobs/job_{run}/stream").body
    assert b"run.completed" in events


def test_a_request_can_set_its_own_grace_period(server: ChildServer, ask: Ask) -> None:
    """Chat asks the run to continue forever, Responses to stop at once: the opposite of the default of
    each."""
    kept = _abandoned_chat(server, 40, x_disconnect_grace="forever")
    body = {"model": "slow", "input": "w " * 2000, "stream": True}
    connection, reply = _post(server, "/v1/responses", body, x_disconnect_grace="0")
    left = reply.headers["x-run-id"]
    reply.close()
    connection.close()
    while "in_progress" in (_status(ask, left), _status(ask, kept)):
        select_a_moment()
    assert (_status(ask, left), _status(ask, kept)) == ("cancelled", "completed")


@pytest.mark.parametrize("grace", ["soon", "-1", "1.5", "86401", ""])
def test_a_wrong_grace_is_refused(ask: Ask, grace: str) -> None:
    reply = ask(
        "POST", "/v1/responses", {"model": "echo", "input": "x"}, {"x-disconnect-grace": grace}
    )
    assert (reply.status, reply.error["param"]) == (400, "x-disconnect-grace")


@pytest.mark.parametrize("surface", ["native", "agui"])
def test_a_stream_of_a_run_that_is_deleted_breaks_off(
    server: ChildServer, ask: Ask, surface: str
) -> None:
    """Neither an end that a client could accept, nor heartbeats without end; AG-UI's clients get an end
    that they can handle."""
    job = ask("POST", "/jobs", {"agent": "echo", "input": "word " * 15_000}).json["id"]
    while ask("GET", f"/jobs/{job}").json["status"] == "in_progress":
        select_a_moment()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        path = f"/jobs/{job}/stream?as={surface}"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = client.recv(65536)
        response = str(job).replace("job_", "resp_")
        assert ask("DELETE", f"/v1/responses/{response}").status == 200
        client.settimeout(20)
        with suppress(ConnectionError):
            while piece := client.recv(65536):
                data = data[-300:] + piece
                if data.endswith(b"\r\n0\r\n\r\n"):
                    break
    assert b"run.completed" not in data
    assert b"RUN_FINISHED" not in data
    assert data.endswith(b"0\r\n\r\n") == (surface == "agui")
    assert (b"stream_cut_off" in data) == (surface == "agui")


def test_an_idempotency_key_attaches(server: ChildServer, ask: Ask) -> None:
    body = {"model": "echo", "input": "once"}
    first = ask("POST", "/v1/responses", body, {"idempotency-key": "k1"})
    again = ask("POST", "/v1/responses", body, {"idempotency-key": "k1"})
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert first.body == again.body
    other = ask("POST", "/v1/responses", {**body, "input": "else"}, {"idempotency-key": "k1"})
    assert (other.status, other.error["code"]) == (422, "idempotency_key_reused")


def test_a_retry_of_the_sdk_attaches(ask: Ask) -> None:
    body = {"model": "echo", "input": "retried"}
    first = ask("POST", "/v1/responses", body, {"x-stainless-retry-count": "0"})
    retry = ask("POST", "/v1/responses", body, {"x-stainless-retry-count": "1"})
    anew = ask("POST", "/v1/responses", body, {"x-stainless-retry-count": "0"})
    assert first.headers["x-run-id"] == retry.headers["x-run-id"] != anew.headers["x-run-id"]


@pytest.mark.req("R189")
def test_sigterm_hands_runs_over_and_readers_see_a_cut(tmp_path: Path) -> None:
    """The stream breaks off in the middle of its body; the next process continues the run."""
    server = ChildServer(tmp_path, server="shutdown_seconds = 0.2").start()
    try:
        body = {"model": "slow", "input": "word " * 60, "stream": True}
        connection, reply = _post(server, "/v1/responses", body)
        seen = b""
        while b"output_text.delta" not in seen:
            seen += reply.read1(65536)
        run = reply.headers["x-run-id"].removeprefix("run_")
        assert server.stop() in (0, -15)
        with pytest.raises(http.client.IncompleteRead) as broken:
            reply.read()
        seen += broken.value.partial
        connection.close()
        server.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", f"/v1/responses/resp_{run}?stream=true")
        whole = connection.getresponse().read()
        connection.close()
    finally:
        server.kill()
    frames = seen.rpartition(b"\n\n")[0]
    assert whole.startswith(frames)
    assert whole.endswith(b"data: [DONE]\n\n")
    assert b'"status":"incomplete"' not in whole, "the echo says the same again: its item goes on"
    last = json.loads(whole.split(b"data: ")[-2])["response"]
    assert [part["text"] for item in last["output"] for part in item["content"]] == [body["input"]]


def test_a_client_that_leaves_at_any_byte_affects_no_other_client(
    server: ChildServer, ask: Ask
) -> None:
    body = json.dumps({"model": "echo", "input": "x", "stream": True}).encode()
    head = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for cut in range(len(whole) + 1):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(whole[:cut])
    assert ask("POST", "/v1/responses", {"model": "echo", "input": "still here"}).status == 200


def test_a_reader_that_stalls_gets_every_byte_when_it_continues(
    server: ChildServer, ask: Ask
) -> None:
    """It is far behind the window of live frames, so it reads from the log again: the bytes are the same."""
    made = ask("POST", "/jobs", {"agent": "echo", "input": "word " * 9000}).json
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        path = f"/jobs/{made['id']}/stream?as=responses"
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        data = client.recv(1000)
        assert ask("GET", f"/jobs/{made['id']}").status == 200
        while piece := client.recv(65536):
            data += piece
    assert data.count(b"event: response.output_text.delta") == 9000
    assert b"data: [DONE]\n\n" in data


def test_a_reader_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    """After `write_timeout_seconds` the server cuts the connection, without a valid end."""
    server = ChildServer(tmp_path, server="write_timeout_seconds = 0.2").start()
    try:
        connection, reply = _post(server, "/jobs", {"agent": "echo", "input": "word " * 40_000})
        job = json.loads(reply.read())["id"]
        connection.close()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            path = f"/jobs/{job}/stream?as=responses"
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            # The client takes nothing; the server closes the connection, where a waiting close never would.
            while _established(server.port, client.getsockname()[1]):
                select_a_moment()
            data = b""
            with suppress(ConnectionError):
                while piece := client.recv(65536):
                    data += piece
        assert b"response.created" in data
        assert b"[DONE]" not in data
    finally:
        server.kill()
