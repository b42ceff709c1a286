"""How many tokens a request has, by estimate: no tokenizer fits all models."""

from __future__ import annotations

import msgspec

from tailrace.events.request import RunRequest

BYTES = 4
"""Bytes of JSON a token is taken to have."""

_json = msgspec.json.Encoder().encode


def tokens(request: RunRequest) -> int:
    """A token for every four bytes of what the model would read."""
    items = (*request.history, *request.input)
    if not items and not request.instructions:
        return 0
    texts = len(_json(items)) + len(_json(request.settings.tools)) + len(request.instructions)
    return -(-texts // BYTES)
