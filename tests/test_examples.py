"""The examples run as their pages describe, without a key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

from tests.support.servers import ChildServer, select_a_moment

ROOT = Path(__file__).parents[1]

EXAMPLES = [
    # source, agent, input, text that the run must contain
    ("examples.generator:app", "poet", "the sea", ["critic", "of the sea", "reasoning.delta"]),
    ("tools.toml", "support", "refund order 5", ["You get 20 back.", "asking the bank"]),
    ("examples.pydantic_ai_agent:app", "refunds", "money", ["So: 20 given back.", '"clerk"']),
    ("examples.langgraph_agent:app", "travel", "Rome", ["the Roma is booked.", '"scout"']),
    (
        "examples.openai_agents_agent:app",
        "desk",
        "money",
        ["So: 20 given back.", '"cashier"', '"clerk"'],
    ),
    ("workflow.toml", "report", "rivers", ["What write made", "praise", "blame"]),
]


@pytest.mark.parametrize(
    ("source", "agent", "text", "shown"), EXAMPLES, ids=lambda case: str(case)[:20]
)
def test_an_example_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    agent: str,
    text: str,
    shown: list[str],
) -> None:
    built = shutil.ignore_patterns("node_modules", ".next")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=built)
    monkeypatch.chdir(tmp_path)
    server = ChildServer(tmp_path).start(
        source=source if ":" in source else str(tmp_path / "examples" / source)
    )
    try:
        job = httpx.post(f"{server.url}/jobs", json={"agent": agent, "input": text}).json()["id"]
        while (found := httpx.get(f"{server.url}/jobs/{job}").json())["status"] == "in_progress":
            select_a_moment()
        for asked in found["waiting_for"]:
            answer = {"item": asked["item"], "approved": True}
            assert httpx.post(f"{server.url}/jobs/{job}/input", json=answer).status_code == 202
        events = httpx.get(f"{server.url}/jobs/{job}/stream", timeout=20).text
    finally:
        server.kill()
    assert json.loads(events.rsplit("data: ", 1)[1])["payload"]["type"] == "run.completed"
    said = "".join(
        json.loads(line[6:])["payload"].get("text", "")
        for line in events.splitlines()
        if line.startswith("data: ")
    )
    for part in shown:
        assert part in events or part.lower() in said.lower(), part
