"""MCP servers as tools: real servers over stdio and HTTP, with the old protocol and the new one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import ToolSourceFailed
from tailrace.runtimes.tools.contract import MAX_OUTPUT, Progress, Tool, ToolContext, ToolResult
from tailrace.runtimes.tools.mcp import McpServer
from tailrace.runtimes.tools.mcp_endpoint import Endpoint
from tests.support.mcp_servers import SECRET, McpProcess, stdio
from tests.support.team import agent, call, outputs, run, say
from tests.support.waiting import until

WAYS = ["stdio", "stdio --old", "http", "http --old", "http --json", "http --old --json"]
UNKNOWN = "whether the call took effect is unknown."


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, McpProcess]]:
    """The HTTP servers, one of each kind; servers over stdio start with the test."""
    with ExitStack() as stack:
        made: dict[str, McpProcess] = {}
        for way in WAYS[2:]:
            process = McpProcess(tmp_path_factory.mktemp("mcp") / "notes", *way.split()[1:])
            made[way] = stack.enter_context(process)
        yield made


@pytest.fixture(scope="module")
def refuses(tmp_path_factory: pytest.TempPathFactory) -> Generator[McpProcess]:
    """A server that requires a secret which we do not have."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    with McpProcess(notes, "--needs", "nothing of ours") as process:
        yield process


