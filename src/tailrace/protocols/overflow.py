"""A prompt that is too long for its model: how servers say so, and how Anthropic's says it. Pure.

Clients shorten the conversation when they recognise this, and otherwise send it again for ever: OpenAI's by
the code `context_length_exceeded`, Claude Code by Anthropic's two sentences, of which it reads the numbers
too (the second makes it ask again with fewer `max_tokens`; musistudio/claude-code-router#1799).
"""

from __future__ import annotations

import re

CODE = "context_length_exceeded"

_SAYS_SO = re.compile(
    r"prompt is too long|maximum context length|context[ _]length[ _]exceeded"
    r"|exceeds? (?:(?:the|this|its|model's|available|maximum) )*context (?:window|size|length|limit)"
    r"|input is too long for (?:the )?requested model|input token count.{0,40}exceeds"
    r"|maximum prompt length is|larger than the context|longer than the (?:model's )?context"
    r"|exceeds the (?:model's )?max(?:imum)? (?:model|sequence|input) length"
    r"|reduce the length of the messages",
    re.IGNORECASE,
)
_NUMBER = r"(\d{1,12})"
_LIMIT = (
    rf"maximum (?:context|prompt) length\D{{0,40}}{_NUMBER}",
    rf"context (?:window|size|limit|length)\D{{0,40}}{_NUMBER}",
    rf"tokens allowed\D{{0,10}}{_NUMBER}",
)
_GIVEN = (
    rf"{_NUMBER}\s*(?:tokens\s*)?(?:in|from|of) (?:the |your )?(?:input|messages|prompt|text input)",
    rf"{_NUMBER} (?:input|prompt) tokens",
    rf"input token count\D{{0,10}}{_NUMBER}",
    rf"(?:resulted in|contains|requested|request has|request)\D{{0,20}}{_NUMBER}",
)
_WANTED = (
    rf"{_NUMBER}\s*(?:tokens\s*)?(?:in|for) (?:the )?(?:completion|output)",
    rf"{_NUMBER} output tokens",
)


def says_too_long(message: str) -> bool:
    """Whether an error's text says that the prompt is too long."""
    return _SAYS_SO.search(message) is not None


def in_anthropics_words(message: str) -> str:
    """The same as a Messages server would say it, with the numbers where the text has them."""
    if "prompt is too long" in message or "exceed context limit" in message:
        return message
    limit, given, wanted = (_found(message, forms) for forms in (_LIMIT, _GIVEN, _WANTED))
    if limit and given > limit:
        return f"prompt is too long: {given} tokens > {limit} maximum"
    if limit and given and wanted and given + wanted > limit:
        return (
            "prompt is too long: input length and `max_tokens` exceed context limit: "
            f"{given} + {wanted} > {limit}, decrease input length or `max_tokens` and try again"
        )
    return f"prompt is too long: {message}"


def _found(message: str, forms: tuple[str, ...]) -> int:
    """The first number in one of these forms, 0 for none."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", message)
    matches = (re.search(form, plain, re.IGNORECASE) for form in forms)
    return next((int(match[1]) for match in matches if match), 0)
