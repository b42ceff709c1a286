"""The scenarios of the golden transcripts: logs written by hand, one for each case."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message, ProviderItem, TextPart, ToolCall, ToolOutput
from tailrace.events.request import Settings, ToolSpec
from tests.support import provider_items
from tests.support.logs import call, log, request, text, user

Scenario = Callable[[], list[t.Event]]

TOOLS = Settings(
    tools=(
        ToolSpec(
            name="get_weather",
            description="The weather in a city.",
            parameters={"type": "object", "properties": {"city": {"type": "string"}}},
            strict=False,
        ),
    ),
    origin="responses",
)
SEARCH = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "races"},
}
USAGE = t.Usage("fast", input=12, cached=4, output=7, reasoning=2)


def plain() -> list[t.Event]:
    """A short answer."""
    return log([*text(0, "Hello", ", ", "world."), USAGE], end=t.RunCompleted())


def reasoning() -> list[t.Event]:
    """Two summary parts, raw reasoning, an encrypted item, and the answer."""
    thought: list[t.Payload] = [
        t.ItemStarted(0, "reasoning"),
        t.ReasoningSummaryDelta(0, "**Adding** "),
        t.ReasoningSummaryDelta(0, "up."),
        t.ReasoningSummaryDelta(0, "Checking.", part=1),
        t.ItemCompleted(0, details={"responses": {"encrypted_content": "gAAAA"}}),
        t.ItemStarted(1, "reasoning"),
        t.ReasoningDelta(1, "2 and "),
        t.ReasoningDelta(1, "2 is 4."),
        t.ItemCompleted(1),
    ]
    asked = request("2+2?", include=("reasoning.encrypted_content",))
    return log([*thought, *text(2, "4"), USAGE], asked, end=t.RunCompleted())


def parallel_tools() -> list[t.Event]:
    """Server-run tools in parallel: one answers, one fails; then the answer."""
    opened: list[t.Payload] = [
        t.ItemStarted(
            1, "tool_call", name="find", call_id="call_a", runs_on="server", server_label="shop"
        ),
        t.ItemStarted(2, "tool_call", name="price", call_id="call_b", runs_on="server"),
        t.ArgumentsDelta(1, '{"q":'),
        t.ArgumentsDelta(2, "{}"),
        t.ArgumentsDelta(1, '"hat"}'),
        t.ItemCompleted(1),
        t.ItemCompleted(2),
        USAGE,
        t.ToolStarted(1, "k:1"),
        t.ToolStarted(2, "k:2"),
        t.ToolProgress(1, "looking", 1, 2),
        t.ToolCompleted(2, "no price", is_error=True),
        t.ToolCompleted(1, '{"id":7}'),
    ]
    answer = text(3, "Found", " it.")
    return log([*text(0, "Let me look."), *opened, *answer, USAGE], end=t.RunCompleted())


def refusal() -> list[t.Event]:
    """Some text, then a refusal in the same message."""
    said: list[t.Payload] = [
        t.ItemStarted(0, "message"),
        t.TextDelta(0, "Hm. "),
        t.RefusalDelta(0, "I cannot ", part=1),
        t.RefusalDelta(0, "help with that.", part=1),
        t.ItemCompleted(0),
        USAGE,
    ]
    return log(said, end=t.RunCompleted())


def failure_before() -> list[t.Event]:
    """The model server refused the request."""
    return log(
        [], end=t.RunFailed("rate_limit_exceeded", "The model server answered 429: slow down")
    )


def failure_inside() -> list[t.Event]:
    """The model server died in the middle of an item."""
    said: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "Once upon")]
    return log(
        said, end=t.RunFailed("server_error", "The model server's reply ended in the middle.")
    )


def failure_after() -> list[t.Event]:
    """The second model call failed, after a complete message and a complete tool call."""
    done = [
        *call(1, "find", "{}", runs_on="server"),
        USAGE,
        t.ToolStarted(1),
        t.ToolCompleted(1, "ok"),
    ]
    failed = t.RunFailed("server_error", "The model server cannot be reached.")
    return log([*text(0, "Looking."), *done], end=failed)


def cancelled() -> list[t.Event]:
    """A client cancelled while text was streaming."""
    said: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "One, two, ")]
    return log(said, end=t.RunCancelled("a client"))


def incomplete() -> list[t.Event]:
    """The answer was cut by the token limit."""
    usage = t.Usage("fast", input=3, output=5, finish="length")
    return log([*text(0, "A very long"), usage], end=t.RunIncomplete("max_output_tokens"))


def two_attempts() -> list[t.Event]:
    """The process died in the middle of a message; the next attempt sends it again."""
    first: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "The answer ")]
    again: list[t.Payload] = [
        t.RunAttempt(2, "the server restarted"),
        t.ItemCompleted(0, "incomplete"),
    ]
    return log([*first, *again, *text(1, "The answer ", "is 4."), USAGE], end=t.RunCompleted())


def two_attempts_alike() -> list[t.Event]:
    """The next attempt's model repeats the text: the message continues."""
    first: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "The answer ")]
    rest: list[t.Payload] = [t.TextDelta(0, "is 4."), t.ItemCompleted(0)]
    attempt = t.RunAttempt(2, "the server restarted", keeps_replies=True)
    return log([*first, attempt, *rest, USAGE], end=t.RunCompleted())


