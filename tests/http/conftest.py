"""One server process per module, one server with a team per test, and a simple way to send requests."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import msgspec
import pytest

from tests.support.forks import Forks
from tests.support.servers import ChildServer, running
from tests.support.team_files import team_server


class Answer(msgspec.Struct):
    """A reply: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def error(self) -> dict[str, str]:
        found = self.json["error"]
        assert isinstance(found, dict)
        return found


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    settings = (
        'max_body_bytes = 100000\ncors_origins = ["http://app.test"]\nchat_grace_seconds = 0.2\n'
        "heartbeat_seconds = 0.1"
    )
    with running(tmp_path_factory.mktemp("server"), server=settings) as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.fixture
def team(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = team_server(tmp_path).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


@pytest.fixture
def ask(server: ChildServer) -> Ask:
    def asking(
        method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request(method, path, data, dict(headers or {}))
            reply = connection.getresponse()
            got = {name.lower(): value for name, value in reply.headers.items()}
            return Answer(reply.status, got, reply.read())
        finally:
            connection.close()

    return asking
