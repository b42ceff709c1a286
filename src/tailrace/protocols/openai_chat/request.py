"""A client's `POST /chat/completions` as a run request (`CompletionCreateParams` of openai 3.52).

`conversation_id`, an extension that OpenAI's API does not have, names the conversation that the turn belongs
to.
"""

from __future__ import annotations

from msgspec import Struct

from tailrace.errors import BadRequest, Unprocessable
from tailrace.events.request import OutputFormat, RunRequest, Settings, ToolChoice
from tailrace.protocols.fields import (
    Object,
    body_object,
    metadata,
    nested,
    number,
    optional,
    strings,
)
from tailrace.protocols.openai_chat import messages, tools

SURFACE = "chat"
_CANONICAL = frozenset(
    {
        "conversation_id",
        "frequency_penalty",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)


class CreateChatCompletion(Struct, frozen=True):
    """A decoded request; `include_usage`: the client wants the usage in a last chunk."""

    request: RunRequest
    stream: bool
    include_usage: bool


def decode(body: bytes) -> CreateChatCompletion:
    """Decode a request; `request.agent` is left empty.

    Raises `BadRequest`, and `Unprocessable` for the forms that are rejected by design: more than one choice,
    and the deprecated `functions` that `tools` replaced.
    """
    fields = body_object(body)
    for name in ("functions", "function_call"):
        if fields.get(name) is not None:
            raise Unprocessable(f"{name} is not supported; use tools.", param=name)
    if optional(fields, "n", int, default=1) != 1:
        raise Unprocessable("n must be 1.", param="n")
    if "messages" not in fields:
        raise BadRequest("Missing required parameter: 'messages'.", param="messages")
    model = optional(fields, "model", str, default="")
    if not model:
        raise BadRequest("you must provide a model parameter", param="model")
    request = RunRequest(
        agent="",
        model=model,
        surface=SURFACE,
        input=messages.decode_messages(fields["messages"]),
        settings=_settings(fields),
        metadata=metadata(fields),
        session=optional(fields, "conversation_id", str, default=""),
    )
    stream_options = nested(fields, "stream_options")
    usage = optional(stream_options, "include_usage", bool, default=False, where="stream_options")
    return CreateChatCompletion(request, optional(fields, "stream", bool, default=False), usage)


def _settings(fields: Object) -> Settings:
    limit = optional(fields, "max_completion_tokens", int, default=None)
    older = optional(fields, "max_tokens", int, default=None)
    if older is not None and older < 1:  # 0 has a meaning in Messages only
        raise BadRequest(f"max_tokens must be at least 1, not {older}.", param="max_tokens")
    stop = fields.get("stop")
    form, choice = fields.get("response_format"), fields.get("tool_choice")
    return Settings(
        tools=tools.decode_tools(fields["tools"]) if fields.get("tools") else (),
        tool_choice=ToolChoice() if choice is None else tools.decode_choice(choice),
        parallel_tool_calls=optional(fields, "parallel_tool_calls", bool, default=None),
        output=OutputFormat() if form is None else tools.decode_format(form),
        temperature=number(fields, "temperature"),
        top_p=number(fields, "top_p"),
        max_output_tokens=older if limit is None else limit,
        stop=(stop,) if isinstance(stop, str) else strings(fields, "stop"),
        seed=optional(fields, "seed", int, default=None),
        presence_penalty=number(fields, "presence_penalty"),
        frequency_penalty=number(fields, "frequency_penalty"),
        logprobs=optional(fields, "logprobs", bool, default=False),
        top_logprobs=optional(fields, "top_logprobs", int, default=None),
        reasoning_effort=optional(fields, "reasoning_effort", str, default=""),
        verbosity=optional(fields, "verbosity", str, default=""),
        service_tier=optional(fields, "service_tier", str, default=""),
        user=optional(fields, "user", str, default=""),
        origin=SURFACE,
        extra={key: value for key, value in fields.items() if key not in _CANONICAL},
    )
