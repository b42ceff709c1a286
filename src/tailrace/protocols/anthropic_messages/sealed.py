"""What a server of another dialect must get back, on its way through a Messages client.

Clients of this dialect give thinking back as it came, with a signature that they do not read. So thoughts
that no Messages server signed are signed by us: the signature is what their own server needs of them
(encrypted reasoning, `reasoning_content`, thought signatures), and for Messages servers, which would refuse
it, it says that the thought is not theirs. What belongs to a call travels in an empty thought before it.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tailrace.events.items import Item, Json, Reasoning, ToolCall

MARK = "tailrace."
WITH_CALLS = "chat"
"""The dialect whose servers want something back with a call."""


class _Seal(Struct, omit_defaults=True):
    """`details` of a thought, `summary` if its words were one; or those of the call `call`."""

    details: dict[str, dict[str, Json]] = {}
    summary: bool = False
    call: str = ""


_decode = msgspec.json.Decoder(_Seal).decode


def of_thought(details: dict[str, Json], *, summary: bool) -> str:
    """The signature of a thought that no Messages server signed."""
    return _sealed(_Seal(details, summary))


def of_call(call: ToolCall) -> str:
    """The signature of the empty thought before a call, `""` where the call needs none."""
    kept = call.details.get(WITH_CALLS)
    return _sealed(_Seal({WITH_CALLS: kept}, call=call.call_id)) if kept else ""


def open_thought(signature: str, said: tuple[str, ...]) -> Reasoning | ToolCall | None:
    """A thought that we signed, as it was; of a call's thought a call without a name. None for others'."""
    seal = _open(signature)
    if seal is None:
        return None
    if seal.call:
        return ToolCall(call_id=seal.call, name="", details=seal.details)
    if seal.summary:
        return Reasoning(summary=said, details=seal.details)
    return Reasoning(text=said, details=seal.details)


def opened(items: Iterable[Item]) -> tuple[Item, ...]:
    """A conversation with each call's thought put back into the call."""
    kept: dict[str, dict[str, Json]] = {}
    found: list[Item] = []
    for item in items:
        if isinstance(item, ToolCall) and not item.name and not item.arguments:
            kept[item.call_id] = item.details
        elif isinstance(item, ToolCall) and item.call_id in kept:
            found.append(replace(item, details={**item.details, **kept[item.call_id]}))
        else:
            found.append(item)
    return tuple(found)


def _sealed(seal: _Seal) -> str:
    return MARK + urlsafe_b64encode(msgspec.json.encode(seal)).decode()


def _open(signature: str) -> _Seal | None:
    if not signature.startswith(MARK):
        return None
    try:
        return _decode(urlsafe_b64decode(signature.removeprefix(MARK)))
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, RecursionError):
        return None
