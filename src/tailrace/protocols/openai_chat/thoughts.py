"""Reasoning that servers of other dialects must get back, as a Chat client carries it: entries of
`reasoning_details`.

The form is OpenRouter's, which many clients send back unchanged: `reasoning.text` with the `signature` of a
Messages server, `reasoning.encrypted` with the `data` that only the server can read, and `reasoning.summary`.
The `format` names the provider of an entry; further fields of the reasoning item are added to the entry.
Entries that OpenRouter itself passed on from such a server have the same form, and are read in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.events.items import Json, Reasoning
from tailrace.protocols.fields import Object, any_object, objects

TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"
OF_MESSAGES, OF_RESPONSES = "anthropic-claude-v1", "openai-responses-v1"
"""OpenRouter's names for the formats of reasoning."""
FORM = ("type", "text", "summary", "format", "index")
"""Fields of the form that carry no data of the server."""


def entries_of(reasoning: Reasoning) -> list[Object]:
    """The entries of a reasoning item; empty if its server neither signed nor encrypted it."""
    own = any_object(reasoning.details.get("messages"))
    if own.get("data"):
        return [{**own, "type": ENCRYPTED, "format": OF_MESSAGES}]
    if own.get("signature"):
        text = "".join(reasoning.text)
        return [{**own, "type": TEXT, "text": text, "format": OF_MESSAGES}]
    own = any_object(reasoning.details.get("responses"))
    secret = own.get("encrypted_content")
    if not secret:
        return []
    about: Object = {"format": OF_RESPONSES, **({"id": own["id"]} if own.get("id") else {})}
    rest = {k: v for k, v in own.items() if k != "encrypted_content" and not k.startswith("$")}
    return [
        *({"type": SUMMARY, "summary": part, **about} for part in reasoning.summary),
        *({"type": TEXT, "text": part, **about} for part in reasoning.text),
        {**rest, "type": ENCRYPTED, "data": secret, **about},
    ]


def read(details: Json) -> tuple[Reasoning, ...]:
    """Decode the reasoning that a client sent back. Entries of other formats are skipped: only chat servers
    use them. Entries without a signature or encrypted data are skipped too: no server requires them back."""
    return tuple(_read(objects(details)))


def _read(entries: list[Object]) -> Iterator[Reasoning]:
    summary, text = list[str](), list[str]()
    for entry in entries:
        own = {k: v for k, v in entry.items() if k not in FORM and v is not None}
        match entry:
            case {
                "format": "anthropic-claude-v1",
                "type": "reasoning.encrypted",
                "data": str(data),
            }:
                if data:
                    yield Reasoning(details={"messages": own})
            case {
                "format": "anthropic-claude-v1",
                "type": "reasoning.text",
                "signature": str(signature),
            }:
                words = entry.get("text")
                if signature and (words is None or isinstance(words, str)):
                    yield Reasoning(text=(words,) if words else (), details={"messages": own})
            case {
                "format": "openai-responses-v1",
                "type": "reasoning.summary",
                "summary": str(words),
            }:
                summary.append(words)
            case {"format": "openai-responses-v1", "type": "reasoning.text", "text": str(words)}:
                text.append(words)
            case {
                "format": "openai-responses-v1",
                "type": "reasoning.encrypted",
                "data": str(data),
            }:
                own["encrypted_content"] = own.pop("data")
                if data:
                    yield Reasoning(
                        summary=tuple(summary), text=tuple(text), details={"responses": own}
                    )
                summary, text = [], []
            case _:
                pass
