"""`tailrace sweep` beside a server that does not trust its clock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

from tailrace.runs.sweeping import BUCKET, KEY
from tests.http.test_deploy import until
from tests.support.commands import tailrace
from tests.support.servers import ChildServer

ASKED = {"model": "echo", "input": "one two three"}


def test_what_is_due_stays_until_the_clock_is_confirmed(tmp_path: Path) -> None:
    child = ChildServer(tmp_path, server='data = "data"\nretention_hours = 0.0').start()
    try:
        made = httpx.post(child.url + "/v1/responses", json=ASKED, timeout=20).json()
        child.kill()
        with closing(sqlite3.connect(tmp_path / "data" / "tailrace.db")) as file, file:
            where = (b'{"at":1000}', BUCKET, KEY)
            changed = file.execute(
                "UPDATE records SET value = ? WHERE bucket = ? AND key = ?", where
            )
            assert changed.rowcount == 1, "a start sweeps"
        shown = f"{child.url}/v1/responses/{made['id']}"
        child.start()
        until(lambda: "away from the last sweep" in child.errors())
        assert httpx.get(shown).status_code == 200
        assert tailrace("sweep", folder=tmp_path).returncode == 0
        child.kill()
        child.start()
        until(lambda: httpx.get(shown).status_code == 410)
    finally:
        child.kill()
