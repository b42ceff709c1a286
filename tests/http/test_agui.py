"""`/agui/{agent}` over HTTP: what AG-UI's `HttpAgent` sends and reads."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.http.conftest import Ask
from tests.support import agui
from tests.support.agui_thread import Sent, Thread, frames, user
from tests.support.servers import CONFIG, ChildServer
from tests.support.team_files import effects


def test_a_thread_continues_from_the_clients_history(server: ChildServer) -> None:
    thread = Thread(server, "helper")
    end = thread.go("hello", state={"theme": "dark"}, parentRunId="above")
    assert end["outcome"] == {"type": "success"}
    (usage,) = end["usage"]
    assert usage["model"] == "script"
    (began,) = thread.reader.runs
    assert (began["threadId"], began["runId"]) == ("t/1 ü", "r1")
    assert (began["protocolVersion"], began["parentRunId"]) == ("1.0", "above")
    assert [state["snapshot"] for state in thread.reader.states] == [{"theme": "dark"}]
    roles = [message["role"] for message in thread.messages]
    assert roles == ["user", "reasoning", "assistant", "tool", "assistant"]
    assert thread.reader.text == "Let me look. Found a hat."
    thread.messages[-1]["content"] = "Found a cap."
    thread.go("json")
    assert thread.reader.text.endswith('{"a": 1}')
    asked = thread.asked()
    kinds = [item["type"] for item in asked["history"]]
    assert kinds == ["message", "reasoning", "message", "tool_call", "tool_output", "message"]
    assert asked["history"][-1]["content"][0]["text"] == "Found a cap.", "the client's word counts"
    assert [item["content"][0]["text"] for item in asked["input"]] == ["json"]


def test_context_and_state_of_the_client_reach_the_agent(server: ChildServer, ask: Ask) -> None:
    thread = Thread(server, "7", "told")
    context = [{"description": "Place", "value": "Oslo"}, {"description": "Sky", "value": "grey"}]
    thread.go("json", context=context, forwardedProps={"a": 1}, state=[1])
    asked = thread.asked()
    assert asked["instructions"] == "Place:\nOslo\n\nSky:\ngrey"
    told = {"state": [1], "forwardedProps": {"a": 1}, "protocolVersion": "1.0"}
    assert asked["settings"]["extra"] == told
    answer = ask("POST", "/agui/helper", thread.body(messages=[user("json")]))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"].startswith("no-cache")


def test_the_same_run_is_attached_to(server: ChildServer) -> None:
    thread = Thread(server, "shopper", "attached")
    thread.messages.append(user("buy"))
    body = thread.body()
    with thread.begin(body) as (head, rest):
        again = thread.send(body)
        run = thread.run
        assert frames(head + rest()) == again, "the same bytes"
    assert thread.send(body) == again, "also after its end"
    assert thread.run == run
    assert agui.read(again).text.endswith("All is done now.")
    status, error = thread.refused(runId=body["runId"], messages=[user("json")])
    assert (status, error["code"], error["param"]) == (422, "run_id_reused", "runId")
    assert thread.send(Thread(server, "shopper", "another").body(messages=[user("json")]))
    assert thread.run != run, "runs are named within their thread"


@pytest.mark.parametrize(
    ("asked", "said"), [("fail now", "The model is out."), ("fail later", "The model died.")]
)
def test_a_failure_is_a_run_error(server: ChildServer, asked: str, said: str) -> None:
    end = Thread(server, "helper", asked).go(asked)
    assert (end["type"], end["message"]) == ("RUN_ERROR", said)


def test_a_limit_is_a_result(server: ChildServer) -> None:
    end = Thread(server, "helper", "limited").go("too long")
    assert end["outcome"]["type"] == "success"
    assert end["result"] == {"status": "incomplete", "reason": "max_output_tokens"}


@pytest.mark.parametrize("version", ["1.0", None])
def test_cancel(server: ChildServer, version: str | None) -> None:
    thread = Thread(server, "slow", f"cancelled {version}")
    thread.messages.append(user("a word " * 60))
    body = thread.body(protocolVersion=version)
    assert thread.cancel(body["runId"]) == 404
    with thread.begin(body) as (head, rest):
        assert thread.cancel(body["runId"], "never heard of") == 404
        assert thread.cancel(body["runId"]) == 200
        end = agui.read(frames(head + rest())).ends[-1]
    if version:
        assert end["outcome"] == {"type": "cancelled"}
    else:
        assert (end["type"], end["code"]) == ("RUN_ERROR", "cancelled")
    assert thread.cancel(body["runId"]) == 409


def test_tools_that_the_client_runs(server: ChildServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"name": "get_weather", "description": "The weather.", "parameters": schema}]
    thread = Thread(server, "helper", "tools")
    assert thread.go("client tool", tools=tools)["outcome"] == {"type": "success"}
    calls = thread.reader.pending
    assert [thread.reader.calls[id]["toolCallName"] for id in calls] == ["get_weather"] * 2
    assert len(thread.messages) == 2, "both calls in one message"
    assert thread.refused(tools=tools)[0] == 400, "nothing new"
    for id in calls:
        thread.messages.append({"id": id, "role": "tool", "toolCallId": id, "content": "snow"})
    thread.go(tools=tools)
    assert thread.reader.text == "Snow and sun."
    asked = thread.asked()
    assert [item["type"] for item in asked["history"]] == ["message", "tool_call", "tool_call"]
    assert [item["call_id"] for item in asked["input"]] == calls


ANSWERS: dict[str, tuple[Sent, bool, str]] = {
    "yes": ({"status": "resolved", "payload": {"approved": True}}, True, '{"ordered":"hat"}'),
    "no": (
        {"status": "resolved", "payload": {"approved": False, "reason": "too dear"}},
        False,
        "A person refused this call: too dear",
    ),
    "a bare yes": ({"status": "resolved", "payload": True}, True, '{"ordered":"hat"}'),
    "nobody": ({"status": "cancelled"}, False, "A person refused this call."),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_approval_is_an_interrupt_and_its_answer_the_next_run(
    team: ChildServer, tmp_path: Path, name: str
) -> None:
    answer, approved, output = ANSWERS[name]
    thread = Thread(team, "lead")
    outcome = thread.go("order a hat")["outcome"]
    assert outcome["type"] == "interrupt"
    (asked,) = outcome["interrupts"]
    (order,) = thread.reader.pending
    assert (asked["reason"], asked["toolCallId"]) == ("tool_call", order)
    assert thread.reader.calls[order]["toolCallName"] == "order"
    started = [e for e in thread.reader.subagents if e["type"] == "SUBAGENT_STARTED"]
    assert [each["name"] for each in started] == ["researcher", "researcher"]
    assert len({each["subagentRunId"] for each in started}) == 2
    assert effects(tmp_path, "order") == 0
    run, entry = thread.run, {"interruptId": asked["id"], **answer}
    body = thread.body(resume=[entry])
    frames = thread.send(body)
    assert thread.run == run, "the same run goes on"
    agui.read(frames, thread.reader)
    assert [began["runId"] for began in thread.reader.runs] == ["r1", "r2"]
    assert thread.reader.calls[order]["result"] == output
    assert effects(tmp_path, "order") == (1 if approved else 0)
    assert thread.reader.text.endswith("All is done now.")
    assert thread.send(body) == frames, "the same answer again attaches"
    changed = {**body, "resume": [{**entry, "status": "cancelled", "payload": {"reason": "x"}}]}
    assert thread.request(thread.path, changed)[0] == 422
    status, error = thread.refused(resume=[entry])
    assert (status, error["code"]) == (409, "already_answered")
    assert thread.cancel("r2") == 409, "a turn names its run"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": "resolved", "payload": "red"}, "red"),
        ({"status": "cancelled"}, "They did not answer."),
    ],
)
def test_a_question_of_a_subagent(team: ChildServer, answer: Sent, told: str) -> None:
    thread = Thread(team, "lead")
    (asked,) = thread.go("ask them")["outcome"]["interrupts"]
    suspended = thread.reader.subagents[-1]
    assert suspended["outcome"] == {"type": "suspended", "interruptIds": [asked["id"]]}
    assert asked["subagentRunId"] == suspended["subagentRunId"]
    assert (asked["reason"], asked["message"]) == ("input_required", "Which colour?")
    thread.go(resume=[{"interruptId": asked["id"], **answer}])
    assert thread.reader.calls[asked["toolCallId"]]["result"] == told
    assert thread.reader.text == "I asked."
    thread.go("ask them")
    kinds = [item["type"] for item in thread.asked()["history"]]
    assert kinds == ["message", "tool_call", "tool_output", "message"], "not what was said below"


def test_a_message_instead_of_an_answer_is_a_run_of_its_own(team: ChildServer) -> None:
    thread = Thread(team, "lead")
    thread.go("order a hat")
    run = thread.run
    assert thread.go("ask them")["outcome"]["type"] == "interrupt"
    assert thread.run != run
    outputs = [item for item in thread.asked()["history"] if item["type"] == "tool_output"]
    assert outputs[-1]["output"][0]["text"].startswith("Not run so far")
    assert thread.cancel("r1") == 200, "the first one waits still"
    assert thread.cancel("r1") == 409


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_that_stops_announces_it_and_the_run_continues(tmp_path: Path, end: str) -> None:
    config = CONFIG + '[agents.parrot]\nmodel = "slow"\n'
    settings = 'data = "data"\nshutdown_seconds = 0'
    server = ChildServer(tmp_path, server=settings, config=config).start()
    thread = Thread(server, "parrot")
    words = "a word " * 60
    thread.messages.append(user(words))
    body = thread.body()
    with thread.begin(body) as (head, rest):
        getattr(server, end)()
        if end == "stop":
            (*_, last) = agui.events(frames(head + rest()))
            assert (last["type"], last["code"]) == ("RUN_ERROR", "stream_cut_off")
        else:
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                rest()
    server.start()
    reader = agui.read(thread.send(body))
    server.kill()
    *cut, whole = [message for message in reader.messages.values() if message["role"] != "user"]
    assert whole["content"] == words
    marks = [message["metadata"] for message in cut]
    assert marks == [{"tailrace": {"status": "incomplete"}}] * len(cut)


COUNTER = """
import tailrace

