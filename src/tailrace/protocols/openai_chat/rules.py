"""Differences between chat servers that their replies do not show: settings of a model."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

MaxTokens = Literal["max_tokens", "max_completion_tokens"]
CustomTools = Literal["custom", "function"]
Developer = Literal["developer", "system"]
Continues = Literal["", "prefill", "prefix", "continue_final_message"]

_OPENAI = ("api.openai.com", "openai.azure.com")


class Rules(Struct, frozen=True, kw_only=True):
    """The form in which one chat server takes requests. The defaults are what all servers but OpenAI's take.

    `max_tokens_field` is the name of the limit, `developer_role` the role of developer messages.
    `system_first`: all system and developer messages are one message at the beginning. `custom_tools` are
    sent as they are or as functions. `allowed_tools`: the server knows a choice among some of the tools;
    else only these are sent. `continue_reply` is how a request makes the server continue the assistant's
    last message: by nothing else (`prefill`), by the message's `prefix` (DeepSeek, Mistral), or by
    `continue_final_message` (vLLM, SGLang); "" where it cannot.
    """

    max_tokens_field: MaxTokens = "max_tokens"
    developer_role: Developer = "system"
    system_first: bool = True
    custom_tools: CustomTools = "function"
    allowed_tools: bool = False
    continue_reply: Continues = ""


OPENAI = Rules(
    max_tokens_field="max_completion_tokens",
    developer_role="developer",
    system_first=False,
    custom_tools="custom",
    allowed_tools=True,
)


def is_openai(base_url: str) -> bool:
    """Whether OpenAI itself answers there, also one of its regions, or Azure's OpenAI."""
    host = urlsplit(base_url).hostname or ""
    return any(host == name or host.endswith(f".{name}") for name in _OPENAI)


def of(base_url: str) -> Rules:
    """The rules for a server, by where it is."""
    return OPENAI if is_openai(base_url) else Rules()
