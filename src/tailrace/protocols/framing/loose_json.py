"""Invalid JSON of model servers, decoded and encoded again as valid JSON. Pure.

Python servers write `NaN` and `Infinity`; servers that count in UTF-16 cut a character in two, and each
event brings a lone half of it; some write control characters or bytes that are no UTF-8 inside strings.
Numbers that JSON has no form for become null. A half becomes a private character (`HALF`), which JSON can
hold until `whole` finds the other half.
"""

from __future__ import annotations

import json
import math
import re

from tailrace.events.items import Json

_LONE = re.compile("[\ud800-\udfff]")
_SHIFT = 0x100000
HALF = re.compile("[\U0010d800-\U0010dfff]")
"""Halves of characters: surrogates, mapped to a private-use range. A reply with halves and a character of
this range has one of them altered."""
UNKNOWN = "\ufffd"
"""The replacement of half a character without its other half."""


def decode(data: bytes) -> Json:
    """The value of nearly valid JSON. Raises `ValueError`, `RecursionError`."""
    return json.loads(
        data.decode("utf-8", "replace"),
        parse_constant=lambda _: None,
        parse_float=_finite,
        strict=False,
    )


def normal(data: bytes) -> bytes:
    """The value as valid JSON. Raises `ValueError`, `RecursionError`."""
    text = json.dumps(decode(data), ensure_ascii=False)
    return _LONE.sub(lambda lone: chr(_SHIFT + ord(lone[0])), text).encode()


def whole(text: str) -> tuple[str, str]:
    """A text with its halves joined, and the half at its end that may still find its other one."""
    plain = HALF.sub(lambda half: chr(ord(half[0]) - _SHIFT), text)
    plain_text = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    rest = plain_text[-1:] if "\ud800" <= plain_text[-1:] <= "\udbff" else ""
    mended_text = _LONE.sub(UNKNOWN, plain_text.removesuffix(rest) if rest else plain_text)
    return mended_text, chr(_SHIFT + ord(rest)) if rest else ""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
