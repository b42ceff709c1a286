"""A client's `POST /messages` as a run request (`MessageCreateParams` of anthropic 2.11).

Two versions of the API are supported: `2023-06-01`, and `2026-10-21`, which has no sampling parameters and
restricts the positions of documents and citations.
"""

from __future__ import annotations

import re

from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.items import Json
from tailrace.events.request import OutputFormat, RunRequest, Settings
from tailrace.protocols.anthropic_messages import tools
from tailrace.protocols.anthropic_messages.content import (
    check_places,
    decode_messages,
    decode_system,
)
from tailrace.protocols.anthropic_messages.messages import BETA
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import (
    Object,
    as_object,
    body_object,
    nested,
    number,
    optional,
    strings,
    texts_of,
    without_empty,
)

SURFACE = "messages"
VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING = ("temperature", "top_p", "top_k")
NOT_HERE = {"thread": "conversations are not held by the model server; send the messages"}
"""Parameters that refer to earlier data by a server's own ids, which clients of ours never receive."""
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
"""A valid beta name; any other value would not be valid in a header."""
_CANONICAL = frozenset(
    {
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    }
)


class CreateMessage(Struct, frozen=True):
    """A decoded request."""

    request: RunRequest
    stream: bool


def decode(body: bytes, version: str, betas: str = "") -> CreateMessage:
    """Decode a request; `request.agent` is left empty. `version` is the `anthropic-version` header, `betas`
    the `anthropic-beta` headers, joined by commas.

    Raises `BadRequest`, also for parameters that the version does not have.
    """
    fields = _fields(body, version)
    fields.pop(BETA, None)  # not a field of the API, and never sent as a header
    names = [name.strip() for name in betas.split(",")]
    fields |= without_empty({BETA: [name for name in names if _NAME.fullmatch(name)]})
    if "max_tokens" not in fields:
        raise BadRequest("max_tokens: Field required", param="max_tokens")
    limit = optional(fields, "max_tokens", int, default=-1)
    if limit < 0:  # 0 fills the cache without a reply
        raise BadRequest("max_tokens: must be at least 0", param="max_tokens")
    request = _request(fields, limit)
    return CreateMessage(request, optional(fields, "stream", bool, default=False))


def decode_count(body: bytes, version: str) -> RunRequest:
    """Decode a request to count tokens: the same without a limit."""
    return _request(_fields(body, version), None)


def _fields(body: bytes, version: str) -> Object:
    if version and version not in VERSIONS:
        versions = " or ".join(VERSIONS)
        raise BadRequest(f"anthropic-version: {version[:40]!r} is not known; use {versions}")
    fields = body_object(body)
    for name, why in NOT_HERE.items():
        if fields.get(name) is not None:
            raise BadRequest(f"{name}: {why}", param=name)
    if version == VERSIONS[1]:
        for name in SAMPLING:
            if fields.get(name) is not None:
                raise BadRequest(f"{name}: not supported by version {version}", param=name)
    for name in ("model", "messages"):
        if name not in fields:
            raise BadRequest(f"{name}: Field required", param=name)
    if version == VERSIONS[1]:
        check_places(fields["messages"])
    return fields


def _request(fields: Object, limit: int | None) -> RunRequest:
    model = optional(fields, "model", str, default="")
    if not model:
        raise BadRequest("model: must not be empty", param="model")
    instructions, system = decode_system(fields.get("system"))
    return RunRequest(
        agent="",
        model=model,
        surface=SURFACE,
        input=decode_messages(fields["messages"]),
        instructions=instructions,
        settings=_settings(fields, limit, without_empty({"system": system})),
        metadata=texts_of(nested(fields, "metadata")),
    )


def _settings(fields: Object, limit: int | None, own: Object) -> Settings:
    choice = nested(fields, "tool_choice")
    config, metadata = nested(fields, "output_config"), nested(fields, "metadata")
    user = optional(metadata, "user_id", str, default="", where="metadata")
    extra = {name: value for name, value in fields.items() if name not in _CANONICAL}
    own = {**own, **without_empty({"output_config": config, "metadata": _more_than_user(metadata)})}
    alone = optional(choice, "disable_parallel_tool_use", bool, default=None, where="tool_choice")
    return Settings(
        tools=tools.decode(fields.get("tools")),
        tool_choice=tools.decode_choice(choice),
        parallel_tool_calls=None if alone is None else not alone,
        output=_format(config.get("format")),
        temperature=number(fields, "temperature"),
        top_p=number(fields, "top_p"),
        max_output_tokens=limit,
        stop=strings(fields, "stop_sequences"),
        reasoning_effort=_effort(config, nested(fields, "thinking")),
        user=user,
        origin=DIALECT,
        extra={**extra, **own},
    )


def _more_than_user(metadata: Object) -> Object:
    """`metadata`, if it has more than the user's id."""
    return metadata if metadata.keys() - {"user_id"} else {}


def _effort(config: Object, thinking: Object) -> str:
    """The reasoning effort, in the values that servers of other dialects know."""
    effort = optional(config, "effort", str, default="", where="output_config")
    if effort or thinking.get("type") not in ("enabled", "adaptive"):
        return effort
    budget = optional(thinking, "budget_tokens", int, default=0, where="thinking")
    if not budget:
        return "medium"
    return "low" if budget <= 4096 else "medium" if budget <= 16384 else "high"


def _format(value: Json) -> OutputFormat:
    if value is None:
        return OutputFormat()
    form = as_object(value, "output_config.format")
    if form.get("type") != "json_schema":
        raise BadRequest(
            f"output_config.format.type: {form.get('type')!r} is not known",
            param="output_config.format.type",
        )
    schema = as_object(form.get("schema"), "output_config.format.schema")
    return OutputFormat(kind="json_schema", name="answer", schema=schema, strict=True)
