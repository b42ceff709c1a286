"""Requests of customers on the surfaces of `/v1` and the native one, as the clients of each send them."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.adversary.wire import Resume, Wire
from tests.adversary.witness import Asked, Story, Talk, Tape

DONE = b"data: [DONE]\n\n"
FOREVER = {"x-disconnect-grace": "forever"}
WORDS = ("north", "by", "the", "river", "where", "it", "is", "warm")
AGENTS = (("walker", "walk"), ("lead", "send two"), ("talker", "say"))


class Customer:
    """A client that does one thing and records what it receives."""

    def __init__(self, wire: Wire, story: Story, chance: random.Random) -> None:
        self.wire = wire
        self.story = story
        self.chance = chance
        self._keys = 0

    def text(self, begin: str = "say") -> str:
        """A text that no other client sends."""
        return f"{begin} {self.story.mark} {' '.join(self.chance.choices(WORDS, k=6))}"

    def errand(self) -> tuple[str, str]:
        """An agent, and a task for it."""
        agent, begin = self.chance.choice(AGENTS)
        return agent, self.text(begin)

    def key(self) -> dict[str, str]:
        self._keys += 1
        return {"idempotency-key": f"{self.story.mark} {self._keys}"}

    def tape(self, surface: str, whole: Asked) -> Tape:
        made = Tape(surface, whole)
        self.story.tapes.append(made)
        return made

    async def watch(self, surface: str, begin: Asked, resume: Resume = lambda _: None) -> Tape:
        """Read the reply to a request that returns the complete reply each time it is sent."""
        tape = self.tape(surface, begin)
        await self.wire.follow(tape, begin, resume)
        self.story.runs.add(tape.run)
        return tape

    async def job(self, run: str) -> Any:
        """The document of a run."""
        return (await self.wire.ask(Asked("GET", f"/jobs/job_{run}"))).json()

    async def waiting(self, run: str) -> Any:
        """The questions that a run waits for, as soon as it waits; None if it has ended instead."""
        while (job := await self.job(run))["status"] != "waiting":
            if job["ended_at"] is not None:
                return None
            await self.wire.pause()
        return job["waiting_for"][0]

    def answered(self, run: str) -> None:
        self.story.answered[run] = self.story.answered.get(run, 0) + 1


Play = Callable[[Customer], Awaitable[None]]


def post(path: str, body: Any, headers: Mapping[str, str] | None = None) -> Asked:
    return Asked("POST", path, json.dumps(body).encode(), headers or {})


def _rest_of_response(tape: Tape) -> tuple[Asked, int] | None:
    """By the id of the response and the number of its last event, as the official client does."""
    frames = tape.frames
    if not frames:
        return None
    id = json.loads(frames[0].partition(b"data: ")[2])["response"]["id"]
    tape.whole = Asked("GET", f"/v1/responses/{id}?stream=true")
    number = len(frames) - 1 - (frames[-1] == DONE)
    return Asked("GET", f"/v1/responses/{id}?starting_after={number}"), number + 1


async def respond(customer: Customer, body: Mapping[str, Any]) -> str:
    """Create a response, streamed or not; returns its id."""
    if customer.chance.random() < 0.6:
        asked = post("/v1/responses", {**body, "stream": True}, customer.key())
        tape = await customer.watch("responses", asked, _rest_of_response)
        _rest_of_response(tape)
        return str(json.loads(tape.frames[0].partition(b"data: ")[2])["response"]["id"])
    asked = post("/v1/responses", body, customer.key())
    answer = await customer.wire.ask(asked)
    customer.story.runs.add(answer.run)
    id = str(answer.json()["id"])
    customer.story.documents.append((Asked("GET", f"/v1/responses/{id}"), answer.body))
    return id


async def responses(customer: Customer) -> None:
    agent, text = customer.errand()
    await respond(customer, {"model": agent, "input": text})


async def responses_approved(customer: Customer) -> None:
    body = {"model": "payer", "input": customer.text("pay")}
    id = await respond(customer, body)
    run = id.removeprefix("resp_")
    if await customer.waiting(run) is None:
        return
    shown = (await customer.wire.ask(Asked("GET", f"/v1/responses/{id}"))).json()
    asked = next(item for item in shown["output"] if item["type"] == "mcp_approval_request")
    yes = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    await respond(customer, {"model": "payer", "previous_response_id": id, "input": [yes]})
    customer.answered(run)


async def previous(customer: Customer) -> None:
    id = None
    for _ in range(3):
        body = {"model": "talker", "input": customer.text(), "previous_response_id": id}
        id = await respond(customer, body)


async def conversation(customer: Customer) -> None:
    made = await customer.wire.ask(post("/v1/conversations", {}, customer.key()))
    talk = Talk(made.json()["id"])
    customer.story.talks.append(talk)
    for _ in range(3):
        text = customer.text()
        body = {"model": "talker", "input": text, "conversation": talk.conversation}
        id = await respond(customer, body)
        talk.said.append(text)
        talk.runs.append(id.removeprefix("resp_"))


async def chat(customer: Customer) -> None:
    agent, text = customer.errand()
    body = {"model": agent, "messages": [{"role": "user", "content": text}], "stream": True}
    more = {"stream_options": {"include_usage": True}} if customer.chance.random() < 0.5 else {}
    headers = {**customer.key(), **FOREVER}
    await customer.watch("chat", post("/v1/chat/completions", {**body, **more}, headers))


async def messages(customer: Customer) -> None:
    agent, text = customer.errand()
    turn = {"role": "user", "content": text}
    body = {"model": agent, "max_tokens": 900, "messages": [turn], "stream": True}
    headers = {**customer.key(), **FOREVER, "anthropic-version": "2023-06-01"}
    await customer.watch("messages", post("/v1/messages", body, headers))


async def native(customer: Customer) -> None:
    agent, text = customer.errand()
    await _job(customer, agent, text)


async def native_approved(customer: Customer) -> None:
    await _job(customer, "payer", customer.text("pay"))


async def native_asked(customer: Customer) -> None:
    await _job(customer, "asker", customer.text("ask me"))


async def wild(customer: Customer) -> None:
    """With the model that misbehaves."""
    customer.story.wild = True
    await _job(customer, "victim", customer.text())


async def begun(customer: Customer, agent: str, text: str) -> str:
    asked = post("/jobs", {"agent": agent, "input": text}, customer.key())
    job = (await customer.wire.ask(asked, (202,))).json()["id"]
    run = str(job).removeprefix("job_")
    customer.story.runs.add(run)
    return run


async def _job(customer: Customer, agent: str, text: str) -> None:
    run = await begun(customer, agent, text)
    if agent in ("payer", "asker") and (asked := await customer.waiting(run)) is not None:
        if asked["kind"] == "approval":
            answer = {"item": asked["item"], "asked": asked["asked"], "approved": True}
        else:
            answer = {"request_id": asked["request_id"], "value": "the red one"}
        await customer.wire.ask(post(f"/jobs/job_{run}/input", answer), (202,))
        customer.answered(run)
    await customer.watch("native", *native_question(run))


def native_question(run: str) -> tuple[Asked, Resume]:
    """A complete job, and how its client resumes: by the id of the last event."""
    path = f"/jobs/job_{run}/stream"

    def resume(tape: Tape) -> tuple[Asked, int] | None:
        number = len(tape.frames)
        last = {"last-event-id": str(number - 1)}
        return (Asked("GET", path, None, last), number) if number else None

    return Asked("GET", path), resume


async def cancelled(customer: Customer) -> None:
    """A run that is started, read and cancelled, each on any surface."""
    run = await begun(customer, "walker", customer.text("long"))
    way = customer.chance.choice(("/jobs/job_{}/cancel", "/v1/responses/resp_{}/cancel"))
    await customer.wire.ask(post(way.format(run), {}), (200, 400, 409))
    customer.story.cancelled.add(run)
    await customer.watch("native", *native_question(run))


async def deleted(customer: Customer) -> None:
    """A run that is read, then deleted, possibly in the middle."""
    run = await begun(customer, "talker", customer.text())
    if customer.chance.random() < 0.5:
        await customer.wire.follow(Tape("native", Asked("GET", "/")), *native_question(run))
    await customer.wire.ask(Asked("DELETE", f"/v1/responses/resp_{run}"), (200, 404, 410))
    customer.story.deleted.add(run)
