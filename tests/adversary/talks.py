"""Requests of customers on the surfaces with conversations: AI SDK UI, AG-UI, NDJSON sessions, and named
ones of Chat."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.adversary.plays import FOREVER, Customer, post
from tests.adversary.wire import Resume
from tests.adversary.witness import Asked, Talk, Tape

PROGRESS = b'data: {"type":"data-streamProgress"'
TURNS = 3


def _talk(customer: Customer) -> Talk:
    """A conversation under the client's own name for it, which no other client uses."""
    talk = Talk("")
    customer.story.talks.append(talk)
    return talk


def _said(talk: Talk, text: str, tape: Tape) -> None:
    talk.said.append(text)
    talk.runs.append(tape.run)


def _ui_resume(chat: str) -> Resume:
    """By position: a client counts chunks, because a connection may break between a chunk and its position.
    After the terminal position follow `finish` and `[DONE]`, which have none: the server sends both again."""

    def resume(tape: Tape) -> tuple[Asked, int] | None:
        frames = tape.frames
        places = [frame for frame in frames if frame.startswith(PROGRESS)]
        if not places:
            return None
        begins, last = (json.loads(place[6:])["data"] for place in (places[0], places[-1]))
        if last["terminal"]:
            after, first = last["sequenceNumber"], frames.index(places[-1]) + 1
        else:
            seen = len(frames) - len(places)
            after, first = begins["sequenceNumber"] + seen - 1, 2 * seen
        query = f"after={after}&responseId=run_{tape.run}"
        return Asked("GET", f"/api/chat/{chat}/stream?{query}"), first

    return resume


def _ui_message(customer: Customer, text: str) -> dict[str, Any]:
    part = {"type": "text", "text": text}
    return {"id": f"m{customer.chance.random()}", "role": "user", "parts": [part]}


async def ui(customer: Customer) -> None:
    """A chat of some turns; each request contains the earlier turns."""
    talk, chat = _talk(customer), f"chat-{customer.story.mark}"
    past: list[dict[str, Any]] = []
    for _ in range(TURNS):
        text = customer.text()
        past.append(_ui_message(customer, text))
        body = {"id": chat, "agent": "talker", "messages": past}
        asked = post("/api/chat", body, customer.key())
        tape = await customer.watch("ui", asked, _ui_resume(chat))
        _said(talk, text, tape)
        part = {"type": "text", "text": text}
        past.append({"id": f"msg_{tape.run}", "role": "assistant", "parts": [part]})


async def ui_errand(customer: Customer) -> None:
    agent, text = customer.errand()
    chat = f"chat-{customer.story.mark}"
    body = {"id": chat, "agent": agent, "messages": [_ui_message(customer, text)]}
    await customer.watch("ui", post("/api/chat", body, customer.key()), _ui_resume(chat))


async def ui_approved(customer: Customer) -> None:
    chat = f"chat-{customer.story.mark}"
    user = _ui_message(customer, customer.text("pay"))
    body = {"id": chat, "agent": "payer", "messages": [user]}
    first = await customer.watch("ui", post("/api/chat", body, customer.key()), _ui_resume(chat))
    asked = await customer.waiting(first.run)
    if asked is None:
        return
    approval = {"id": f"apr_{first.run}_{asked['item']}", "approved": True}
    assistant = {"id": f"msg_{first.run}", "role": "assistant", "parts": []}
    answer = {**body, "messages": [user, assistant], "approvals": [approval]}
    await customer.watch("ui", post("/api/chat", answer), _ui_resume(chat))
    customer.answered(first.run)


async def agui(customer: Customer) -> None:
    talk, thread = _talk(customer), f"thread-{customer.story.mark}"
    past: list[dict[str, Any]] = []
    for number in range(TURNS):
        text = customer.text()
        past.append({"id": f"m{number}", "role": "user", "content": text})
        body = {"threadId": thread, "runId": f"{thread} {number}", "messages": past}
        tape = await customer.watch("agui", post("/agui/talker", body))
        _said(talk, text, tape)
        past.append({"id": f"a{number}", "role": "assistant", "content": text})


async def agui_errand(customer: Customer) -> None:
    agent, text = customer.errand()
    thread = f"thread-{customer.story.mark}"
    user = {"id": "m", "role": "user", "content": text}
    body = {"threadId": thread, "runId": f"{thread} 0", "messages": [user]}
    await customer.watch("agui", post(f"/agui/{agent}", body))


async def agui_approved(customer: Customer) -> None:
    thread = f"thread-{customer.story.mark}"
    user = {"id": "m", "role": "user", "content": customer.text("pay")}
    body = {"threadId": thread, "runId": f"{thread} 0", "messages": [user]}
    first = await customer.watch("agui", post("/agui/payer", body))
    asked = await customer.waiting(first.run)
    if asked is None:
        return
    yes = {"interruptId": f"apr_{first.run}_{asked['item']}", "status": "resolved"}
    resume = [{**yes, "payload": {"approved": True}}]
    answer = {**body, "runId": f"{thread} 1", "resume": resume}
    await customer.watch("agui", post("/agui/payer", answer))
    customer.answered(first.run)


def _session_resume(session: str) -> Resume:
    """By the number of the last line, and the run that it belongs to."""

    def resume(tape: Tape) -> tuple[Asked, int] | None:
        number = len(tape.frames)
        query = f"after={number - 1}&run=run_{tape.run}"
        return (Asked("GET", f"/api/stream/{session}?{query}"), number) if number else None

    return resume


async def session(customer: Customer) -> None:
    talk, name = _talk(customer), f"session-{customer.story.mark}"
    for _ in range(TURNS):
        text = customer.text()
        body = {"message": text, "sessionId": name, "agentId": "talker"}
        asked = post("/api/stream", body, customer.key())
        tape = await customer.watch("session", asked, _session_resume(name))
        _said(talk, text, tape)


async def session_errand(customer: Customer) -> None:
    agent, text = customer.errand()
    name = f"session-{customer.story.mark}"
    body = {"message": text, "sessionId": name, "agentId": agent}
    await customer.watch(
        "session", post("/api/stream", body, customer.key()), _session_resume(name)
    )


async def session_asked(customer: Customer) -> None:
    """The stream stays open during the question, and the answer is the next message."""
    name = f"session-{customer.story.mark}"
    body = {"message": customer.text("ask me"), "sessionId": name, "agentId": "asker"}
    begin = post("/api/stream", body, customer.key())
    tape = customer.tape("session", begin)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(customer.wire.follow(tape, begin, _session_resume(name)))
        while not tape.run:
            await customer.wire.pause()
        customer.story.runs.add(tape.run)
        if await customer.waiting(tape.run) is not None:
            answer = {**body, "message": customer.text("the red one")}
            await customer.watch("session", post("/api/stream", answer, customer.key()))
            customer.answered(tape.run)
        await reading


async def named_chat(customer: Customer) -> None:
    """Chat Completions in a conversation by the client's name for it."""
    talk, name = _talk(customer), f"talk-{customer.story.mark}"
    for _ in range(TURNS):
        text = customer.text()
        user = {"role": "user", "content": text}
        body = {"model": "talker", "messages": [user], "conversation_id": name, "stream": True}
        headers = {**customer.key(), **FOREVER}
        tape = await customer.watch("chat", post("/v1/chat/completions", body, headers))
        _said(talk, text, tape)
