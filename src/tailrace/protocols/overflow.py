"""A prompt that is too long for its model: how servers report it, and Anthropic's sentence for it. Pure.

Clients shorten the conversation when they recognise this error, and otherwise send it again without end:
OpenAI's by the code `context_length_exceeded`, Claude Code by Anthropic's two sentences, including their
numbers (after the second it retries with a smaller `max_tokens`; musistudio/claude-code-router#1799).

The sentences are those of Anthropic, Bedrock, OpenAI, Azure, Gemini, Mistral, xAI, Groq, Cohere, DashScope,
Fireworks, Kimi, MiniMax, Copilot, vLLM, SGLang, TGI, llama.cpp, LM Studio, Ollama and LiteLLM, as users
reported them (most are in badlogic/pi-mono, `overflow.ts`). With 429 such a sentence is about a rate, and
no reason to shorten.
"""

from __future__ import annotations

import re

from tailrace.protocols.fields import Object

CODE = "context_length_exceeded"

WORDS = frozenset(
    {"contextlengthexceeded", "contextwindowexceeded", "exceedcontextsizeerror", "inputtoolong"}
    | {"modelcontextwindowexceeded", "contextwindowexceedederror", "modelmaxprompttokensexceeded"}
)
"""Codes and types that are sufficient by themselves."""

_SAYS_SO = re.compile(
    r"(?:prompt|input prompt \([^)]{0,40}\)) (?:is )?too long|maximum context length"
    r"|context[ _](?:length|window|size)[ _]exceeded|ContextWindowExceeded"
    r"|exceed(?:s|ed|ing)? (?:(?:the|this|its|your|model's|available|configured|max|maximum) )*"
    r"context (?:window|size|length|limit)"
    r"|input is too long for (?:the )?requested model|context window exceeds"
    r"|cannot truncate prompt with n_keep"
    r"|(?:input|prompt) token count.{0,40}exceeds|request exceeded model token limit"
    r"|input tokens exceed|(?:prompt|tokens|input) exceeds (?:the )?max(?:imum)? length"
    r"|too many (?:input )?tokens\W{1,3}(?:total|max|request|the prompt)"
    r"|maximum prompt length is|context length is only|configured context size is"
    r"|(?:larger|greater|longer) than the (?:model's )?context"
    r"|exceeds the (?:model's )?max(?:imum)? (?:model|sequence|input) length"
    r"|range of input length should be|`inputs` (?:tokens \+|must have less than)"
    r"|reduce the length of (?:the|your) (?:input |prompt|messages)",
    re.IGNORECASE,
)
_IN_ANTHROPICS = re.compile(
    r"prompt is too long: \d+ tokens > \d+ maximum|exceed context limit: \d+ \+"
)
_NUMBER = r"(\d{1,12})"
_LIMIT = (
    rf"n_ctx\W{{0,4}}{_NUMBER}",
    rf"{_NUMBER} maximum context length",
    rf"maximum (?:context|prompt) length\D{{0,40}}{_NUMBER}",
    rf"context (?:window|size|limit|length)\D{{0,40}}{_NUMBER}",
    rf"tokens allowed\D{{0,10}}{_NUMBER}",
    rf"(?:configured limit of|exceeds (?:the )?limit of|token limit:|max input tokens:) {_NUMBER}",
    rf"cannot exceed {_NUMBER}",
    rf"length should be \[\d+, {_NUMBER}\]",
    rf"(?:must be <=|less than) {_NUMBER}",
)
_SENT_FORMS = (
    rf"{_NUMBER}\s*(?:tokens\s*)?(?:in|from|of) (?:the |your )?(?:input|messages|prompt|text input)",
    rf"{_NUMBER} (?:input|prompt) tokens",
    rf"{_NUMBER} `inputs` tokens",
    rf"(?:input|prompt) token count\D{{0,10}}{_NUMBER}",
    rf"(?:n_prompt_tokens|n_keep|requested|received)\W{{0,4}}{_NUMBER}",
    rf"(?:prompt|input) (?:contains |has |prompt )?\(?{_NUMBER} tokens",
    rf"too long: {_NUMBER}",
    rf"(?:resulted in|contains|requested|request has|request|given:)\D{{0,20}}{_NUMBER}",
)
_OUTPUT_FORMS = (
    rf"{_NUMBER}\s*(?:tokens\s*)?(?:in|for) (?:the )?(?:completion|output)",
    rf"{_NUMBER} output tokens",
    rf"{_NUMBER} `max_new_tokens`",
    rf"is too large: {_NUMBER}",
)


def says_too_long(message: str) -> bool:
    """Whether an error's text says that the prompt is too long."""
    return _SAYS_SO.search(message) is not None


def with_counts(message: str, fields: Object) -> str:
    """llama.cpp's fields beside its message (`n_prompt_tokens`, `n_ctx`), if the message lacks the
    numbers."""
    count, limit = fields.get("n_prompt_tokens"), fields.get("n_ctx")
    if type(count) is not int or type(limit) is not int or _numbers(message)[0]:
        return message
    return f"{message} (n_prompt_tokens: {count}, n_ctx: {limit})"


def in_anthropics_words(message: str) -> str:
    """The error in a Messages server's words, with the numbers if the text has them."""
    if _IN_ANTHROPICS.search(message):
        return message
    limit, count, output = _numbers(message)
    if limit and count > limit:
        return f"prompt is too long: {count} tokens > {limit} maximum"
    if limit and count and output and count + output > limit:
        return (
            "prompt is too long: input length and `max_tokens` exceed context limit: "
            f"{count} + {output} > {limit}, decrease input length or `max_tokens` and try again"
        )
    return message if "prompt is too long" in message else f"prompt is too long: {message}"


def _numbers(message: str) -> tuple[int, int, int]:
    """The limit, the tokens of the prompt and those requested for the answer; 0 for each that is absent."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", message)
    return _number(plain, _LIMIT), _number(plain, _SENT_FORMS), _number(plain, _OUTPUT_FORMS)


def _number(plain: str, forms: tuple[str, ...]) -> int:
    """The first number in one of these forms, 0 if there is none."""
    matches = (re.search(form, plain, re.IGNORECASE) for form in forms)
    return next((int(match[1]) for match in matches if match), 0)
