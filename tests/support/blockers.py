"""Agents that block the event loop or end the process, and one beside them that only works."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment

AGENTS = '''
import asyncio, os, re, time
from pathlib import Path

from tailrace.runtimes.adapters.generator.runtime import GeneratorRuntime
from tailrace.runtimes.tools.functions import tool

BEGUN = Path(__file__).parent.parent / "begun.txt"
MAY_EXIT = BEGUN.with_name("exit")


def begun(name):
    with BEGUN.open("a") as file:
        file.write(name + "\\n")


def agent(function):
    async def noted(run):
        begun(function.__name__)
        async for piece in function(run):
            yield piece

    return GeneratorRuntime(function.__name__, noted, restarts=True)


@agent
async def sleeps(run):
    yield "I sleep."
    time.sleep(3600)


@agent
async def spins(run):
    yield "I spin."
    while True:
        pass


@agent
async def backtracks(run):
    yield "I match."
    re.match("^(a+)+$", "a" * 60 + "b")


@agent
async def swallows(run):
    yield "I swallow."
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass


@agent
async def hides(run):
    """A task of its own holds the loop, and the agent does not want to hear of it."""
    yield "My child sleeps."
    child = asyncio.create_task(asleep())
    while True:
        try:
            await asyncio.sleep(3600)
        except Exception:
            pass


async def asleep():
    time.sleep(3600)


class AtOnce:
    """It holds the loop before it has said anything."""

    resumes = True

    def registry(self):
        return ()

    async def run(self, context):
        begun("at_once")
        time.sleep(3600)


at_once = AtOnce()


@agent
async def dawdles(run):
    await asyncio.sleep(0.5)
    begun("dawdles at last")
    time.sleep(3600)
    yield "Never said."


@agent
async def computes(run):
    """Signals come when a statement is done, and this one is not before next year."""
    await asyncio.sleep(0.5)
    yield "I compute."
    sum(range(10**18))


@agent
async def swallows_all(run):
    """However often."""
    await asyncio.sleep(0.5)
    yield "I swallow."
    while True:
        try:
            while True:
                try:
                    time.sleep(3600)
                except BaseException:
                    pass
        except BaseException:
            pass


@agent
async def exits(run):
    yield "I exit."
    while not MAY_EXIT.exists():
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    os._exit(7)


@agent
async def counts(run):
    for number in range(60):
        yield f"{number} "
        await asyncio.sleep(0.05)


@tool(idempotent=True)
async def block(what: str) -> str:
    """Hold the loop."""
    begun("tooled")
    time.sleep(3600)
    return what
'''
BLOCKING = ("sleeps", "spins", "backtracks", "swallows", "hides", "at_once", "tooled")
CONFIG = """
[server]
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"

[agents.tooled]
model = "script"
tools = ["helper_tools:block"]
""" + "".join(
    f'[agents.{name}]\nentry = "helper_tools:{name}"\n'
    for name in (*BLOCKING[:-1], "dawdles", "computes", "swallows_all", "exits", "counts")
)
SCENARIO = """
[[replies]]
steps = [{ call = "block", arguments = { what = "all" } }]
"""


def let_exit(server: ChildServer) -> None:
    """From now on the agent `exits` ends its process."""
    (server.folder.parent / "exit").touch()


def start(server: ChildServer, agent: str) -> str:
    """Start a run; returns its job's id."""
    reply = httpx.post(f"{server.url}/jobs", json={"agent": agent, "input": "go"}, timeout=60)
    assert reply.status_code in (200, 201, 202), reply.text
    return str(reply.json()["id"])


def job(server: ChildServer, id: str) -> dict[str, Any]:
    """The state of a run."""
    found: dict[str, Any] = httpx.get(f"{server.url}/jobs/{id}", timeout=60).json()
    return found


def ended(server: ChildServer, id: str, seconds: float = 60) -> dict[str, Any]:
    """A run, after it has ended."""
    deadline = time.monotonic() + patient(seconds)
    while (found := job(server, id))["status"] in ("in_progress", "queued"):
        assert time.monotonic() < deadline, f"run {id} has not ended: {found}"
        select_a_moment()
    return found


def begun(server: ChildServer) -> list[str]:
    """The agents that started to work, in order."""
    file = server.folder.parent / "begun.txt"
    return file.read_text().split("\n")[:-1] if file.exists() else []


def until_begun(server: ChildServer, times: int, seconds: float = 30) -> None:
    """Wait until agents have started to work so many times."""
    deadline = time.monotonic() + patient(seconds)
    while len(begun(server)) < times:
        assert time.monotonic() < deadline, begun(server)
        select_a_moment()
