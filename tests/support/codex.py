"""The request that Codex 0.171 sends to a model server in the second turn of a session, with shorter texts.

Captured in a session with it: functions, a namespace with the tools of its subagents, web search;
reasoning, calls and outputs with ids and a `content` of null. `apply_patch` with a grammar, `tool_search`
and `phase` follow its documentation.
"""

from __future__ import annotations

from typing import Any


def _function(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "type": "function",
        "name": name,
        "description": f"{name}.",
        "strict": False,
        "parameters": parameters,
    }


def _message(role: str, n: int, text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_01a22d48-0f0e-7490-93af-64b48004440{n}",
        "role": role,
        "content": [{"type": "input_text", "text": text}],
    }


CODEX: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "input": [
        _message("developer", 1, "You are a coding agent."),
        _message("user", 2, "<environment_context></environment_context>"),
        _message("user", 3, "Say hello."),
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Think."}],
            "content": None,
            "encrypted_content": "gAAA",
        },
        {
            "type": "function_call",
            "status": "completed",
            "id": "fc_1",
            "name": "exec_command",
            "arguments": '{"cmd":"echo hello"}',
            "call_id": "call_1",
        },
        {
            "type": "function_call_output",
            "id": "fco_01a22d48-1097-79c3-809a-4bafcf56fe65",
            "call_id": "call_1",
            "output": "hello",
        },
        {
            "type": "function_call",
            "id": "fc_2",
            "name": "spawn_agent",
            "namespace": "multi_agent_v1",
            "arguments": '{"message":"look"}',
            "call_id": "call_2",
        },
        {"type": "function_call_output", "id": "fco_2", "call_id": "call_2", "output": "spawned"},
        {
            "type": "message",
            "id": "msg_x",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello."}],
            "phase": "final_answer",
        },
    ],
    "tools": [
        _function("exec_command", cmd={"type": "string"}),
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Patches.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"},
        },
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Tools for spawning and managing sub-agents.",
            "tools": [_function("spawn_agent", message={"type": "string"})],
        },
        {"type": "tool_search", "execution": "client", "description": "Finds tools."},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a22d48-0e91-7d52-aca7-856f29fb53ee",
    "client_metadata": {"turn_id": "01a22d48-0ebe-7b40-8b77-976271a2453c"},
}
