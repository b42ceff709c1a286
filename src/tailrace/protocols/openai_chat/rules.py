"""Settings of a model for differences between chat servers that cannot be detected from their replies."""

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
    """The form in which one chat server accepts requests. The defaults are accepted by all servers except
    OpenAI's.

    `max_tokens_field` is the name of the limit, `developer_role` the role of developer messages.
    `system_first`: all system and developer messages are joined to one at the beginning. `custom_tools` are
    sent unchanged or as functions. `allowed_tools`: the server accepts a choice among some of the tools;
    otherwise only these tools are sent. `continue_reply` is how a request makes the server continue the
    assistant's last message: without any further field (`prefill`), by the message's field `prefix`
    (DeepSeek, Mistral), or by `continue_final_message` (vLLM, SGLang); "" if the server cannot.
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
    """Whether the host is OpenAI's (a regional one too) or Azure's OpenAI."""
    host = urlsplit(base_url).hostname or ""
    return any(host == name or host.endswith(f".{name}") for name in _OPENAI)


def of(base_url: str) -> Rules:
    """The rules for a server, by its base URL."""
    return OPENAI if is_openai(base_url) else Rules()
