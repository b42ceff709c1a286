"""Items that only a Responses server emits, as OpenAI's own streams begin and end them, and Anthropic's
blocks."""

from __future__ import annotations

from tailrace.protocols.fields import Object

_SEARCH = {"type": "search", "query": "tailrace"}

FINISHED: dict[str, Object] = {
    "web_search_call": {"id": "ws_up", "action": _SEARCH, "status": "completed"},
    "file_search_call": {"id": "fs_up", "queries": ["a"], "results": None, "status": "completed"},
    "code_interpreter_call": {
        "id": "ci_up",
        "code": "print(1)",
        "container_id": "cntr_1",
        "outputs": [],
        "status": "completed",
    },
    "image_generation_call": {"id": "ig_up", "result": "iVBO", "status": "completed"},
    "mcp_list_tools": {"id": "mcpl_up", "server_label": "docs", "tools": []},
    "mcp_call": {
        "id": "mcp_up",
        "arguments": '{"q":1}',
        "name": "find",
        "server_label": "docs",
        "output": "found",
        "status": "completed",
    },
    "mcp_approval_request": {
        "id": "mcpr_up",
        "arguments": "{}",
        "name": "find",
        "server_label": "docs",
    },
    "compaction": {"id": "cmp_up", "encrypted_content": "gAAA"},
}
"""A complete item of each type, without its `type`."""

STARTED: tuple[Object, ...] = (
    {"type": "web_search_call", "id": "ws_up", "status": "in_progress"},
    {"type": "file_search_call", "id": "fs_up", "status": "in_progress", "queries": []},
    {
        "type": "code_interpreter_call",
        "id": "ci_up",
        "status": "in_progress",
        "code": "",
        "container_id": "cntr_1",
        "outputs": None,
    },
    {"type": "image_generation_call", "id": "ig_up", "status": "in_progress", "result": None},
    {"type": "mcp_list_tools", "id": "mcpl_up", "server_label": "docs", "tools": []},
    {
        "type": "mcp_call",
        "id": "mcp_up",
        "arguments": "",
        "name": "find",
        "server_label": "docs",
        "status": "in_progress",
    },
    {"type": "mcp_approval_request", **FINISHED["mcp_approval_request"]},
    {"type": "compaction", **FINISHED["compaction"]},
)
"""The same items as their `output_item.added` shows them."""


BLOCKS: tuple[Object, ...] = (
    {
        "type": "server_tool_use",
        "id": "srvtoolu_up",
        "name": "web_search",
        "input": {"query": "tailrace"},
    },
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_up", "content": []},
)
"""Blocks that only an Anthropic server emits."""


def finished(started: Object) -> Object:
    """The complete item of such a beginning; a block is complete from the start."""
    kind = str(started["type"])
    return {"type": kind, **FINISHED[kind]} if kind in FINISHED else started
