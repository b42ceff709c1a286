"""A LangGraph graph of two nodes whose models are agents of the server, over Responses."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import openai
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from compat.python import reporting as r
from compat.python.broken import Broken

AnyState: Any = dict


@tool
def get_weather(city: str) -> str:
    """Weather."""
    return f"fine in {city}"


def model(name: str = "helper", **more: Any) -> Any:
    made: dict[str, Any] = {"use_responses_api": True, "max_retries": 0}
    made |= {"base_url": f"{r.base_url()}/v1", **more}
    return ChatOpenAI(model=name, api_key="unused", **made)


def graph(first: Any, second: Any = None) -> Any:
    """START → first → second → END; each node asks its model."""
    made = StateGraph(MessagesState)
    names = []
    for name, asked in (("first", first), ("second", second)):
        if asked is not None:
            made.add_node(name, lambda state, asked=asked: _turn(state, asked))
            names.append(name)
    for source, target in zip([START, *names], [*names, END], strict=True):
        made.add_edge(source, target)
    return made.compile()


def _turn(state: Any, asked: Any) -> dict[str, Any]:
    return {"messages": [asked.invoke(state["messages"])]}


def stream(made: Any, asked: Any) -> tuple[dict[str, str], list[Any]]:
    """The text of each node as it streamed, and all chunks."""
    by_node: dict[str, str] = {}
    chunks: list[Any] = []
    messages = asked if isinstance(asked, list) else [HumanMessage(asked)]
    for chunk, metadata in made.stream({"messages": messages}, stream_mode="messages"):
        node = metadata["langgraph_node"]
        by_node[node] = by_node.get(node, "") + chunk.text
        chunks.append(chunk)
    return by_node, chunks


@r.scenario
def text() -> None:
    """Two nodes; each chunk names its node."""
    got, chunks = stream(graph(model("echo"), model("witness")), "One two three")
    wanted = {"first": "One two three", "second": "One two three (0 pictures)"}
    r.same(got, wanted)
    assert len(chunks) > 4, "it did not stream"


@r.scenario
def reasoning() -> None:
    got, chunks = stream(graph(model()), "think")
    blocks = [block for chunk in chunks for block in chunk.content_blocks]
    thought = [block.get("reasoning", "") for block in blocks if block["type"] == "reasoning"]
    r.same(("".join(thought), got["first"]), ("Adding up. ", "It is 4."))


@r.scenario
def client_tools() -> None:
    """The graph's own tool node runs the calls, and asks the model again."""
    made = StateGraph(MessagesState)
    asked = model().bind_tools([get_weather])
    made.add_node("agent", lambda state: _turn(state, asked))
    made.add_node("tools", ToolNode([get_weather]))
    made.add_edge(START, "agent")
    made.add_conditional_edges("agent", tools_condition)
    made.add_edge("tools", "agent")
    got, _ = stream(made.compile(), "both cities")
    r.same(got["agent"], "Snow and sun.")
    assert "fine in Oslo" in got["tools"], got


@r.scenario
def server_tool() -> None:
    r.same(stream(graph(model()), "Where is my hat?")[0]["first"], "Let me look. Found a hat.")


@r.scenario
def mcp_tool() -> None:
    r.same(stream(graph(model()), "Read my notes")[0]["first"], "Milk, it says.")


@r.scenario
def subagents() -> None:
    wanted = "I let two look. Both are back."
    r.same(stream(graph(model()), "let two look")[0]["first"], wanted)


@r.scenario
def refusal() -> None:
    assert "No, thank you." in repr(stream(graph(model()), "refuse")[1]), "lost"


def _failed(asked: str, wanted: str) -> None:
    seen: list[str] = []

    def read() -> None:
        messages = {"messages": [HumanMessage(asked)]}
        running = graph(model()).stream(messages, stream_mode="messages")
        seen.extend(chunk.text for chunk, _ in running)

    r.raises(Exception, read, "The model")
    r.same("".join(seen), wanted)


@r.scenario
def failure_before() -> None:
    _failed("fail before", "")
    r.raises(openai.NotFoundError, lambda: stream(graph(model("nobody")), "x"))


@r.scenario
def failure_during() -> None:
    _failed("fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    _failed("fail after", "All of it.")


@r.scenario
def incomplete() -> None:
    done = graph(model()).invoke({"messages": [HumanMessage("too long")]})
    r.same(done["messages"][-1].response_metadata["status"], "incomplete")


@r.scenario
def chain() -> None:
    """A second invocation with the first one's messages, ids of the server's items included."""
    asked = graph(model("witness"))
    first = asked.invoke({"messages": [HumanMessage("My colour is blue.")]})
    got, _ = stream(asked, [*first["messages"], HumanMessage("And now?")])
    r.same(got["first"], "My colour is blue. | And now? (0 pictures)")


@r.scenario
def structured() -> None:
    schema = {"title": "answer", **r.ANSWER_SCHEMA}
    asked = model().with_structured_output(schema, method="json_schema")
    made: Any = StateGraph(AnyState)
    made.add_node("answer", lambda _: {"answer": asked.invoke("as json")})
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    r.same(made.compile().invoke({"asked": ""})["answer"], r.ANSWER)


@r.scenario
def image() -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "base64": r.PICTURE, "mime_type": "image/png"},
    ]
    got, _ = stream(graph(model("witness")), [HumanMessage(content=parts)])
    r.same(got["first"], "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(stream(graph(model("echo")), r.UNICODE)[0]["first"], r.UNICODE)


@r.scenario
def long() -> None:
    r.same(stream(graph(model("echo")), r.LONG)[0]["first"], r.LONG)


@r.scenario
def retry() -> None:
    broken = Broken()
    more = {"base_url": f"{broken.base_url}/v1", "max_retries": 1, "streaming": False}
    done = graph(model("echo", **more)).invoke({"messages": [HumanMessage(broken.words)]})
    r.same(done["messages"][-1].text, broken.words)
    broken.check()


@r.scenario
def approval() -> None:
    told = graph(model("clerk")).invoke({"messages": [HumanMessage("Where is my hat?")]})
    first = told["messages"][-1]
    (asked,) = [block for block in first.content if block.get("type") == "mcp_approval_request"]
    yes = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    goes_on = graph(model("clerk", use_previous_response_id=True))
    done = goes_on.invoke({"messages": [*told["messages"], HumanMessage([yes])]})
    r.same(done["messages"][-1].text, "Found a hat.")


if __name__ == "__main__":
    sys.exit(r.main(version("langgraph")))
