"""Data folders that earlier versions wrote: the current version opens each, shows the same content, and
continues its runs.

The folders are those of `scripts/old_folders.py`: one for every tenth commit since the first that wrote
one, without those that equal an earlier one.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.old_folders import ASKER, CONFIG, KEY, ONCE, SCENARIO, TOOLS
from tests.support.forks import Forks
from tests.support.servers import ChildServer

DUMPS = sorted((Path(__file__).parents[3] / "data" / "folders").glob("*.sql"))
YEARS = 10 * 365 * 86_400
"""Seconds."""
DATA = '[server]\ndata = "data"\nmax_run_hours = 900000\n{server}\n'


class Folder:
    """A folder made from a dump, the content that its own version showed, and the current server over it."""

    def __init__(self, dump: Path, base: Path, forks: Forks) -> None:
        text = dump.read_text(encoding="utf-8")
        comments = [line[3:] for line in text.splitlines() if line.startswith("-- ")]
        self.shown: dict[str, Any] = {
            name: json.loads(value) for name, value in (each.split(": ", 1) for each in comments)
        }
        (base / "data").mkdir()
        with closing(sqlite3.connect(base / "data" / "tailrace.db")) as connection:
            connection.executescript(text)
            later = "UPDATE records SET expires = ? WHERE expires > 0"  # otherwise the sweep would remove it
            connection.execute(later, ((int(time.time()) + YEARS) * 1000,))
            connection.commit()
        self.server = ChildServer(
            base,
            config=DATA + (CONFIG + ASKER).replace("interval_ms = 200", "interval_ms = 1"),
            scenario=SCENARIO,
            tools="",
        )
        (base / "old_tools.py").write_text(TOOLS, encoding="utf-8")
        self.server.start(forks=forks)
        key = {"authorization": f"Bearer {self.shown['token']}"} if "token" in self.shown else {}
        self.client = httpx.Client(base_url=self.server.url, headers=key, timeout=20)

    def read(self, path: str) -> httpx.Response:
        """Raises for a status that is not a success."""
        return self.client.get(path).raise_for_status()

    def ends(self, job: str) -> str:
        """The complete stream of a run, up to its end."""
        return self.read(f"/jobs/{job}/stream").text


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, forks: Forks
) -> Generator[Folder, None, None]:
    made = Folder(request.param, tmp_path, forks)
    yield made
    made.client.close()
    made.server.kill()
    assert "Traceback" not in made.server.errors()


def test_a_folder_of_an_old_version_opens_and_is_usable(folder: Folder) -> None:
    shown = folder.shown
    for name in ("ended", "once", "turn"):
        if name in shown:
            now = folder.read(f"/v1/responses/{shown[name]}").json()
            was = json.loads(shown[f"{name} shown"])
            assert {key: now[key] for key in was} == was
    if "conversation" in shown:
        items = folder.read(f"/v1/conversations/{shown['conversation']}/items").json()["data"]
        assert len(items) == 2
    same = json.dumps(ONCE).encode()  # identical bytes: the request is known by its hash
    again = folder.client.post("/v1/responses", content=same, headers=KEY).raise_for_status()
    assert again.json()["id"] == shown["once"]
    if "waiting" in shown:
        job = folder.read(f"/jobs/{shown['waiting']}").json()
        (asked,) = job["waiting_for"]
        answer = {"item": asked["item"], "asked": asked["asked"], "approved": True}
        folder.client.post(f"/jobs/{shown['waiting']}/input", json=answer).raise_for_status()
        assert "All is done." in folder.ends(shown["waiting"])
    assert "59" in folder.ends(shown["open"])


def test_there_is_a_folder_of_each_layout() -> None:
    """The folders of the first week have a table that later ones do not have."""
    texts = [dump.read_text(encoding="utf-8") for dump in DUMPS]
    assert any("CREATE TABLE ended" in text for text in texts)
    assert any("CREATE TABLE live" in text for text in texts)
    assert any("token" in text for text in texts)
