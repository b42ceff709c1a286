"""The auditor: compares the output that clients saw with the output that the server shows afterwards.

It knows the protocols, as any client does, and nothing about the server.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.adversary.wire import Wire
from tests.adversary.witness import Asked, Piece, Story, Talk, Tape

GIVEN_UP = "attempts in a row were cut off before the agent got any further"
"""The server's message for a run whose process died three times at one place: the run may be the cause."""
SETTLE_SECONDS = 30.0
ENDED = ("completed", "incomplete", "failed", "cancelled")
MARK = re.compile(rb"mark[0-9a-f]{12}")
RUN = re.compile(
    rb"(?:run|job|resp|msg|rs|fc|mcp|mcpr|apr|call|out|chatcmpl|item)[_-]([0-9a-hjkmnp-tv-z]{26})"
)


def compared(tape: Tape, final: Sequence[bytes]) -> list[str]:
    """The differences between a tape and the stream that the server shows afterwards."""
    wrong = [
        f"{tape.surface} {tape.run}, connection {number}: {fault}"
        for number, piece in enumerate(tape.pieces)
        for fault in _piece(piece, final)
    ]
    if not tape.pieces or not tape.pieces[-1].ended:
        wrong.append(f"{tape.surface} {tape.run}: it was never whole")
    return wrong


def _piece(piece: Piece, final: Sequence[bytes]) -> Iterable[str]:
    end = piece.first + len(piece.frames)
    expected = final[piece.first : end]
    for number, (seen, shown) in enumerate(zip(piece.frames, expected, strict=False), piece.first):
        if seen != shown:
            yield f"frame {number} was {seen[:300]!r} and is {shown[:300]!r}"
            return
    if len(expected) < len(piece.frames):
        yield f"{len(piece.frames) - len(expected)} frames at {end} are gone: {piece.frames[-1]!r}"
    elif piece.ended and (end != len(final) or piece.rest):
        yield f"it ended after {end} frames of {len(final)}"
    elif not begins(piece.rest, final[end : end + 1]):
        yield f"{piece.rest!r} was no beginning of frame {end}"


def begins(rest: bytes, following: Sequence[bytes]) -> bool:
    """Whether the rest after a cut is the beginning of the following frame, or of a heartbeat."""
    return not rest or rest.startswith(b":") or any(each.startswith(rest) for each in following)


def strangers(story: Story, data: bytes) -> list[str]:
    """The marks and runs of other customers in the data that a customer received."""
    others = {mark for mark in MARK.findall(data) if mark.decode() != story.mark}
    runs = {run for run in RUN.findall(data) if run.decode() not in story.runs}
    return [f"{story.name} {story.mark} saw {each!r} of another" for each in (*others, *runs)]


def orders(job: Any, effects: Counter[str]) -> list[str]:
    """The orders that the run reports as made and that did not take effect exactly once."""
    wrong = []
    for item in job["output"]:
        content, told = item["content"] or {}, item["tool_output"] or {}
        if content.get("type") != "tool_call" or content["name"] != "order":
            continue
        key = f"{job['run_id'].removeprefix('run_')}:{item['item']}"
        made = told.get("type") == "tool.completed" and not told.get("is_error")
        if made and effects[key] != 1:
            wrong.append(f"{key} is said to be ordered, and was {effects[key]} times")
    return wrong


def repeated(effects: Counter[str]) -> list[str]:
    """Orders that were made more than once."""
    return [f"{key} was ordered {times} times" for key, times in effects.items() if times > 1]


