"""Properties that only a disk can show: kills, two processes, a full disk, old bytes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.errors import LogError, Unreadable
from tailrace.events import types as t
from tailrace.events.types import Event
from tailrace.log.stores.sqlite.schema import FILE, connect
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import ENDED, append, everything
from tests.support.forks import Forks, forking
from tests.support.logs import log
from tests.support.patience import patient

WRITER = """
import asyncio, sys
from pathlib import Path
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import ENDED, append

async def write(store, name):
    for start in range(0, len(ENDED), 2):
        await append(store, name, ENDED[start:start + 2])
        print(name, min(start + 2, len(ENDED)), flush=True)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    for round in range(100000):
        await asyncio.gather(*(write(store, f"{sys.argv[2]}-{round}-{n}") for n in range(4)))

asyncio.run(main())
"""

FULL = """
import asyncio, resource, sys
from pathlib import Path
from tailrace.errors import LogError
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import append, everything
from tests.support.logs import log
from tailrace.events import types as t

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    events = log([t.ItemStarted(0, "message"), *(t.TextDelta(0, "x" * 5000) for _ in range(200))])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    done = 0
    try:
        for event in events:
            await append(store, "run", [event])
            done += 1
    except LogError as error:
        print("refused", done, flush=True)
    assert await everything(store, "run") == events[:done]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await append(store, "run", events[done:done + 1])
    assert await everything(store, "run") == events[:done + 1]
    await store.close()
    print("recovered", flush=True)

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def writers() -> Generator[Forks, None, None]:
    with forking("tests.contracts.log_contract") as made:
        yield made


async def test_a_commit_survives_a_power_loss(tmp_path: Path) -> None:
    """SIGKILL cannot show it: the kernel keeps written pages. In WAL mode only `FULL` syncs each commit."""
    store = SqliteStore(tmp_path)
    await store.open()
    with closing(connect(tmp_path)) as connection:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2}
    await store.close()


async def test_every_acknowledged_event_survives_a_kill(tmp_path: Path, writers: Forks) -> None:
    """A writer is killed at 45 random acknowledgements, over one and the same folder."""
    chance = random.Random(7)
    acknowledged: dict[str, int] = {}
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for kill in range(45):
        process = writers.start(WRITER, [str(tmp_path), str(kill)], pipe)
        with pipe.open(encoding="utf-8") as said:
            for _ in range(chance.randint(1, 150)):
                name, written = said.readline().split()
                acknowledged[name] = int(written)
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=patient(20)) == -signal.SIGKILL
    store = SqliteStore(tmp_path)
    await store.open()
    open_runs = set(await store.log.open_runs())
    for name, count in acknowledged.items():
        events = await everything(store, name)
        assert len(events) >= count
        assert events == ENDED[: len(events)]
        assert (name in open_runs) == (len(events) < len(ENDED))
    await store.close()


async def test_ended_runs_are_one_row_and_segments_go(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    for n in range(5):
        for start in range(0, len(ENDED), 3):
            await append(store, f"run{n}", ENDED[start : start + 3])
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (5,)
        assert connection.execute("SELECT count(*) FROM segments").fetchone() == (0,)
    connection.close()
    again = SqliteStore(tmp_path)
    await again.open()
    assert await everything(again, "run3") == ENDED
    await again.close()


async def test_a_long_live_run_is_chunked_and_recovered(tmp_path: Path) -> None:
    events = log([t.ItemStarted(0, "message"), *(t.TextDelta(0, "x") for _ in range(2000))])
    store = SqliteStore(tmp_path)
    await store.open()
    for start in range(0, len(events), 7):
        await append(store, "run", events[start : start + 7])
    await store.close()
    again = SqliteStore(tmp_path)
    await again.open()
    assert await again.log.open_runs() == ["run"]
    assert await everything(again, "run") == events
    more = [Event(len(events), 1, "", "", t.RunAttempt(2, "again"))]
    await append(again, "run", more, attempt=2)
    assert await everything(again, "run", len(events) - 2) == [events[-1], *more]
    await again.close()


async def test_one_folder_has_one_owner(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    with pytest.raises(LogError, match="in use"):
        await SqliteStore(tmp_path).open()
    await store.close()
    again = SqliteStore(tmp_path)
    await again.open()
    await again.close()


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    process = _start(FULL, str(tmp_path))
    output, _ = process.communicate(timeout=50)
    refused, recovered = output.splitlines()
    assert refused.split()[0] == "refused"
    assert int(refused.split()[1]) > 10
    assert recovered == "recovered"
    assert process.returncode == 0


async def test_bytes_of_an_unknown_schema_are_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    await append(store, "run", ENDED)
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE chunks SET schema = 99")
    connection.close()
    again = SqliteStore(tmp_path)
    await again.open()
    with pytest.raises(Unreadable):
        await again.log.read("run", -1)
    await again.close()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.open()
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogError, match="newer"):
        await SqliteStore(tmp_path).open()


def test_an_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    program = (
        "import asyncio,sys; from pathlib import Path\n"
        "from tailrace.log.stores.sqlite.store import SqliteStore\n"
        "asyncio.run(SqliteStore(Path(sys.argv[1])).open())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert "LogError" in done.stderr