def two_attempts_apart() -> list[t.Event]:
    """The next attempt's model sends something else: the text shown before is not part of the answer."""
    first: list[t.Payload] = [
        t.ItemStarted(0, "reasoning"),
        t.ReasoningDelta(0, "A sum."),
        t.ItemCompleted(0),
        t.ItemStarted(1, "message"),
        t.TextDelta(1, "The answer "),
    ]
    again: list[t.Payload] = [
        t.RunAttempt(2, "the server restarted", keeps_replies=True),
        t.ReplyAbandoned(),
        t.ItemCompleted(1, "incomplete"),
    ]
    return log([*first, *again, *text(2, "Four", "."), USAGE], end=t.RunCompleted())


def client_tools_first() -> list[t.Event]:
    """The first of two turns: the run hands two calls to the client."""
    calls = [
        *call(0, "get_weather", '{"city":', '"Oslo"}', call_id="call_o"),
        *call(1, "get_weather", '{"city":"Rome"}', call_id="call_r"),
    ]
    usage = t.Usage("fast", input=9, output=20, finish="tool_calls")
    return log([*calls, usage], request("Oslo and Rome?", settings=TOOLS), end=t.RunCompleted())


def client_tools_second() -> list[t.Event]:
    """The second turn: the client's outputs arrive, the model answers."""
    history = (
        user("Oslo and Rome?"),
        ToolCall(call_id="call_o", name="get_weather", arguments='{"city":"Oslo"}'),
        ToolOutput(call_id="call_o", output=(TextPart("snow"),)),
        Message(role="assistant", content=(TextPart("One more."),)),
    )
    asked = request(
        "Go on", history=history, settings=TOOLS, previous="resp_01kabcdefghjkmnpqrstvwxyz9"
    )
    return log([*text(0, "Snow in Oslo."), USAGE], asked, end=t.RunCompleted())


def unicode() -> list[t.Event]:
    """Every kind of awkward text, in pieces."""
    pieces = [
        "naïve ",
        "日本語 ",
        "👩‍👩‍👧 ",
        "\u2028line\u2029 ",
        '"quoted"\\ ',
        "\x00\x1f\t\n\r\n",
        "مرحبا",
        "<script>",
        "é",
    ]
    return log([*text(0, *pieces), USAGE], request("Ünïcödé 🎈"), end=t.RunCompleted())


def empty() -> list[t.Event]:
    """The model sent no text."""
    return log([*text(0), t.Usage("fast")], end=t.RunCompleted())


