"""Data folders that earlier versions wrote: today's opens each, shows what that one showed, and goes on.

The folders are those of `scripts/old_folders.py`: every tenth commit since the first that wrote one, without
those that are as an earlier one.
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
    """A folder that was made from a dump, what its own version showed, and today's server over it."""

    def __init__(self, dump: Path, base: Path, forks: Forks) -> None:
        text = dump.read_text(encoding="utf-8")
        comments = [line[3:] for line in text.splitlines() if line.startswith("-- ")]
        self.shown: dict[str, Any] = {
            name: json.loads(value) for name, value in (each.split(": ", 1) for each in comments)
        }
        (base / "data").mkdir()
        with closing(sqlite3.connect(base / "data" / "tailrace.db")) as connection:
            connection.executescript(text)
            later = "UPDATE records SET expires = ? WHERE expires > 0"  # else it would be swept
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
        """Raises for what is no success."""
        return self.client.get(path).raise_for_status()

    def ends(self, job: str) -> str:
        """How a run ends: all that its stream says."""
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
    same = json.dumps(ONCE).encode()  # to the byte: it is known by its hash
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
    """The first week's has a table that later ones do not have."""
    texts = [dump.read_text(encoding="utf-8") for dump in DUMPS]
    assert any("CREATE TABLE ended" in text for text in texts)
    assert any("CREATE TABLE live" in text for text in texts)
    assert any("token" in text for text in texts)
