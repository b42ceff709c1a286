"""The caller of a run in the code of agents: as the server authenticated the request, through a crash, and
never as a client claims."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from tests.support.forks import Forks, forking
from tests.support.mcp_servers import McpProcess
from tests.support.servers import ChildServer, select_a_moment

SECRET = "a secret that only tests know, and that is long enough for everybody: 64"
CONFIG = """
[server]
data = "data"
run_headers = ["X-Shop"]
allow_private = true

[auth.jwt]
secret_env = "TEST_JWT_SECRET"
algorithms = ["HS256"]
issuer = "https://id.test"
audience = "tailrace"

[models.script]
dialect = "script"
scenario = "scenario.toml"

[agents.generator]
entry = "helper_tools:generator"

[agents.graph]
entry = "helper_tools:graph"

[agents.remembers]
entry = "helper_tools:remembers"

[agents.pydantic]
entry = "helper_tools:pydantic"

[agents.openai]
entry = "helper_tools:openai"

[agents.built_in]
model = "script"
tools = ["helper_tools:who", "helper_tools:thread"]

[agents.careful]
model = "script"
tools = ["helper_tools:who"]
approve = ["who"]

[agents.remote]
model = "script"
[[agents.remote.mcp]]
label = "desk"
url = "{mcp}"
approval = "never"
headers = {{ x-user = "{{caller.user}} of {{headers.x-shop}}", x-other = "fixed" }}
call_headers = "helper_tools:vault"
send_caller = true
"""
SCENARIO = """
[[replies]]
when = "thread"
steps = [{ call = "thread" }]
[[replies]]
when = "thread"
steps = [{ text = "Done." }]
[[replies]]
steps = [{ call = "who" }]
[[replies]]
steps = [{ text = "Done." }]
"""
TOOLS = '''
import json

from agents import Agent as OpenAIAgent, Model, ModelResponse, RunContextWrapper
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.function import FunctionModel

from tailrace import OpenAIAgentsRuntime, PydanticAIRuntime, ToolContext, current_run


def about(run):
    caller = run.caller
    return {
        "tenant": caller.tenant,
        "user": caller.user,
        "token": caller.token,
        "scopes": list(caller.scopes),
        "email": caller.claims.get("email"),
        "headers": dict(run.headers),
        "metadata": dict(run.metadata),
        "fields": dict(run.fields),
    }


async def generator(run):
    assert about(run) == about(current_run())
    memory = current_run().memory
    before = await memory.get(["turns"], "last")
    await memory.put(["turns"], "last", {"of": run.caller.user})
    assert before is None or before.value == {"of": run.caller.user}
    yield json.dumps(about(run))


async def who(call: ToolContext) -> dict:
    """The caller."""
    assert about(call) == about(current_run())
    return about(call)


def thread() -> dict:
    """The caller, in a thread."""
    return about(current_run())


def vault(call):
    return {"authorization": f"Bearer vault-token-of-{call.caller.user}"}


def node(state, config: RunnableConfig):
    user = config["configurable"]["langgraph_auth_user"]
    assert user["identity"] == config["configurable"]["langgraph_auth_user_id"]
    assert config["configurable"].get("x-shop") == current_run().headers.get("x-shop")
    found = {**about(current_run()), "user": user["identity"], "email": user.get("email")}
    return {"messages": [AIMessage(json.dumps(found))]}


builder = StateGraph(MessagesState)
builder.add_node("node", node)
builder.add_edge(START, "node")
graph = builder.compile()


def remember(state, store: BaseStore):
    """A node in a thread, which uses the store at once."""
    known = [item.key for item in store.search(("names",))]
    store.put(("names",), state["messages"][-1].text, {"x": 1})
    return {"messages": [AIMessage(" ".join(known) or "none")]}


builder = StateGraph(MessagesState)
builder.add_node("node", remember)
builder.add_edge(START, "node")
remembers = builder.compile(store=InMemoryStore())


async def says_deps(messages, info):
    yield json.dumps(about(current_run()))


agent = Agent(FunctionModel(stream_function=says_deps), deps_type=dict)


@agent.system_prompt
def prompt(ctx: RunContext[dict]) -> str:
    assert ctx.deps == about(current_run())
    return "x"


pydantic = PydanticAIRuntime(agent, "pydantic", deps=about)


def instructions(ctx, agent) -> str:
    assert ctx.context == about(current_run())
    return "x"


from tests.support.openai_agents_agents import Scripted
from tailrace.models.scenario import ScenarioStep


class Says(Scripted):
    def __init__(self):
        super().__init__("says", ())

    async def stream_response(self, *arguments, **more):
        self._replies = ((ScenarioStep(text=json.dumps(about(current_run()))),),)
        async for event in super().stream_response(*arguments, **more):
            yield event


openai = OpenAIAgentsRuntime(
    OpenAIAgent(name="openai", model=Says(), instructions=instructions), "openai", context=about
)
'''


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TEST_JWT_SECRET", SECRET)
        with forking(
            "tailrace.runtimes.adapters.langgraph.runtime",
            "tailrace.runtimes.adapters.pydantic_ai.runtime",
            "tests.support.openai_agents_agents",
        ) as made:
            yield made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, forks: Forks
) -> Generator[ChildServer, None, None]:
    folder = tmp_path_factory.mktemp("caller")
    with McpProcess(folder / "notes") as mcp:
        config = CONFIG.replace("{mcp}", mcp.url)
        child = ChildServer(folder, config=config, scenario=SCENARIO, tools=TOOLS)
        yield child.start(forks=forks)
        child.kill()
        mcp.kill()
    assert "Traceback" not in child.errors()
    assert "vault-token" not in child.errors()


def key(user: str = "ann", **claims: Any) -> dict[str, str]:
    about = {"iss": "https://id.test", "aud": "tailrace", "tenant": "acme", "sub": user}
    made = jwt.encode(
        {**about, "exp": time.time() + 600, "email": f"{user}@acme.test", **claims}, SECRET, "HS256"
    )
    return {"authorization": f"Bearer {made}"}


def expected(**other: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "user": "ann",
        "token": "",
        "scopes": ["read", "run"],
        "email": "ann@acme.test",
        "headers": {"x-shop": "north"},
        "metadata": {},
        "fields": {},
        **other,
    }


FORGED = {"caller": {"tenant": "x", "user": "root"}, "headers": {"x-shop": "south"}}


@pytest.mark.parametrize("agent", ["generator", "graph", "pydantic", "openai"])
def test_an_agent_knows_its_caller(server: ChildServer, agent: str) -> None:
    body = {"model": agent, "input": "hi", "metadata": {"ticket": "7"}, **FORGED}
    headers = {**key(), "x-shop": "north", "x-other": "not kept"}
    reply = httpx.post(server.url + "/v1/responses", json=body, headers=headers, timeout=30).json()
    text = reply["output"][-1]["content"][0]["text"]
    assert json.loads(text) == expected(metadata={"ticket": "7"})


@pytest.mark.parametrize("words", ["tool", "thread"])
def test_a_tool_knows_its_caller(server: ChildServer, words: str) -> None:
    body = {"model": "built_in", "input": words}
    headers = {**key(), "x-shop": "north"}
    reply = httpx.post(server.url + "/v1/responses", json=body, headers=headers, timeout=30).json()
    (call,) = [item for item in reply["output"] if item["type"] == "mcp_call"]
    assert json.loads(call["output"]) == expected()


def answer_of(surface: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {**key(), "x-shop": "north"}
    reply = httpx.post(url + surface, json=body, headers=headers, timeout=30)
    assert reply.status_code < 300, reply.text
    run = reply.headers["x-run-id"].removeprefix("run_")
    while True:
        job = httpx.get(f"{url}/v1/responses/resp_{run}", headers=headers).json()
        if job["status"] == "completed":
            break
        select_a_moment()
    answer: dict[str, Any] = json.loads(job["output"][-1]["content"][0]["text"])
    return answer


SAID = [{"role": "user", "content": "hi"}]
PART = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]
CONTEXT = [{"description": "page", "value": "cart"}]
BODIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "useChat body": (
        "/api/chat",
        {"id": "c", "agent": "generator", "messages": PART, "plan": "gold", **FORGED},
        {"fields": {"plan": "gold", **FORGED}},
    ),
    "forwardedProps": (
        "/agui/generator",
        {
            "threadId": "t",
            "runId": "r",
            "messages": [{"id": "1", **SAID[0]}],
            "forwardedProps": {"plan": "gold", **FORGED},
            "context": CONTEXT,
        },
        {"fields": {"forwardedProps": {"plan": "gold", **FORGED}, "context": CONTEXT}},
    ),
    "messages": (
        "/v1/messages",
        {"model": "generator", "max_tokens": 9, "messages": SAID, "metadata": {"user_id": "u7"}},
        {"metadata": {"user_id": "u7"}},
    ),
    "chat": (
        "/v1/chat/completions",
        {"model": "generator", "messages": SAID, "metadata": {"a": "b"}},
        {"metadata": {"a": "b"}},
    ),
    "jobs": (
        "/jobs",
        {"agent": "generator", "input": "hi", "metadata": {"a": "b"}},
        {"metadata": {"a": "b"}},
    ),
}


@pytest.mark.parametrize("surface", BODIES)
def test_a_surface_passes_on_what_its_client_adds(server: ChildServer, surface: str) -> None:
    """And whatever that is, it is not the caller."""
    path, body, more = BODIES[surface]
    assert answer_of(path, server.url, body) == expected(**more)


def test_the_caller_survives_a_crash(server: ChildServer, forks: Forks) -> None:
    """Another person approves, after the process died: the caller of the run is the same."""
    headers = {**key(), "x-shop": "north"}
    body = {"agent": "careful", "input": "hi"}
    job = httpx.post(f"{server.url}/jobs", json=body, headers=headers).json()
    url = f"{server.url}/jobs/{job['id']}"
    while (job := httpx.get(url, headers=headers).json())["status"] != "waiting":
        select_a_moment()
    server.kill()
    server.start(forks=forks)
    boss = key("boss", scope="tailrace:admin")
    answer = {"item": job["waiting_for"][0]["item"], "approved": True}
    httpx.post(f"{url}/input", json=answer, headers=boss).raise_for_status()
    stream = httpx.get(f"{url}/stream", headers=headers, timeout=30).text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    (output,) = [
        event["payload"]["output"]
        for event in events
        if event["payload"]["type"] == "tool.completed"
    ]
    assert json.loads(output) == expected()


def test_claims_and_headers_are_for_the_agent_alone(server: ChildServer) -> None:
    headers = {**key(), "x-shop": "north"}
    body = {"agent": "careful", "input": "hi"}
    job = httpx.post(f"{server.url}/jobs", json=body, headers=headers).json()
    url = f"{server.url}/jobs/{job['id']}"
    while httpx.get(url, headers=headers).json()["status"] != "waiting":
        select_a_moment()
    httpx.post(f"{url}/cancel", headers=headers)
    stream = httpx.get(f"{url}/stream", headers=headers, timeout=30).text
    assert '"caller":{"tenant":"acme","user":"ann"' in stream
    assert "ann@acme.test" not in stream
    assert "north" not in stream
    assert headers["authorization"].split()[1] not in stream


def test_an_mcp_server_gets_the_caller_of_each_call(server: ChildServer) -> None:
    for user in ("ann", "jörg"):
        headers = {**key(user), "x-shop": "north"}
        body = {"model": "remote", "input": "hi"}
        reply = httpx.post(server.url + "/v1/responses", json=body, headers=headers, timeout=30)
        (call,) = [item for item in reply.json()["output"] if item["type"] == "mcp_call"]
        assert json.loads(call["output"]) == {
            "authorization": f"Bearer vault-token-of-{quote(user)}",
            "meta": {"tenant": "acme", "user": user},
            "x-user": f"{quote(user)} of north",
        }


def test_what_an_agent_remembers_is_its_users(server: ChildServer, forks: Forks) -> None:
    """Over conversations and a crash; another user has a memory of their own."""

    def known(user: str, name: str) -> str:
        body = {"model": "remembers", "input": name}
        reply = httpx.post(server.url + "/v1/responses", json=body, headers=key(user), timeout=30)
        text: str = reply.json()["output"][-1]["content"][0]["text"]
        return text

    assert known("ann", "Tom") == "none"
    assert known("ann", "Eva") == "Tom"
    server.kill()
    server.start(forks=forks)
    assert known("ann", "Ida") == "Eva Tom"
    assert known("bob", "Uwe") == "none"