class Met:
    """A server as tailrace sees it, and the notes that it wrote."""

    def __init__(self, server: McpServer, notes: Path) -> None:
        self.server = server
        self.path = notes

    @property
    def notes(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []

    async def tools(self) -> dict[str, Tool]:
        return {tool.spec.name: tool for tool in await self.server.tools()}

    async def call(self, name: str, arguments: str = "{}", **context: Any) -> ToolResult:
        return await (await self.tools())[name].call(arguments, about(**context))

    async def noted(self, line: str, times: int = 1) -> None:
        await until(lambda: self.notes.count(line) >= times)


def about(run: str = "run", **more: Any) -> ToolContext:
    return ToolContext(run, "call_1", f"{run}:1", **more)


@asynccontextmanager
async def met(
    way: str, notes: Path, servers: dict[str, McpProcess] | None = None, **options: Any
) -> AsyncGenerator[Met]:
    """A server of that kind; `notes` is its file if it starts now."""
    options = {"approval": "never", "timeout": 20.0, **options}
    transport, *more = way.split()
    if transport == "stdio":
        server = McpServer(Endpoint(label="docs", **stdio(notes, *more)), **options)
    else:
        assert servers is not None
        notes = servers[way].notes
        secret = {"Authorization": f"Bearer {SECRET}"}
        server = McpServer(Endpoint(label="docs", url=servers[way].url, headers=secret), **options)
    try:
        yield Met(server, notes)
    finally:
        await server.close()


@pytest.mark.parametrize("way", WAYS)
async def test_tools_are_listed_and_called(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        tools = await docs.tools()
        echo = tools["echo"]
        assert echo.spec.description == "Does echo."
        assert list(echo.spec.parameters["properties"]) == ["what"]
        assert (echo.runs_on, echo.server_label, echo.approval) == ("mcp", "docs", False)
        assert (echo.after_crash, tools["fail"].after_crash) == ("retry", "tell")
        cases = [
            ("echo", '{"what": "hi"}', "hi r7 r7:1", False),
            ("echo", "", "None r7 r7:1", False),
            ("odd_name_here", '{"what": 1}', "1 r7 r7:1", False),
            ("echo", '{"what": ', "The arguments do not fit: Input data was truncated", True),
            ("echo", "[]", "The arguments do not fit: Expected `object`, got `array`", True),
            ("fail", "{}", "no such thing", True),
            ("refuse", "{}", "MCP server docs answered with an error: not with ", True),
            ("structured", "{}", '{"a":[1,2]}', False),
            ("mixed", "{}", "text\n[image image/png, 3 bytes]\n[resource notes: file:///", False),
        ]
        for name, arguments, output, is_error in cases:
            result = await docs.call(name, arguments, run="r7")
            assert result.output.startswith(output), name
            assert result.is_error == is_error
            assert SECRET not in result.output
        mixed = await docs.call("mixed")
        assert mixed.output.endswith("\ninside\n[resource file:///b.bin, 3 bytes]")
        assert len((await docs.call("much")).output) < MAX_OUTPUT + 100


async def test_a_servers_output_schema_is_checked_in_bounded_work(
    servers: dict[str, McpProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK would match its patterns with `re`, on the event loop."""
    async with met(WAYS[0], tmp_path / "notes", servers) as docs:
        assert not (await docs.call("evil")).is_error
        assert not (await docs.call("odd")).is_error
        assert "the output of odd is not validated: its schema /properties/a/pattern" in caplog.text
        unfit = await docs.call("unfit")
        assert "'b' is a required property" in unfit.output
        assert unfit.is_error
        doubling = await docs.call("doubling")
        assert "takes more than 5 s to check" in doubling.output


@pytest.mark.parametrize("way", WAYS[:4])
async def test_progress_is_passed_on(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        seen: list[Progress] = []
        assert (await docs.call("count", progress=seen.append)).output == "counted"
        assert seen == [Progress(f"step {n}", n, 3) for n in (1, 2, 3)]


@pytest.mark.parametrize("way", WAYS)
async def test_runs_share_one_session_and_call_in_parallel(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        calls = [docs.call("meet", f'{{"what": "{n}"}}', run=f"run{n}") for n in range(5)]
        results = await asyncio.gather(
            *calls
        )  # the server answers no call before all five have arrived
        assert [result.output for result in results] == ["0", "1", "2", "3", "4"]
        assert len([line for line in docs.notes if line.startswith("started")]) == 1
        if way.startswith("stdio"):  # an HTTP server lists for itself, too
            assert docs.notes.count("list") == 1


@pytest.mark.parametrize("way", [way for way in WAYS if way != "http --json"])
async def test_a_cancelled_call_is_cancelled_at_the_server(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        await docs.tools()
        before = docs.notes.count("cancelled"), docs.notes.count("call hang")
        task = asyncio.create_task(docs.call("hang"))
        await docs.noted("call hang", before[1] + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await docs.noted("cancelled", before[0] + 1)
        assert (await docs.call("fail")).output == "no such thing"


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_hangs_is_given_up(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        await docs.tools()
        docs.server._timeout = 0.1  # connecting to a process takes longer than this
        result = await docs.call("hang")
        expected = f"MCP server docs did not answer in 0.1 s; {UNKNOWN}"
        assert result == ToolResult(expected, is_error=True)


@pytest.mark.parametrize("way", ["stdio", "stdio --old"])
async def test_a_process_that_dies_is_started_again(way: str, tmp_path: Path) -> None:
    async with met(way, tmp_path / "notes") as docs:
        await docs.tools()
        bystander = asyncio.create_task(docs.call("hang"))
        await docs.noted("call hang")
        lost = ToolResult(f"The connection to MCP server docs was lost; {UNKNOWN}", is_error=True)
        assert await docs.call("die") == lost
        assert await bystander == lost
        again = await asyncio.gather(docs.call("echo"), docs.call("echo"))
        assert {result.output for result in again} == {"None run run:1"}
        assert len([line for line in docs.notes if line.startswith("started")]) == 2
        assert docs.notes.count("call die") == 1
        assert docs.notes.count("list") == 2


@pytest.mark.parametrize("way", WAYS[2:])
async def test_an_http_server_that_dies_is_found_again(way: str, tmp_path: Path) -> None:
    with McpProcess(tmp_path / "notes", *way.split()[1:]) as process:
        await _dies_and_is_found_again(way, process)


async def _dies_and_is_found_again(way: str, process: McpProcess) -> None:
    async with met(way, process.notes, {way: process}, timeout=3.0) as docs:
        tools = await docs.tools()
        result = await tools["die"].call("", about())
        lost = f"The connection to MCP server docs was lost; {UNKNOWN}"
        assert result == ToolResult(lost, is_error=True)
        process.wait()
        result = await tools["echo"].call("", about())
        assert result.output.endswith(" The call was not made.")
        assert result.is_error
        process.start()
        assert (await tools["echo"].call("", about())).output == "None run run:1"
        assert (await docs.call("echo")).output == "None run run:1"
        assert docs.notes.count("call echo") == 2


@pytest.mark.parametrize("way", WAYS[:4])
async def test_a_changed_list_is_requested_again(
    way: str, servers: dict[str, McpProcess], tmp_path: Path
) -> None:
    async with met(way, tmp_path / "notes", servers) as docs:
        before = await docs.tools()
        assert "grown" not in before
        await before["grow"].call("", about())

        async def has_grown() -> bool:
            return "grown" in await docs.tools()

        await until(has_grown)


async def test_only_what_is_allowed_is_offered_and_approval_is_by_name(tmp_path: Path) -> None:
    allow = ("echo", "odd.name/here", "fail")
    async with met("stdio", tmp_path / "notes", allow=allow, approval=("odd.name/here",)) as docs:
        tools = await docs.tools()
        assert {name: tool.approval for name, tool in tools.items()} == {
            "echo": False,
            "fail": False,
            "odd_name_here": True,
        }


async def test_ten_thousand_tools_need_a_choice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with met("stdio --many 10000", tmp_path / "all") as docs:
        with pytest.raises(ToolSourceFailed, match=r"more than 512 tools; name those .* `allow`"):
            await docs.tools()
        assert docs.notes.count("list") == 1
    allow = ("tool_9", "tool_9999", "tool_x")
    async with met("stdio --many 10000", tmp_path / "two", allow=allow) as docs:
        assert set(await docs.tools()) == {"tool_9", "tool_9999"}
        assert docs.notes.count("list") == 11
    assert "docs: the server offers no tool named tool_x" in caplog.text


async def test_a_misspelt_approval_stops_everything(tmp_path: Path) -> None:
    """If the name were ignored, the intended tool would run without approval."""
    async with met("stdio", tmp_path / "notes", approval=("deleet",)) as docs:
        with pytest.raises(ToolSourceFailed, match="approval names deleet"):
            await docs.tools()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": "/no/such/server"}, "cannot be reached: No such file or directory"),
        ({"command": "false"}, "cannot be reached: "),
        ({"url": "http://127.0.0.1:9/mcp"}, "cannot be reached: All connection attempts failed"),
        ({"url": "http://127.0.0.1:{refuses}/mcp"}, r"cannot be reached: .*\(HTTP status 401\)"),
        ({"url": "http://127.0.0.1:{hangs}/mcp", "timeout": 0.3}, "did not answer in 0.3 s"),
        ({"command": "sh", "args": ("-c", "cat >/dev/null"), "timeout": 0.3}, "did not answer"),
    ],
)
async def test_a_server_that_is_not_there(
    options: dict[str, Any], message: str, refuses: McpProcess
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    hangs = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with hangs:
        ports = {"hangs": hangs.sockets[0].getsockname()[1], "refuses": refuses.port}
        options = {**options, "url": options.get("url", "").format(**ports)}
        seconds = options.pop("timeout", 60.0)
        server = McpServer(Endpoint(label="docs", **options), timeout=seconds)
        with pytest.raises(ToolSourceFailed, match=f"MCP server docs (?:{message})"):
            await server.tools()
        await server.close()


async def test_a_caller_that_leaves_during_the_opening_disturbs_no_other(tmp_path: Path) -> None:
    async with met("stdio", tmp_path / "notes") as docs:
        first, second = asyncio.create_task(docs.tools()), asyncio.create_task(docs.tools())
        await until(lambda: bool(docs.notes))
        first.cancel()
        assert "echo" in await second
        assert len(docs.notes) == 2


async def test_the_servers_stderr_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO, "tailrace.mcp")
    async with met("stdio", tmp_path / "notes") as docs:
        await docs.call("refuse")
    assert "docs: the secret is [redacted]" in caplog.text
    assert SECRET not in caplog.text
    assert capfd.readouterr() == ("", "")


async def test_an_agent_uses_them(tmp_path: Path) -> None:
    async with met("stdio", tmp_path / "notes") as docs:
        root = agent("a", (call("echo", what="x"),), (say("Done."),), sources=(docs.server,))
        state, _ = await run(root)
        name = outputs(state)[0].split()[1]
        assert outputs(state) == [f"x {name} {name}:0"]
        item = state.items[0].started
        assert (item.runs_on, item.server_label) == ("mcp", "docs")


async def test_the_sdk_is_imported_only_when_needed() -> None:
    program = "import sys, tailrace.assembly; print({'mcp', 'httpx2'} & set(sys.modules))"
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await done.communicate()
    assert printed == b"set()\n"
