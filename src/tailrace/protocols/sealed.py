"""Seals: data that a server of another dialect must get back, carried by a client that returns thoughts.

Messages clients return thinking unchanged, with a signature that they do not read; Responses clients return
reasoning items with their `encrypted_content`. So a thought that no server of the client's dialect made
gets a seal: it contains the data that the thought's own server needs (encrypted reasoning,
`reasoning_content`, thought signatures), and servers of the client's dialect, which would refuse it, never
get it. Data of a call travels in an empty thought beside the call.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import TypeGuard

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tailrace.events.items import Item, Json, Reasoning, ToolCall

MARK = "tailrace."
WITH_CALLS = "chat"
"""The dialect whose servers need data back with a call."""
GAP = Reasoning()
"""The placeholder for a thought that carried data of a call: it has no content for any server."""


class _Seal(Struct, omit_defaults=True):
    """The `details` of a thought, with `summary` if its text was a summary and `text` if the client may not
    keep the text; or the details of the call `call`."""

    details: dict[str, dict[str, Json]] = {}
    summary: bool = False
    call: str = ""
    text: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Seal).decode


def of_thought(details: dict[str, Json], *, summary: bool) -> str:
    """The seal of a thought whose text the client returns as one string."""
    return _encode(_Seal(details, summary))


def of_reasoning(item: Reasoning, *, whole: bool) -> str:
    """The seal of a thought of which the client returns the summary, and the text unless `whole`; `""` if
    its server needs nothing back."""
    if not item.details:
        return ""
    return _encode(_Seal(item.details, text=item.text if whole else ()))


def of_call(call: ToolCall) -> str:
    """The seal of the empty thought beside a call, `""` if the call needs none."""
    details = call.details.get(WITH_CALLS)
    return _encode(_Seal({WITH_CALLS: details}, call=call.call_id)) if details else ""


def open_thought(signature: Json, texts: tuple[str, ...]) -> Reasoning | ToolCall | None:
    """The thought that `of_thought` sealed; for a call's thought, a call without a name. None for any other
    signature."""
    seal = _open(signature)
    if seal is None or seal.call:
        return _call(seal)
    if seal.summary:
        return Reasoning(summary=texts, details=seal.details)
    return Reasoning(text=texts, details=seal.details)


def open_reasoning(secret: Json, reasoning: Reasoning) -> Reasoning | ToolCall | None:
    """The same for `of_reasoning`; `reasoning` has the text that the client returned."""
    seal = _open(secret)
    if seal is None or seal.call:
        return _call(seal)
    return replace(reasoning, text=seal.text or reasoning.text, details=seal.details)


def _call(seal: _Seal | None) -> ToolCall | None:
    return None if seal is None else ToolCall(call_id=seal.call, name="", details=seal.details)


def unseal(items: Iterable[Item]) -> tuple[Item, ...]:
    """A conversation with each call's sealed data in the call, and a `GAP` in the place of the thought that
    carried it."""
    all_items = tuple(items)
    details = {item.call_id: item.details for item in all_items if _carries(item)}
    return tuple(
        GAP
        if _carries(item)
        else replace(item, details={**item.details, **details[item.call_id]})
        if isinstance(item, ToolCall) and item.call_id in details
        else item
        for item in all_items
    )


def _carries(item: Item) -> TypeGuard[ToolCall]:
    return isinstance(item, ToolCall) and not item.name and not item.arguments


def _encode(seal: _Seal) -> str:
    return MARK + urlsafe_b64encode(msgspec.json.encode(seal)).decode()


def _open(secret: Json) -> _Seal | None:
    if not isinstance(secret, str) or not secret.startswith(MARK):
        return None
    try:
        return _decode(urlsafe_b64decode(secret.removeprefix(MARK)))
    except (msgspec.MsgspecError, binascii.Error, UnicodeError, ValueError, RecursionError):
        return None