app = tailrace.App()


@app.agent("counter")
async def counter(run: tailrace.Run):
    state = run.request.settings.extra["state"]
    patch = [{"op": "replace", "path": "/count", "value": state["count"] + 1}]
    yield run.custom("state.delta", patch)
    yield run.custom("progress", 0.5)
    yield run.request.settings.extra["forwardedProps"]["name"]
"""


def test_an_agent_reads_and_changes_the_state(tmp_path: Path) -> None:
    config = '[server]\n{server}\n[agents.counter]\nentry = "helper_tools:counter"\n'
    server = ChildServer(tmp_path, config=config, tools=COUNTER).start()
    thread = Thread(server, "counter")
    thread.go("count", state={"count": 1}, forwardedProps={"name": "Ann"})
    server.kill()
    snapshot, delta = thread.reader.states
    assert snapshot["snapshot"] == {"count": 1}
    assert delta["delta"] == [{"op": "replace", "path": "/count", "value": 2}]
    assert [(each["name"], each["value"]) for each in thread.reader.custom] == [("progress", 0.5)]
    assert thread.reader.text == "Ann"


REFUSED: dict[str, tuple[str, Sent, int, str]] = {
    "no thread": ("helper", {"threadId": None}, 400, "threadId"),
    "no run": ("helper", {"runId": ""}, 400, "runId"),
    "an unknown agent": ("eko", {}, 404, "agent"),
    "no messages": ("helper", {"messages": []}, 400, "messages"),
    "no list of messages": ("helper", {"messages": None}, 400, "messages"),
    "nothing new": (
        "helper",
        {"messages": [user("x"), {"role": "assistant", "content": "y"}]},
        400,
        "messages",
    ),
    "an unknown role": ("helper", {"messages": [{"role": "boss"}]}, 400, "messages[0].role"),
    "an interrupt that nobody knows": (
        "helper",
        {"resume": [{"interruptId": "x", "status": "resolved"}]},
        400,
        "resume[0].interruptId",
    ),
    "an interrupt of a run that is not there": (
        "helper",
        {"resume": [{"interruptId": "apr_01kabcdefghjkmnpqrstvwxyz0_1", "status": "cancelled"}]},
        404,
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(ask: Ask, name: str) -> None:
    agent, fields, status, param = REFUSED[name]
    body = {"threadId": "refused", "runId": name, "messages": [user("x")], **fields}
    answer = ask("POST", f"/agui/{agent}", body)
    assert answer.status == status
    assert (answer.error["param"] or "") == param
    assert answer.headers["content-type"] == "application/json"


def test_answers_that_make_no_sense(team: ChildServer) -> None:
    thread = Thread(team, "lead")
    (asked,) = thread.go("order a hat")["outcome"]["interrupts"]
    other = Thread(team, "lead", "other")
    (of_other,) = other.go("ask them")["outcome"]["interrupts"]
    answers: list[tuple[list[Sent], str]] = [
        ([{"interruptId": asked["id"], "status": "resolved"}], "resume[0].payload.approved"),
        ([{"interruptId": asked["id"], "status": "maybe"}], "resume[0].status"),
        (
            [{"interruptId": each["id"], "status": "cancelled"} for each in (asked, of_other)],
            "resume[0].interruptId",
        ),
        (
            [{"interruptId": of_other["id"][:-1] + "7", "status": "cancelled"}],
            "resume[0].interruptId",
        ),
    ]
    for resume, param in answers:
        status, error = thread.refused(resume=resume)
        assert (status, error["param"]) == (400, param)
    twice = {"interruptId": of_other["id"], "status": "cancelled"}
    assert other.refused(resume=[twice, twice])[0] == 409
    assert thread.go(resume=[{"interruptId": asked["id"], "status": "cancelled"}])["outcome"]
