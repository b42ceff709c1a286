"""The scenarios, the columns of the table: what each client goes through where it has a form for it."""

from __future__ import annotations

SCENARIOS = {
    "text": "a short answer, streamed and (where the client can) in one piece, the same text",
    "reasoning": "the model's thoughts arrive as the client's own kind of reasoning",
    "client_tools": "two calls of the client's tools in one reply, their outputs, the answer",
    "server_tool": "a tool that runs on the server; the client does not take it for its own",
    "mcp_tool": "the same with a tool of an MCP server",
    "subagents": "an agent that lets two others work in parallel",
    "refusal": "the model refuses",
    "failure_before": "the run fails before it says anything; so does a request for an unknown agent",
    "failure_during": "the model dies in the middle of its text",
    "failure_after": "the run fails after a whole text and a tool",
    "incomplete": "the token limit cuts the answer",
    "cancel": "the client ends the run",
    "resume": "the connection is dropped in the middle; the client reads the rest of the same run",
    "retry": "the first answer is lost; the client asks again and no second run begins",
    "approval": "a call waits for approval; the client approves it and the same run continues",
    "chain": "a second turn whose agent knows the first",
    "structured": "an answer by a JSON schema",
    "image": "a picture in the input reaches the agent",
    "unicode": "many scripts, emoji, line separators",
    "long": "5,000 words",
}
