"""A server's folder is moved into another one by a file, and its clients notice no difference."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailrace.cli.moving import BUCKETS
from tests.support.commands import tailrace
from tests.support.nats_servers import cluster
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server

Asked = dict[str, Any]
KEY = {"idempotency-key": "once"}


class Server:
    """A server with a team, and the requests of its clients."""

    def __init__(self, folder: Path, engine: str = "") -> None:
        folder.mkdir()
        self.child: ChildServer = team_server(folder, server=engine)
        self.folder = folder
        self.headers: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: Asked | None = None, **headers: str
    ) -> httpx.Response:
        return httpx.request(
            method,
            self.child.url + path,
            json=body,
            headers={**self.headers, **headers},
            timeout=20,
        )

    def order(self) -> str:
        """Start a job that will wait for a person; return its id."""
        reply = self.ask("POST", "/jobs", {"agent": "lead", "input": "order a hat"})
        assert reply.is_success, reply.text
        return str(reply.json()["id"])

    def until(self, job: str, status: str) -> None:
        while self.ask("GET", f"/jobs/{job}").json()["status"] != status:
            select_a_moment()

    def command(self, *arguments: str) -> tuple[int, str, str]:
        done = tailrace(*arguments, folder=self.folder)
        return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture(params=["folder", "nats"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str, None, None]:
    """The engine in the new server's configuration."""
    if request.param == "folder":
        yield ""
        return
    with cluster(tmp_path / "nats", 1) as nodes:
        yield f'[engine]\nurl = "{nodes[0].url}"\nreplicas = 1\nshards = 2\n'


def test_a_server_moves(engine: str, tmp_path: Path) -> None:
    old, new = Server(tmp_path / "old"), Server(tmp_path / "new", engine)
    file = tmp_path / "all.jsonl"
    try:
        old.child.start()
        talk = old.ask("POST", "/v1/conversations", {}).json()["id"]
        turn = {"model": "lead", "input": "look north", "conversation": talk}
        said = old.ask("POST", "/v1/responses", turn, **KEY).json()
        job = old.order()
        old.until(job, "waiting")
        paths = (f"/v1/responses/{said['id']}?stream=true", f"/v1/conversations/{talk}/items")
        before = [old.ask("GET", path).content for path in paths]
        waited = old.ask("GET", f"/jobs/{job}").json()
        code, _, error = old.command("export", str(file))
        assert (code, "is in use by another tailrace" in error) == (2, True), error
        assert not file.exists()
        cut_off = old.order()
        old.child.kill()
        secret = old.command("token", "create", "ci", "--scope", "run", "--scope", "read")[1]

        code, shown, error = old.command("export", str(file))
        assert (code, error) == (0, "")
        assert shown.startswith("exported: 3 runs (2 not ended), ")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert secret not in file.read_text(encoding="utf-8")
        code, _, error = old.command("export", str(file))
        assert (code, error) == (2, f"tailrace: {file}: File exists")

        if engine:
            assert new.command("engine", "init")[0] == 0
        assert new.command("import", str(file))[:2] == (0, shown.replace("exported", "imported"))
        code, _, error = new.command("import", str(file))
        assert code == 2
        assert f"{file}, line 2: the store has tokens/" in error
        assert "already; nothing was imported" in error

        new.headers = {"authorization": f"Bearer {secret}"}
        new.child.start()
        assert [new.ask("GET", path).content for path in paths] == before
        assert new.ask("POST", "/v1/responses", turn, **KEY).json()["id"] == said["id"]
        assert new.ask("GET", f"/jobs/{job}").json() == waited
        asked = waited["waiting_for"][0]
        yes = {"item": asked["item"], "asked": asked["asked"], "approved": True}
        assert new.ask("POST", f"/jobs/{job}/input", yes).is_success
        new.until(job, "completed")
        new.until(cut_off, "waiting")
        assert (effects(old.folder, "order"), effects(new.folder, "order")) == (0, 1)
        new.headers = {}
        assert new.ask("GET", "/jobs").status_code == 401
        new.child.stop()
        if engine:
            return
        with closing(sqlite3.connect(new.folder / "data" / "tailrace.db")) as database:
            found = {
                bucket for (bucket,) in database.execute("SELECT DISTINCT bucket FROM records")
            }
        assert found - {"probe"} <= set(BUCKETS)
        assert {"runs", "tokens", "conversations", "idempotency"} <= found
    finally:
        old.child.kill()
        new.child.kill()
