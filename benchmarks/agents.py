"""What agents cost in this process, without sockets: per token, per run, per tool turn; a crowd of teams.

The store is in memory, so that the figures are the runtimes' and the writer's own. The peer of the token
rows is the least an agent can be: a bare async generator whose pieces are counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import uvloop

from benchmarks import langgraph_agent, openai_agents
from benchmarks.harness import median
from tailrace import config
from tailrace.assembly import instance as assembly
from tailrace.events.items import Message, TextPart
from tailrace.events.request import RunRequest
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Submission
from tailrace.runtimes.adapters.generator.run import GeneratorPiece, Run
from tailrace.runtimes.adapters.generator.runtime import GeneratorRuntime
from tailrace.runtimes.contract import Runtime
from tailrace.service.run_service import RunService

ROUNDS = 3
TOKENS = 20_000
FRAMEWORK_TOKENS = 2_000
TEAMS = 100

CONFIG = """
[models.echo]
dialect = "echo"

[models.script]
dialect = "script"
scenario = "script.json"

[agents.talker]
model = "echo"

[agents.caller]
model = "script"
tools = ["bench_tools:nothing"]
max_turns = 200

[agents.lead]
model = "script"
subagents = ["talker"]
"""

TOOLS = '''
async def nothing() -> str:
    """Do nothing."""
    return "ok"
'''


def _script() -> bytes:
    """100 tool turns for `turns`; three subagents at once for `team`."""
    turns = [{"when": "turns", "steps": [{"call": "nothing"}]}] * 100
    ends = [{"when": "turns", "steps": [{"text": "done"}]}]
    task = {"call": "task", "arguments": {"agent": "talker", "prompt": "word " * 100}}
    team = [
        {"when": "team", "steps": [task] * 3},
        {"when": "team", "steps": [{"text": "done"}]},
    ]
    return msgspec.json.encode({"replies": [*turns, *ends, *team]})


async def words(run: Run) -> AsyncGenerator[GeneratorPiece, None]:
    """So many tokens."""
    for n in range(TOKENS):
        yield "word "
        if n % 64 == 0:
            await asyncio.sleep(0)


async def _run(service: RunService, agent: str, text: str) -> None:
    said = Message(role="user", content=(TextPart(text),))
    request = RunRequest(agent=agent, model=agent, surface="native", input=(said,))
    once = Submission(key="", body=b"", retry=False)
    run, _ = await service.runs.supervisor.start(request, owner=Owner("bench"), submission=once)
    await service.runs.supervisor.wait(run)


async def _cost(service: RunService, agent: str, text: str, times: int = 1) -> float:
    """Seconds of CPU for so many runs at once."""
    before = time.process_time()
    await asyncio.gather(*(_run(service, agent, text) for _ in range(times)))
    return time.process_time() - before


async def _bare() -> float:
    before = time.process_time()
    count = 0
    async for piece in words(None):  # type: ignore[arg-type]
        count += len(str(piece))
    return time.process_time() - before


async def _measure(folder: Path) -> list[str]:
    found = config.load(folder / "tailrace.toml")
    more: dict[str, Runtime] = {
        "generator": GeneratorRuntime("generator", words),
        "langgraph": langgraph_agent.runtime(FRAMEWORK_TOKENS),
        "openai": openai_agents.runtime(TOKENS),
    }
    instance = assembly.assemble(found, assembly.memory_store(), more)
    service = instance.service
    await instance.lifecycle.open()
    rows: dict[str, list[float]] = {}
    bare: list[float] = []
    for _ in range(ROUNDS):
        bare.append(await _bare() / TOKENS * 1e6)
        for name, agent, text, times, divisor in (
            ("a token, async generator", "generator", "", 1, TOKENS),
            ("a token, LangGraph agent", "langgraph", "", 1, FRAMEWORK_TOKENS),
            ("a token, built-in agent", "talker", "word " * TOKENS, 1, TOKENS),
            ("a token, OpenAI Agents SDK", "openai", "", 1, TOKENS),
            ("a run of three words, built-in agent", "talker", "one two three", 200, 200),
            ("a tool turn, built-in agent", "caller", "turns", 1, 100),
            ("a token, 100 leads x 3 subagents", "lead", "team", TEAMS, TEAMS * 300),
        ):
            seconds = await _cost(service, agent, text, times)
            rows.setdefault(name, []).append(seconds / divisor * 1e6)
    await instance.lifecycle.close()
    made = [f"| {name} | {median(each):.1f} µs | | |" for name, each in rows.items()]
    made[0] = made[0].replace("| | |", f"| bare generator {median(bare):.2f} µs | |")
    crowd = median(rows["a token, 100 leads x 3 subagents"])
    return [*made, f"| tokens a second, 100 leads x 3 subagents | {1e6 / crowd:,.0f} | | |"]


def main() -> list[str]:
    """Rows of the results table."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        folder = Path(name)
        (folder / "tailrace.toml").write_text(CONFIG, encoding="utf-8")
        (folder / "bench_tools.py").write_text(TOOLS, encoding="utf-8")
        (folder / "script.json").write_bytes(_script())
        return uvloop.run(_measure(folder))


if __name__ == "__main__":
    print("\n".join(main()))
