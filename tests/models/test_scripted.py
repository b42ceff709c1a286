"""Models that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.errors import ConfigError, ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Message, TextPart, ToolCall, ToolOutput
from tailrace.events.request import ModelRequest
from tailrace.models import scenario
from tailrace.models.contract import Model
from tailrace.models.echo import EchoModel
from tailrace.models.replay import ReplayModel
from tailrace.models.scripted import ScriptedModel
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tests.support.logs import log, user

FILE = """
[[replies]]
steps = [{ reasoning = "Hm." }, { text = "One two" }, { refusal = "No." },
  { call = "f", arguments = { a = 1 } }, { call = "g" }]
[[replies]]
steps = [{ text = "Done" }]
input = 3
output = 4
[[replies]]
when = "break"
steps = [{ text = "Half" }, { fail = "It broke.", code = "rate_limit_exceeded" }]
"""


async def play(model: Model, *items: object) -> list[t.Payload]:
    asked = ModelRequest(items=tuple(items))  # type: ignore[arg-type]
    return [p async for batch in model.stream(asked) for p in batch]


def scripted(tmp_path: Path, **pace: float) -> ScriptedModel:
    (tmp_path / "s.toml").write_text(FILE, encoding="utf-8")
    return ScriptedModel("m", scenario.load(tmp_path / "s.toml"), **pace)  # type: ignore[arg-type]


async def test_echo_repeats_word_by_word() -> None:
    made = await play(EchoModel("m", repeat=2), user("one two "))
    assert [p.text for p in made if isinstance(p, t.TextDelta)] == ["one ", "two ", "one ", "two "]
    assert made[-1] == t.Usage("m", input=2, output=4)
    log(made, end=t.RunCompleted())


@pytest.mark.parametrize("interval_ms", [0, 0.1])
async def test_a_scenario_is_a_legal_reply_at_any_pace(tmp_path: Path, interval_ms: float) -> None:
    made = await play(scripted(tmp_path, interval_ms=interval_ms), user("hi"))
    kinds = [p.kind for p in made if isinstance(p, t.ItemStarted)]
    assert kinds == ["reasoning", "message", "tool_call", "tool_call"]
    assert isinstance(made[-1], t.Usage)
    assert made[-1].finish == "tool_calls"
    state_end = t.RunCompleted()
    log(made, end=state_end)


async def test_which_reply_depends_on_the_request_alone(tmp_path: Path) -> None:
    model = scripted(tmp_path)
    call = ToolCall(call_id="c", name="f", arguments="{}")
    after = (user("hi"), call, ToolOutput(call_id="c", output=(TextPart("x"),)))
    second = await play(model, *after)
    assert second == await play(model, *after)
    assert [p.text for p in second if isinstance(p, t.TextDelta)] == ["Done"]
    assert second[-1] == t.Usage("m", input=3, output=4)
    assert (
        len(await play(model, Message(role="assistant", content=(TextPart("a"),)), user("hi"))) > 4
    )


async def test_a_failure_is_played(tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match=r"It broke\.") as failed:
        await play(scripted(tmp_path), user("break it"))
    assert failed.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "replies = 3",
        "[[replies]]\nsteps = [{ txt = 'x' }]",
        "[[replies]]\nsteps=[]\nwhen='('",
        "replies = []",
    ],
)
def test_a_faulty_scenario_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        scenario.load(tmp_path / "s.toml")


async def test_replay_plays_a_recording_through_the_real_decoder(tmp_path: Path) -> None:
    chunk = '{"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":%s}]}'
    text = (
        "".join(f"data: {chunk % reason}\n\n" for reason in ("null", '"stop"')) + "data: [DONE]\n\n"
    )
    (tmp_path / "r.sse").write_text(text, encoding="utf-8")
    model = ReplayModel("m", ChatCodec(), tmp_path / "r.sse", repeat=3)
    made = await play(model, user("x"))
    assert "".join(p.text for p in made if isinstance(p, t.TextDelta)) == "Hi" * 6
    (tmp_path / "r.sse").write_text(text[:30], encoding="utf-8")
    with pytest.raises(ModelFailed):
        await play(ReplayModel("m", ChatCodec(), tmp_path / "r.sse"), user("x"))
    with pytest.raises(ConfigError):
        ReplayModel("m", ChatCodec(), tmp_path / "none.sse")