def gateway() -> list[t.Event]:
    """A model server's own items, citations, log probabilities, and a custom tool."""
    search = {"type": "web_search_call", "id": "ws_up", "status": "in_progress"}
    found = {**search, "status": "completed", "action": {"type": "search", "query": "tailrace"}}
    cite = {
        "type": "url_citation",
        "url": "http://127.0.0.1/",
        "title": "T",
        "start_index": 0,
        "end_index": 3,
    }
    odds = ({"token": "A", "logprob": -0.25, "bytes": [65], "top_logprobs": []},)
    said: list[t.Payload] = [
        t.ItemStarted(0, "provider", dialect="responses", data=search),
        t.ItemCompleted(0, content=ProviderItem(dialect="responses", data=found)),
        t.ItemStarted(1, "message", phase="final_answer"),
        t.TextDelta(1, "A", logprobs=odds),
        t.AnnotationAdded(1, cite),
        t.TextDelta(1, " race."),
        t.ItemCompleted(1),
        t.ItemStarted(2, "provider", dialect="messages", data=SEARCH),
        t.ItemCompleted(2),
        t.ItemStarted(3, "tool_call", name="patch", call_id="call_p", custom=True),
        t.ArgumentsDelta(3, "*** Begin"),
        t.ItemCompleted(3),
        t.Custom("note", {"seen": True}),
        t.Usage("fast", input=5, cache_write=2, output=3, finish="tool_calls"),
    ]
    asked = request(metadata={"team": "a"}, instructions="Be brief.", background=True)
    return log(said, asked, end=t.RunCompleted())


def hosted_tools() -> list[t.Event]:
    """Every item that only a Responses server makes; the last one is cut off."""
    said: list[t.Payload] = []
    for number, started in enumerate(provider_items.STARTED):
        whole = ProviderItem(dialect="responses", data=provider_items.finished(started))
        said.append(t.ItemStarted(number, "provider", dialect="responses", data=started))
        said.append(t.ItemCompleted(number, content=whole))
    search = provider_items.STARTED[0]
    cut = t.ItemStarted(len(provider_items.STARTED), "provider", dialect="responses", data=search)
    said += [USAGE, cut]
    return log(said, end=t.RunFailed("server_error", "The model server's reply ended."))


def workflow() -> list[t.Event]:
    """Two subagents write at the same time, with an image and an invented node beside them; only agents are
    shown."""

    def at(node: str, agent: str, payload: t.Payload) -> t.Draft:
        return t.Draft(payload, node, agent)

    picture = Message(role="assistant", content=(ImagePart("data:image/png;base64,QUJD"),))
    happens = [
        at("main", "researcher#1", t.AgentStarted("researcher", "subagent", t.MAIN)),
        at("main", "researcher#2", t.AgentStarted("researcher", "subagent", t.MAIN)),
        at("cover", "", t.NodeStarted("image_generation", "Cover")),
        at("sonar", "", t.NodeStarted("sonar", "Ping")),
        at("main", "researcher#1", t.ItemStarted(0, "message")),
        at("main", "researcher#2", t.ItemStarted(1, "message")),
        at("cover", "", t.ItemStarted(2, "image")),
        at("main", "researcher#1", t.TextDelta(0, "North is ")),
        at("main", "researcher#2", t.TextDelta(1, "South is ")),
        at("cover", "", t.ImagePartial(2, "QUI=")),
        at("sonar", "", t.Custom("sonar.echo", {"depth": 40})),
        at("main", "researcher#2", t.TextDelta(1, "warm.")),
        at("main", "researcher#1", t.TextDelta(0, "cold.")),
        at("main", "researcher#1", t.ItemCompleted(0)),
        at("main", "researcher#2", t.ItemCompleted(1)),
        at("main", "researcher#1", USAGE),
        at("main", "researcher#2", USAGE),
        at("cover", "", t.ItemCompleted(2, content=picture)),
        at("main", t.MAIN, t.ItemStarted(3, "image")),
        at("main", t.MAIN, t.ImagePartial(3, "QUI=")),
        at("main", t.MAIN, t.ItemCompleted(3, content=picture)),
        at("main", t.MAIN, USAGE),
    ]
    return log(happens, end=t.RunCompleted())


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        plain,
        reasoning,
        parallel_tools,
        refusal,
        failure_before,
        failure_inside,
        failure_after,
        cancelled,
        incomplete,
        two_attempts,
        two_attempts_alike,
        two_attempts_apart,
        client_tools_first,
        client_tools_second,
        unicode,
        empty,
        gateway,
        hosted_tools,
        workflow,
    )
}
