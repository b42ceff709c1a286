"""Requests that a server of another dialect has no form for, with the place at fault; and requests that
real clients send by default, with parts that are left out because the dialect has no form for them."""

from __future__ import annotations

from typing import Any

from tests.support.codex import CODEX

HELLO = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def chat(*parts: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    said = [{"role": "user", "content": list(parts)}] if parts else [HELLO]
    return "chat", {"messages": said, **more}


def responses(*items: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "responses", {"input": [HELLO, *items], **more}


def messages(*blocks: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    said = [{"role": "user", "content": list(blocks)}] if blocks else [HELLO]
    return "messages", {"max_tokens": 9, "messages": said, **more}


WORD = {"type": "text", "text": "See"}
UPLOAD = {"type": "container_upload", "file_id": "file_1"}
BY_ID = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
BY_URL = {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}}
PICTURE = {"type": "base64", "media_type": "image/png", "data": "AA"}
ILLUSTRATED = {
    "type": "document",
    "source": {
        "type": "content",
        "content": [{"type": "text", "text": "See"}, {"type": "image", "source": PICTURE}],
    },
}


def said(*blocks: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    """The words of an assistant in a conversation that continues."""
    turns = [HELLO, {"role": "assistant", "content": list(blocks)}, HELLO]
    return "messages", {"max_tokens": 9, "messages": turns, **more}


def result(*blocks: Any) -> tuple[str, dict[str, Any]]:
    """The result of a tool."""
    called = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    found = {"type": "tool_result", "tool_use_id": "c", "content": list(blocks)}
    turns = [
        HELLO,
        {"role": "assistant", "content": [called]},
        {"role": "user", "content": [found]},
    ]
    return "messages", {"max_tokens": 9, "messages": turns}


def tool(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


Refused = tuple[tuple[str, dict[str, Any]], str, str, str]
"""The request, its agent, the place, a word of the message."""


def table() -> dict[str, Refused]:
    """Every kind of refusal, for each surface and each other dialect to which it applies."""
    found: dict[str, Refused] = {}

    def add(what: str, asked: tuple[str, dict[str, Any]], param: str, word: str, to: str) -> None:
        for model in to.split():
            found[f"{what}, to {model}"] = (asked, model, param, word)

    rest = "chat responses"
    block, place = "messages.0.content.1", "messages.2.content.0.content.1"
    add("a block", messages(WORD, UPLOAD), f"{block}.type", "container_upload", rest)
    for kind in ("compaction", "fallback", "novel_block", "tool_addition", "document_of_tomorrow"):
        asked = said(WORD, {"type": kind, "content": "all that was said"})
        add(f"an assistant's {kind}", asked, "messages.1.content.1.type", kind, rest)
    add("pictures in a document", messages(WORD, ILLUSTRATED), f"{block}.type", "document", rest)
    add("pictures in a result", result(WORD, ILLUSTRATED), f"{place}.type", "document", rest)
    add("a picture by its id", messages(WORD, BY_ID), block, "picture", "chat priced")
    add("a file by its id", messages(WORD, BY_ID), block, "another provider", "responses")
    add("a file of a result", result(WORD, BY_ID), place, "another provider", "responses")
    add("a file by its address", messages(WORD, BY_URL), block, "file", "chat")
    add("a picture of a result, by its id", result(WORD, BY_ID), place, "picture", "chat")
    for kind in (
        "bash_20250124",
        "code_execution_20250825",
        "computer_20251124",
        "computer_toolset_20260801",
        "mcp_toolset",
        "memory_20250818",
        "text_editor_20250728",
        "web_fetch_20250910",
        "a_tool_of_tomorrow",
    ):
        tools = [{"name": "f", "input_schema": {"type": "object"}}, tool(kind, name="b")]
        add(f"the tool {kind}", messages(tools=tools), "tools.1.type", kind, rest)
    searching = tool("web_search_20250305", name="web_search")
    leaving_out = [{**searching, "blocked_domains": ["a.b"]}]
    asked = messages(tools=leaving_out)
    add("a search", asked, "tools.0.blocked_domains", "blocked_domains", "responses")
    only_search = {"type": "tool", "name": "web_search"}
    asked = messages(tools=[searching], tool_choice=only_search)
    add("a choice", asked, "tool_choice", "web_search", "chat")
    asked = messages(tool_choice={"type": "any"})
    add("a choice among no tools", asked, "tool_choice", "no tool", rest)
    add("no token", messages(max_tokens=0), "max_tokens", "one token", rest)
    server = {"type": "url", "url": "https://h", "name": "n"}
    add("MCP servers", messages(mcp_servers=[server]), "mcp_servers", "mcp_servers", rest)
    add("a container", messages(container="c_1"), "container", "container", rest)
    skills = {"skills": [{"type": "anthropic", "skill_id": "pdf"}]}
    add("skills", messages(container=skills), "container.skills", "container", rest)

    rest = "chat messages"
    for kind in (
        "apply_patch_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "local_shell_call_output",
        "novel_item",
        "program",
        "shell_call",
        "shell_call_output",
    ):
        asked = responses(tool(kind, call_id="c", output="x"))
        add(f"the item {kind}", asked, "input[1].type", kind, rest)
    asked = responses(
        {"role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "new"}]}
    )
    add("a part", asked, "input[1].content[1].type", "'new'", rest)
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "new"}]}
    add("a part of an output", responses(called, output), "input[2].output[0].type", "'new'", rest)
    by_id = {"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}
    add("a picture's id", responses(by_id), "input[1].content[0]", "picture", "chat")
    for kind in (
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "local_shell",
        "mcp",
        "shell",
        "a_tool_of_tomorrow",
    ):
        add(
            f"the tool {kind}", responses(tools=[FUNCTION, tool(kind)]), "tools[1].type", kind, rest
        )
    space = tool("namespace", name="n", tools=[FUNCTION, tool("web_search"), tool("mcp")])
    add("a namespace's", responses(tools=[FUNCTION, space]), "tools[1].tools[2].type", "mcp", rest)
    brought = tool("additional_tools", role="developer", tools=[FUNCTION, tool("shell")])
    add("tools on the way", responses(brought), "input[1].tools[1].type", "shell", rest)
    search = tool("tool_search_output", call_id="s", tools=[space])
    add("tools found", responses(search), "input[1].tools[0].tools[2].type", "mcp", rest)
    asked = responses(tools=[tool("web_search")], tool_choice={"type": "web_search"})
    add("a choice of Responses", asked, "tool_choice", "web_search", rest)
    asked = responses(tool_choice="required")
    add("a choice among none of Responses", asked, "tool_choice", "no tool", rest)
    add("a prompt by its id", responses(prompt={"id": "p"}), "prompt", "prompt", rest)

    rest = "responses messages"
    word = {"type": "text", "text": "See"}
    asked = chat(word, {"type": "video_url", "video_url": {"url": "https://h/a.mp4"}})
    add("a part of Chat", asked, "messages[0].content[1].type", "video_url", rest)
    film = {"type": "file", "file": {"file_data": "data:video/mp4;base64,AA"}}
    asked = chat(word, film)
    add("a file of a strange type", asked, "messages[0].content[1]", "video/mp4", "messages")
    asked = chat(tools=[{"type": "builtin_function", "function": {"name": "$web_search"}}])
    add("a tool of Chat", asked, "tools[0].type", "builtin_function", rest)
    asked = chat(modalities=["text", "audio"], audio={"voice": "a", "format": "wav"})
    add("sound", asked, "audio", "audio", rest)
    add("modalities", chat(modalities=["image"]), "modalities", "modalities", rest)
    asked = chat(web_search_options={})
    add("a search of Chat", asked, "web_search_options", "web_search_options", rest)
    add("a form of vLLM", chat(guided_json={"type": "object"}), "guided_json", "guided_json", rest)
    asked = chat(tool_choice="required")
    add("a choice among none of Chat", asked, "tool_choice", "no tool", rest)
    return found


NOBODYS = {"type": "function", "function": {"name": "g"}}
REFUSED: dict[str, Refused] = {
    **table(),
    "a choice of nobody's tool, in one dialect": (
        chat(
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [NOBODYS]},
            },
        ),
        "chat",
        "tool_choice",
        "'g'",
    ),
}


OFFERED = ("web_search", "web_search_preview", "image_generation", "tool_search")
UNASKED_OF_CODEX: dict[str, Any] = {
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "store": False,
    "client_metadata": {"turn_id": "1"},
    "context_management": [{"type": "compaction", "compact_threshold": 9}],
    "truncation": "auto",
    "service_tier": "auto",
    "reasoning": {"effort": "low", "summary": "auto"},
    "parallel_tool_calls": True,
    "tool_choice": "auto",
}
UNASKED_OF_CLAUDE_CODE: dict[str, Any] = {
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "u", "session_id": "s"},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "high"},
    "system": [{"type": "text", "text": "Be.", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {"name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"type": "advisor_20260301", "name": "advisor", "model": "m"},
    ],
    "mcp_servers": [],
    "container": {"id": None, "skills": []},
    "compaction": {"type": "auto"},
    "speed": "fast",
    "diagnostics": {"a": 1},
    "fallbacks": [{"model": "x"}],
}
"""Parts that real clients send by default: without them the request has the same meaning."""
KEPT_QUIET: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "what a server of Responses made": (
        responses({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        "chat",
    ),
    "what a server of Messages made": (
        (
            "messages",
            {
                "max_tokens": 9,
                "messages": [
                    HELLO,
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "server_tool_use", "id": "s", "name": "n", "input": {}}
                        ],
                    },
                    HELLO,
                ],
            },
        ),
        "responses",
    ),
    "what Codex sends, to chat": (("responses", CODEX), "chat"),
    "what Codex sends, to Messages": (("responses", CODEX), "messages"),
    "what Codex offers besides": (
        responses(tools=[FUNCTION, *map(tool, OFFERED)], **UNASKED_OF_CODEX),
        "messages",
    ),
    "what Claude Code sends, to chat": (messages(**UNASKED_OF_CLAUDE_CODE), "chat"),
    "what Claude Code sends, to Responses": (
        messages(**{**UNASKED_OF_CLAUDE_CODE, "tools": UNASKED_OF_CLAUDE_CODE["tools"][:2]}),
        "responses",
    ),
    "tools that come on the way": (
        responses({"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}),
        "messages",
    ),
    "tools that come on the way, to chat": (
        responses({"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}),
        "chat",
    ),
    "tools that were searched for": (
        responses({"type": "tool_search_output", "call_id": "s", "tools": [FUNCTION]}),
        "chat",
    ),
    "an approval": (
        responses(
            {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}, HELLO
        ),
        "chat",
    ),
}


ELSEWHERE = {
    "AG-UI": (
        "/agui/{}",
        {
            "threadId": "t",
            "runId": "r",
            "messages": [
                {
                    "id": "1",
                    "role": "user",
                    "content": [
                        WORD,
                        {
                            "type": "document",
                            "source": {"type": "url", "value": "https://h/a.pdf"},
                        },
                    ],
                }
            ],
        },
        "messages[0].content[1]",
    ),
    "AI SDK": (
        "/api/chat?agent={}",
        {
            "id": "c",
            "messages": [
                {
                    "id": "1",
                    "role": "user",
                    "parts": [
                        WORD,
                        {"type": "file", "url": "https://h/a.pdf", "mediaType": "application/pdf"},
                    ],
                }
            ],
        },
        "messages[0].parts[1]",
    ),
}
