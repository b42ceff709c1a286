"""An estimate of the tokens of a request: no tokenizer fits all models."""

from __future__ import annotations

import msgspec

from tailrace.events.request import RunRequest

BYTES = 4
"""Bytes of JSON per token."""

_json = msgspec.json.Encoder().encode


def tokens(request: RunRequest) -> int:
    """One token for every four bytes of the text for the model."""
    items = (*request.history, *request.input)
    if not items and not request.instructions:
        return 0
    texts = len(_json(items)) + len(_json(request.settings.tools)) + len(request.instructions)
    return -(-texts // BYTES)