def effects_of(file: Path) -> Counter[str]:
    """The number of effects of each order, by its key."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return Counter(line.split()[2] for line in lines if line.startswith("order "))


class Auditor:
    """Requests everything from the server afterwards, as each tenant; `wrong` has the faults."""

    def __init__(self, wires: dict[str, Wire], effects: Path) -> None:
        self._wires = wires
        self._effects = effects
        self.wrong: list[str] = []
        self.figures: Counter[str] = Counter()
        self._given_up: set[str] = set()

    async def check(self, stories: Sequence[Story]) -> None:
        """The complete stream, while no other client reads it."""
        await self.settled()
        effects = effects_of(self._effects)
        self.wrong += repeated(effects)
        for story in stories:
            await self._story(story, effects)
        self.figures["effects"] = effects.total()

    async def settled(self) -> None:
        """Wait until all runs have ended, also those whose client left."""
        until = time.monotonic() + SETTLE_SECONDS
        while (still := await self._open()) and time.monotonic() < until:
            await asyncio.sleep(0.1)
        self.wrong += [f"{id} does not end, though nothing happens any more" for id in still]

    async def _open(self) -> list[str]:
        """From the jobs themselves: if a process died while it wrote an end, their list is outdated until
        the sweep."""
        still = []
        for wire in self._wires.values():
            for job in (await wire.ask(Asked("GET", "/jobs"))).json()["data"]:
                asked = Asked("GET", f"/jobs/{job['id']}")
                if (
                    job["status"] not in ENDED
                    and (await wire.ask(asked)).json()["ended_at"] is None
                ):
                    still.append(job["id"])
        return still

    async def _story(self, story: Story, effects: Counter[str]) -> None:
        wire = self._wires[story.tenant]
        self.figures["stories"] += 1
        if not story.over:
            self.wrong.append(
                f"{story.name} {story.mark} {sorted(story.runs)} never came to its end"
            )
            return
        for run in story.runs - story.deleted:
            await self._run(wire, story, run, effects)
        for run in story.deleted:
            answer = await wire.ask(Asked("GET", f"/jobs/job_{run}"), (404, 410, 200))
            if answer.status == 200:
                self.wrong.append(f"{run} was deleted, and is there")
        for tape in story.tapes:
            await self._tape(wire, story, tape)
        for asked, before in story.documents:
            after = await wire.ask(asked)
            if json.loads(before) != json.loads(after.body):
                self.wrong.append(f"{asked.path} was {before!r} and is {after.body!r}")
            self.wrong += strangers(story, after.body)
            self.figures["documents"] += 1
        for talk in story.talks:
            await self._talk(wire, story, talk)

    async def _run(self, wire: Wire, story: Story, run: str, effects: Counter[str]) -> None:
        job = (await wire.ask(Asked("GET", f"/jobs/job_{run}"))).json()
        self.figures["runs"] += 1
        self.figures[f"runs {job['status']}"] += 1
        self.figures["takeovers"] += job["attempt"] - 1
        if job["status"] not in ENDED:
            self.wrong.append(f"{story.name} {run} is {job['status']} at the end")
            return
        self._status(story, run, job)
        self.wrong += orders(job, effects)
        await self._log(wire, story, run)
        await self._others(story, run)

    def _status(self, story: Story, run: str, job: Any) -> None:
        """A cancelled run may have been complete already, and a crash loop may have been the run's fault."""
        if job["error"] is not None and GIVEN_UP in job["error"]["message"]:
            self.figures["runs given up"] += 1
            self._given_up.add(run)
        elif job["status"] == "failed" and not story.wild:
            self.wrong.append(f"{story.name} {run} is failed: {job['error']}")
        elif job["status"] == "cancelled" and run not in story.cancelled:
            self.wrong.append(f"{story.name} {run} is cancelled, which nobody asked for")
        elif job["status"] == "incomplete" and not story.wild:
            self.wrong.append(f"{story.name} {run} is incomplete")

    async def _log(self, wire: Wire, story: Story, run: str) -> None:
        log = (await wire.ask(Asked("GET", f"/jobs/job_{run}/stream"))).body.decode()
        events = [
            json.loads(line.removeprefix("data: "))
            for line in log.splitlines()
            if line.startswith("data: ")
        ]
        if [event["seq"] for event in events] != list(range(len(events))):
            self.wrong.append(f"{run}: its events are not numbered one by one")
        kinds = Counter(event["payload"]["type"] for event in events)
        ends = sum(kinds[f"run.{each}"] for each in ENDED)
        if ends != 1 or events[-1]["payload"]["type"] not in [f"run.{each}" for each in ENDED]:
            self.wrong.append(f"{run} ends {ends} times")
        if kinds["run.resumed"] != story.answered.get(run, 0):
            taken = kinds["run.resumed"]
            self.wrong.append(
                f"{run}: {story.answered.get(run, 0)} answers were {taken} in the end"
            )
        self.figures["answers"] += kinds["run.resumed"]
        self.figures["events"] += len(events)

    async def _others(self, story: Story, run: str) -> None:
        """No other tenant can see the run."""
        for tenant, wire in self._wires.items():
            if tenant != story.tenant:
                answer = await wire.ask(Asked("GET", f"/jobs/job_{run}"), (200, 404))
                if answer.status == 200:
                    self.wrong.append(f"{run} of {story.tenant} is shown to {tenant}")

    async def _tape(self, wire: Wire, story: Story, tape: Tape) -> None:
        whole = Tape(tape.surface, tape.whole)
        await wire.follow(whole, tape.whole)
        if whole.run != tape.run:
            self.wrong.append(f"{story.name}: {tape.run} asked for again was {whole.run}")
        self.wrong += compared(tape, whole.frames)
        seen = [frame for piece in tape.pieces for frame in piece.frames]
        self.wrong += strangers(story, b"".join((*seen, *whole.frames)))
        self.figures["frames"] += len(seen)
        self.figures["tapes"] += 1
        self.figures["resumed"] += len(tape.pieces) > 1

    async def _talk(self, wire: Wire, story: Story, talk: Talk) -> None:
        """Each turn once, with its reply, in order; the response of the last turn names the conversation."""
        conversation = talk.conversation
        if not conversation:
            path = f"/v1/responses/resp_{talk.runs[-1]}"
            conversation = (await wire.ask(Asked("GET", path))).json()["conversation"]["id"]
        path = f"/v1/conversations/{conversation}/items?order=asc&limit=100"
        data = (await wire.ask(Asked("GET", path))).json()["data"]
        held = [(item["role"], item["content"][0]["text"]) for item in data]
        expected = [
            (role, text)
            for text, run in zip(talk.said, talk.runs, strict=True)
            for role in ("user", "assistant")
            if role == "user" or run not in self._given_up
        ]
        if held != expected:
            self.wrong.append(f"{story.name} {talk.runs}: {conversation} has {held}")
        self.figures["turns"] += len(talk.said)
