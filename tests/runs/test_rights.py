"""NATS users with the rights that `deploy/nats-users.conf` grants and no others: a cluster works with them.
If one right is missing, a sentence in the log names it, and every request gets a reply instead of a hang."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from tailrace.errors import LogError
from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.store import NatsStore
from tests.runs.test_cluster import CAREFUL, SLOW, Reading, job, only_run
from tests.support import clusters
from tests.support.crashes import DONE
from tests.support.forks import Forks
from tests.support.nats_servers import Node, Settings, free_ports
from tests.support.servers import CONFIG, ChildServer, select_a_moment

FILE = Path(__file__).parents[2] / "deploy" / "nats-users.conf"
LAYOUT = Layout(shards=2, replicas=1, lease=1.0)
COMMAND = [sys.executable, "-c", "from tailrace.cli import main; main()"]
USERS = ("serve", "work", "init")
SECONDS = 45.0
"""Every request has a reply by then: a client that opens a stream waits for 30 s at most."""


def users(without: tuple[str, str] = ("", "")) -> str:
    """The content of the file, with passwords, and without one right of one user."""
    text = re.sub(r"\$(\w+)_PASSWORD", lambda name: name[1].lower(), FILE.read_text("utf-8"))
    who, right = without
    begin = text.index(f"user: {who}," if who else "accounts {")
    rest = text[begin:].replace(f'"{right}"', '"nothing"', 1) if right else text[begin:]
    assert not right or rest != text[begin:]
    return text[:begin] + rest


class Place:
    """A NATS server with users, and processes that use it."""

    def __init__(self, folder: Path, node: Node) -> None:
        self._node = node
        self.made = clusters.Cluster(
            folder / "processes", clusters.config_of(LAYOUT, [node], CONFIG + CAREFUL)
        )

    def url(self, user: str) -> str:
        return self._node.url.replace("//", f"//{user}:{user}@")

    def init(self) -> str:
        """Run `tailrace engine init`; returns its output."""
        file = self.made.add("init").folder / "tailrace.toml"
        command = [*COMMAND, "engine", "init", str(file), "--engine", self.url("init")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def start(self, role: str, forks: Forks, *, doomed: bool = False) -> ChildServer:
        user = "serve" if role == "api" else "work"
        more = ["--role", role, "--engine", self.url(user)]
        return self.made.add(role).start(more=more, forks=forks, doomed=doomed)

    def said(self) -> str:
        """The log output of all processes."""
        files = [each.folder / "stderr.txt" for each in self.made.all]
        return "".join(each.read_text("utf-8") for each in files if each.exists())


@contextmanager
def place(folder: Path, rights: str) -> Generator[Place, None, None]:
    node = Node(folder, "n0", (free_ports(2)[0], free_ports(1)[0]), rights, Settings())
    node.start()
    made = Place(folder, node)
    try:
        yield made
    finally:
        for child in made.made.all:
            child.kill()
        node.stop()


def test_a_cluster_works_with_these_rights(tmp_path: Path, forks: Forks) -> None:
    with place(tmp_path, users()) as made:
        assert "4 streams, 1 replicas" in made.init()
        one, other = made.start("api", forks), made.start("api", forks)
        first = made.start("worker", forks)
        reading = Reading(one.port, SLOW)
        run = only_run(other)
        made.start("worker", forks)
        first.kill()
        reading.join()
        assert reading.frames[-1] == DONE, "another worker has taken it over"
        approved(one, other)
        cancelled(one, other)
        gone = httpx.delete(f"{other.url}/v1/responses/resp_{run}", timeout=20)
        assert gone.status_code == 200
        assert httpx.get(f"{one.url}/v1/responses/resp_{run}", timeout=20).status_code == 404
        command = [*COMMAND, "token", "create", "ann", "--config"]
        file = str(one.folder / "tailrace.toml")
        toml = Path(file).read_text("utf-8").replace("nats://", "nats://serve:serve@")
        Path(file).write_text(toml, "utf-8")
        token = subprocess.run([*command, file], capture_output=True, text=True, check=False)
        assert token.returncode == 0, token.stderr
        assert "no right" not in made.said() + token.stderr


def approved(one: ChildServer, other: ChildServer) -> None:
    """A pause whose answer arrives at another process."""
    asked = httpx.post(f"{one.url}/jobs", json={"agent": "careful", "input": "buy"}, timeout=20)
    run = asked.json()["id"].removeprefix("job_")
    while not (waits := job(one, run)["waiting_for"]):
        select_a_moment()
    answer = {"item": waits[0]["item"], "asked": waits[0]["asked"], "approved": True}
    said = httpx.post(f"{other.url}/jobs/job_{run}/input", json=answer, timeout=20)
    assert said.status_code == 202
    while job(one, run)["status"] != "completed":
        select_a_moment()


def cancelled(one: ChildServer, other: ChildServer) -> None:
    """A run that is cancelled through another process than the one that started it."""
    begun = httpx.post(f"{one.url}/jobs", json={"agent": "slow", "input": "w " * 400}, timeout=20)
    run = begun.json()["id"].removeprefix("job_")
    assert httpx.post(f"{other.url}/jobs/job_{run}/cancel", timeout=20).status_code == 200
    assert job(one, run)["status"] == "cancelled"


def rights(user: str) -> list[str]:
    """The rights of a user according to the file."""
    text = FILE.read_text("utf-8")
    part = text[text.index(f"user: {user},") :]
    ends = part.find("user: ", 6)
    return re.findall(r'"([^"]+)"', part[: ends if ends > 0 else len(part)])


LESS = [(user, right) for user in USERS for right in dict.fromkeys(rights(user))]


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("user", "right"), LESS, ids=lambda value: str(value))
def test_a_missing_right_is_reported_and_hangs_no_request(
    user: str, right: str, tmp_path: Path, forks: Forks, caplog: pytest.LogCaptureFixture
) -> None:
    with place(tmp_path, users((user, right))) as made:
        said = made.init()
        if user == "init":
            asyncio.run(longer(made.url(user)))
        else:
            api = made.start("api", forks, doomed=True)
            made.start("worker", forks, doomed=True)
            if api.process is not None and api.process.poll() is None:
                used(api)
            asyncio.run(swept(made.url(user)))
            said = made.said()
        said += caplog.text
        shape = re.escape(right).replace(r"\*", r"\S+").replace(">", r"\S+")
        assert re.search(f"no right to (publish|subscribe) to {shape}", said, re.IGNORECASE), said


async def longer(url: str) -> None:
    """The requests of `tailrace engine init` when the retention of runs becomes longer."""
    client = Client([url])
    with suppress(LogError):
        await client.open()
        await layouts.create(
            client, msgspec.structs.replace(LAYOUT, retention_seconds=LAYOUT.retention_seconds * 2)
        )
    await client.close()


async def swept(url: str) -> None:
    """The requests that a sweep sends from time to time."""
    store = NatsStore([url], LAYOUT)
    with suppress(LogError):
        await store.open()
    with suppress(LogError):
        await store.log.drop(["gone"])
    with suppress(LogError):
        await store.work.offer("lost")
    await store.close()


CUT = (httpx.RemoteProtocolError, httpx.ConnectError)
"""An incomplete stream is cut, and a process that lacks a right may stop."""


def used(api: ChildServer) -> None:
    """All actions that need a right, at the same time: whatever the reply, it arrives in time."""
    threads = [threading.Thread(target=each, args=(api,)) for each in (_streamed, _asked_and_gone)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 15)
        assert not thread.is_alive(), "a request hangs"


def _streamed(api: ChildServer) -> None:
    body = {"model": "slow", "input": "word " * 100, "stream": True}
    until = time.monotonic() + SECONDS
    with (
        suppress(*CUT),
        httpx.Client(base_url=api.url, timeout=SECONDS) as client,
        client.stream("POST", "/v1/responses", json=body) as reply,
    ):
        for _ in reply.iter_raw():  # including heartbeats
            if time.monotonic() > until:
                break


def _asked_and_gone(api: ChildServer) -> None:
    with suppress(*CUT), httpx.Client(base_url=api.url, timeout=SECONDS) as client:
        made = client.post("/jobs", json={"agent": "slow", "input": "w " * 400})
        if made.status_code != 202:
            return
        run = made.json()["id"].removeprefix("job_")
        client.get(f"/jobs/job_{run}")
        client.post(f"/jobs/job_{run}/cancel")
        client.delete(f"/v1/responses/resp_{run}")
