"""The operations on runs, without HTTP: start, answer, read, follow, cancel, list, forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

import tailrace
from tailrace.assembly import instance as assembly
from tailrace.auth.limits import NO_LIMITS, Account
from tailrace.errors import BadRequest, Conflict, NotFound, TooMany, Unavailable, Unprocessable
from tailrace.events.answers import Answer, Approval
from tailrace.events.items import Message, TextPart, text_of
from tailrace.events.request import RunRequest
from tailrace.http.instance import Instance
from tailrace.runs.directory import Filter
from tailrace.runs.owner import Owner
from tailrace.runtimes.adapters.generator.run import GeneratorPiece
from tailrace.service import stored_runs
from tailrace.service.caller import Caller, Delivery
from tailrace.service.run_service import RunService
from tailrace.service.views import view

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")


def caller(owner: Owner = ANN, **delivery: object) -> Caller:
    return Caller(owner, owner, delivery=msgspec.convert(delivery, Delivery))


def asked(agent: str = "poet", text: str = "hi", **more: object) -> RunRequest:
    said = Message(role="user", content=(TextPart(text),))
    request = RunRequest(agent=agent, model=agent, surface="native", input=(said,))
    return msgspec.structs.replace(request, **more)


class World:
    """A server over memory, without its HTTP. `poet` repeats its input, `stuck` continues until `go`."""

    def __init__(self) -> None:
        app = tailrace.App()
        server = msgspec.structs.replace(app.config.server, shutdown_seconds=0.05)
        app.config = msgspec.structs.replace(app.config, server=server)
        self.go = asyncio.Event()

        @app.agent("poet")
        async def poet(run: tailrace.Run) -> AsyncGenerator[GeneratorPiece, None]:
            yield run.text(run.input)

        @app.agent("stuck")
        async def stuck(run: tailrace.Run) -> AsyncGenerator[GeneratorPiece, None]:
            yield run.text("so far")
            await self.go.wait()

        self.instance: Instance = app.instance_over(assembly.memory_store())

    @property
    def service(self) -> RunService:
        return self.instance.service


@asynccontextmanager
async def opened() -> AsyncGenerator[World, None]:
    world = World()
    async with world.instance.lifecycle:
        try:
            yield world
        finally:
            world.go.set()


async def words(service: RunService, run: str) -> str:
    state = await service.wait_for_end(caller(), run)
    assert state is not None
    content = state.items[-1].content
    assert isinstance(content, Message)
    return text_of(content.content)


async def test_start_and_read() -> None:
    async with opened() as world:
        run, new = await world.service.start(caller(), asked(text="roses"), b"{}")
        assert new
        assert await words(world.service, run) == "roses"


async def test_a_turn_sees_the_one_before_it() -> None:
    async with opened() as world:
        service, id = world.service, (await world.service.conversations.by_name("c", ANN)).id
        first, _ = await service.start(caller(), asked(text="one", conversation=id), b"1")
        second, _ = await service.start(caller(), asked(text="two", conversation=id), b"2")
        request = await service.runs.directory.request(second)
        said = [text_of(each.content) for each in request.history if isinstance(each, Message)]
        assert said == ["one", "one"]
        third, _ = await service.start(caller(), asked(conversation=id), b"3", whole=True)
        assert (await service.runs.directory.request(third)).history == ()
        assert len({first, second, third}) == 3


async def test_a_turn_waits_for_the_previous_one_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored_runs, "WAIT_SECONDS", 0.01)
    async with opened() as world:
        id = (await world.service.conversations.by_name("c", ANN)).id
        await world.service.start(caller(), asked("stuck", conversation=id), b"1")
        with pytest.raises(Conflict, match="still in progress"):
            await world.service.start(caller(), asked(conversation=id), b"2")


async def test_the_same_request_is_one_run() -> None:
    async with opened() as world:
        start, keyed = world.service.start, caller(path="/jobs", key="k")
        run, new = await start(keyed, asked(), b"{}")
        assert await start(keyed, asked(), b"{}") == (run, False)
        assert new
        with pytest.raises(Unprocessable):
            await start(keyed, asked(), b"{ }")
        with pytest.raises(Unprocessable):
            await start(caller(path="/v1/messages", key="k"), asked(), b"{}")
        assert (await start(caller(BOB, path="/jobs", key="k"), asked(), b"{}"))[1]


async def test_a_retry_without_a_key_finds_the_run_of_the_first_request() -> None:
    async with opened() as world:
        start = world.service.start
        run, _ = await start(caller(path="/jobs"), asked(), b"{}")
        assert await start(caller(path="/jobs", retry=True), asked(), b"{}") == (run, False)
        assert (await start(caller(path="/jobs", retry=True), asked(), b"{ }"))[1]
        assert (await start(caller(path="/v1/messages", retry=True), asked(), b"{}"))[1]
        assert (await start(caller(path="/jobs"), asked(), b"{}"))[1]


async def test_a_run_is_its_owners() -> None:
    async with opened() as world:
        service = world.service
        run, _ = await service.start(caller(), asked(), b"{}")
        assert (await service.find(caller(), run)).run == run
        with pytest.raises(NotFound, match="No job found"):
            await service.find(caller(BOB), run, "job")
        page = await service.list(caller(), Filter(), after="", limit=9)
        assert [record.run for record in page.runs] == [run]
        page = await service.list(caller(BOB), Filter(), after="", limit=9)
        assert not page.runs


async def test_frames_are_read_from_the_first_one_or_from_any() -> None:
    async with opened() as world:
        service = world.service
        run, _ = await service.start(caller(), asked(), b"{}")
        await service.wait_for_end(caller(), run)
        shown = view("native", run, asked())

        whole = service.follow(caller(), run, shown)
        frames = b""
        with whole.reader_count:
            while (data := await whole.subscription.next()) is not None:
                frames += data
        whole.subscription.close()

        rest = await service.resume(caller(), run, shown, 2, "after")
        tail = await rest.subscription.next()
        rest.subscription.close()
        assert tail
        assert frames.endswith(tail)
        assert frames.count(b"\n\n") == tail.count(b"\n\n") + 2
        with pytest.raises(BadRequest) as caught:
            await service.resume(caller(), run, shown, 999, "after")
        assert caught.value.param == "after"


async def test_readers_are_counted() -> None:
    account = Account("t", "tenant", msgspec.structs.replace(NO_LIMITS, readers_per_run=1))
    reader = msgspec.structs.replace(caller(), accounts=(account,))
    async with opened() as world:
        run, _ = await world.service.start(caller(), asked("stuck"), b"{}")
        shown = view("native", run, asked())
        reading = world.service.follow(reader, run, shown)
        with reading.reader_count:
            with pytest.raises(TooMany):
                world.service.follow(reader, run, shown)
            with pytest.raises(TooMany):
                await world.service.resume(reader, run, shown, 0)
        world.service.follow(reader, run, shown).subscription.close()
        reading.subscription.close()


async def test_a_client_that_leaves_ends_its_wait() -> None:
    async with opened() as world:
        gone = asyncio.Event()

        async def disconnected() -> None:
            await gone.wait()

        run, _ = await world.service.start(caller(), asked("stuck"), b"{}")
        leaving = msgspec.structs.replace(caller(), wait_for_disconnect=disconnected)
        waiting = asyncio.create_task(world.service.wait_for_end(leaving, run))
        gone.set()
        assert await waiting is None


async def test_a_waiting_request_fails_when_the_process_stops() -> None:
    async with opened() as world:
        run, _ = await world.service.start(caller(), asked("stuck"), b"{}")
        waiting = asyncio.create_task(world.service.wait_for_end(caller(), run))
        await world.instance.lifecycle.close()
        with pytest.raises(Unavailable, match="continues"):
            await waiting


async def test_cancel_and_forget() -> None:
    async with opened() as world:
        service = world.service
        run, _ = await service.start(caller(), asked("stuck"), b"{}")
        await service.cancel(run)
        state = await service.runs.directory.state(run)
        assert state.is_finished
        with pytest.raises(Conflict):
            await service.cancel(run)
        await service.forget(await service.find(caller(), run))
        with pytest.raises(NotFound):
            await service.find(caller(), run)


async def test_an_answer_to_no_question_is_refused_and_recorded_for_the_audit() -> None:
    answers: list[tuple[str, Answer]] = []
    me = msgspec.structs.replace(
        caller(), record_answer=lambda run, answer: answers.append((run, answer))
    )
    async with opened() as world:
        run, _ = await world.service.start(caller(), asked(), b"{}")
        await world.service.wait_for_end(caller(), run)
        answer = (Approval(0, approved=True),)
        with pytest.raises(Conflict):
            await world.service.answer(me, run, answer, b"{}")
        assert answers == [(run, answer)]


async def test_begin_starts_where_nothing_is_answered() -> None:
    async with opened() as world:
        run, turn = await world.service.answer_or_start(
            caller(), asked(text="roses"), b"{}", to_agent=True, param="model"
        )
        assert turn == 0
        assert await words(world.service, run) == "roses"
        with pytest.raises(NotFound):
            await world.service.answer_or_start(
                caller(), asked(conversation="conv_none"), b"{}", to_agent=True, param="model"
            )
