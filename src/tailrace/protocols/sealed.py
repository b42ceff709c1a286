"""What a server of another dialect must get back, on its way through a client that gives thoughts back.

Messages clients give thinking back as it came, with a signature that they do not read; Responses clients
give reasoning items back with their `encrypted_content`. So thoughts that no server of the client's dialect
made are sealed by us: the seal is what their own server needs of them (encrypted reasoning,
`reasoning_content`, thought signatures), and for servers of the client's dialect, which would refuse it, it
says that the thought is not theirs. What belongs to a call travels in an empty thought beside it.
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
"""The dialect whose servers want something back with a call."""
GAP = Reasoning()
"""What is left of the thought that carried what belongs to a call: it says nothing, to no server."""


class _Seal(Struct, omit_defaults=True):
    """`details` of a thought, `summary` if its words were one, `text` where the client may keep none; or
    those of the call `call`."""

    details: dict[str, dict[str, Json]] = {}
    summary: bool = False
    call: str = ""
    text: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(_Seal).decode


def of_thought(details: dict[str, Json], *, summary: bool) -> str:
    """The seal of a thought whose words the client gives back as one text."""
    return _encode(_Seal(details, summary))


def of_reasoning(item: Reasoning, *, whole: bool) -> str:
    """The seal of a thought whose summary the client gives back, and its text unless `whole`; `""` where its
    server needs nothing."""
    if not item.details:
        return ""
    return _encode(_Seal(item.details, text=item.text if whole else ()))


def of_call(call: ToolCall) -> str:
    """The seal of the empty thought beside a call, `""` where the call needs none."""
    details = call.details.get(WITH_CALLS)
    return _encode(_Seal({WITH_CALLS: details}, call=call.call_id)) if details else ""


def open_thought(signature: Json, texts: tuple[str, ...]) -> Reasoning | ToolCall | None:
    """A thought by what `of_thought` made; of a call's thought a call without a name. None for others'."""
    seal = _open(signature)
    if seal is None or seal.call:
        return _call(seal)
    if seal.summary:
        return Reasoning(summary=texts, details=seal.details)
    return Reasoning(text=texts, details=seal.details)


def open_reasoning(secret: Json, reasoning: Reasoning) -> Reasoning | ToolCall | None:
    """The same by what `of_reasoning` made; `shown` is what the client gave back."""
    seal = _open(secret)
    if seal is None or seal.call:
        return _call(seal)
    return replace(reasoning, text=seal.text or reasoning.text, details=seal.details)


def _call(seal: _Seal | None) -> ToolCall | None:
    return None if seal is None else ToolCall(call_id=seal.call, name="", details=seal.details)


def unseal(items: Iterable[Item]) -> tuple[Item, ...]:
    """A conversation with what each call's thought carried put back into the call; a `GAP` in its place."""
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
