"""Hypothesis strategies for canonical run requests, of every surface and with every setting."""

from __future__ import annotations

from hypothesis import strategies as st

from tailrace.events.items import Item, Message, Reasoning, TextPart, ToolCall, ToolOutput
from tailrace.events.request import OutputFormat, RunRequest, Settings, ToolChoice, ToolSpec

WORDS = st.text(max_size=8)
RATIO = st.none() | st.sampled_from((0.0, 0.5, 1.0))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}

TOOLS = (
    ToolSpec(name="find", description="Finds.", parameters=SCHEMA, strict=True),
    ToolSpec(name="price"),
    ToolSpec(kind="custom", name="patch", raw={"format": {"type": "text"}}),
    ToolSpec(kind="provider", name="web_search", raw={"type": "web_search"}),
)
CHOICES = (
    ToolChoice(),
    ToolChoice(mode="none"),
    ToolChoice(mode="required", names=("find",)),
    ToolChoice(mode="required", names=("patch",)),
    ToolChoice(names=("find", "price")),
)
FORMATS = (
    OutputFormat(),
    OutputFormat(kind="json_object"),
    OutputFormat(kind="json_schema", name="city", schema=SCHEMA, strict=True),
    OutputFormat(kind="json_schema", name="city"),
)


def items() -> st.SearchStrategy[tuple[Item, ...]]:
    """A short conversation."""
    item = st.one_of(
        st.builds(lambda text: Message(role="user", content=(TextPart(text),)), WORDS),
        st.builds(lambda text: Message(role="assistant", content=(TextPart(text),)), WORDS),
        st.builds(lambda text: Reasoning(summary=(text,)), WORDS),
        st.just(ToolCall(call_id="c1", name="find", arguments="{}")),
        st.just(ToolOutput(call_id="c1", output=(TextPart("ok"),))),
    )
    return st.lists(item, max_size=3).map(tuple)


def settings() -> st.SearchStrategy[Settings]:
    """The settings that a client may send; `unheard_of` is an example of a value that only another server
    knows."""
    odd = st.sampled_from(("", "unheard_of"))
    return st.builds(
        Settings,
        tools=st.sets(st.sampled_from(range(len(TOOLS)))).map(
            lambda chosen: tuple(TOOLS[n] for n in sorted(chosen))
        ),
        tool_choice=st.sampled_from(CHOICES),
        parallel_tool_calls=st.none() | st.booleans(),
        output=st.sampled_from(FORMATS),
        temperature=RATIO,
        top_p=RATIO,
        max_output_tokens=st.none() | st.integers(1, 1000),
        presence_penalty=RATIO,
        frequency_penalty=RATIO,
        top_logprobs=st.none() | st.integers(0, 20),
        reasoning_effort=odd | st.just("high"),
        reasoning_summary=odd | st.just("auto"),
        verbosity=odd | st.just("low"),
        service_tier=odd | st.sampled_from(("flex", "auto", "ultrafast")),
        user=WORDS,
        origin=st.sampled_from(("", "chat", "responses", "messages")),
        extra=st.just({}) | st.just({"max_tool_calls": 3, "prompt_cache_key": "k", "novel": [1]}),
    )


def requests() -> st.SearchStrategy[RunRequest]:
    """A request as some surface decoded it."""
    return st.builds(
        RunRequest,
        agent=st.just("helper"),
        model=WORDS,
        surface=st.sampled_from(("responses", "chat", "native")),
        input=items(),
        history=items(),
        instructions=WORDS,
        settings=settings(),
        metadata=st.dictionaries(WORDS, WORDS, max_size=2),
        previous=st.sampled_from(("", "resp_01kabcdefghjkmnpqrstvwxyz9")),
        store=st.booleans(),
        background=st.booleans(),
        truncation=st.sampled_from(("", "auto", "unheard_of")),
        include=st.sampled_from(((), ("reasoning.encrypted_content",))),
    )
