"""A person's decision about a tool call in the JSON of a surface: approval, edit, rejection, response.

All surfaces have the same four decisions and refuse every other key, so that none is ignored: a person who
edited an amount must not find that the original amount was paid.

| decision | fields |
|---|---|
| approve | `approved: true` |
| edit | `approved: true`, `arguments` (an object; JSON text; the input of a custom tool) |
| reject | `approved: false`, `reason` |
| respond | `response`: a text that becomes the result of the call |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.answers import Approval
from tailrace.events.items import Json
from tailrace.protocols.fields import Object, object_in, only, optional


class CallDecision(Struct, frozen=True):
    """The fields of `Approval` that a person decides."""

    approved: bool
    reason: str = ""
    arguments: str | None = None
    response: str | None = None

    def approval(self, item: int, occurrence: int) -> Approval:
        """The decision about call `item` at its `occurrence`th request."""
        return Approval(item, self.approved, self.reason, occurrence, self.arguments, self.response)


class DecisionKeys(Struct, frozen=True):
    """The names of the fields on a surface."""

    approval: str = "approved"
    arguments: str = "arguments"


KEYS = DecisionKeys()


def decode_decision(
    fields: Object,
    where: str,
    keys: DecisionKeys = KEYS,
    others: Sequence[str] = (),
) -> CallDecision:
    """The decision in an object at `where`, which may have the keys `others` too. Raises `BadRequest`."""
    only(fields, (keys.approval, "reason", keys.arguments, "response", *others), where)
    response = optional(fields, "response", str, default=None, where=where)
    arguments = _arguments(fields.get(keys.arguments), f"{where}.{keys.arguments}")
    approved = optional(fields, keys.approval, bool, default=None, where=where)
    if approved is None and response is None:
        place = f"{where}.{keys.approval}" if where else keys.approval
        raise BadRequest(f"{place} must be a boolean.", param=place)
    reason = optional(fields, "reason", str, default="", where=where)
    if arguments is not None and (not approved or response is not None):
        raise BadRequest(
            f"{where}.{keys.arguments} needs {keys.approval}: true, and no response.",
            param=f"{where}.{keys.arguments}",
        )
    if response is not None and (approved or reason):
        raise BadRequest(
            f"{where}.response replaces the call: it cannot be approved or have a reason.",
            param=f"{where}.response",
        )
    return CallDecision(bool(approved), reason, arguments, response)


def decision_of_text(text: str, where: str) -> CallDecision:
    """The decision that a person or a client wrote as text: the object of a decision as JSON, or a word of
    `WORDS`; a rejection may continue with its reason. Raises `BadRequest` for any other text: a tool must not
    run because a sentence was misread."""
    if (fields := object_in(text)) is not None and text.strip():
        return decode_decision(fields, where)
    word, reason = _WORD.findall(text.strip())[0]
    approved = WORDS.get(word.casefold())
    if approved is False:
        return CallDecision(approved, reason)
    if approved and not reason.strip(".!"):
        return CallDecision(approved)
    raise BadRequest(
        f"{where} must decide about the call: approve, or reject, optionally with a reason"
        ' ("reject: too expensive"), or a JSON object with approved, reason, arguments or response.',
        param=where,
    )


WORDS = {
    **dict.fromkeys(("approve", "approved", "yes", "y", "ok", "okay"), True),
    **dict.fromkeys(("reject", "rejected", "no", "n", "deny", "denied"), False),
}
"""Words that decide about a call, in any case."""
_WORD = re.compile(r"(\w*)[\s.,:;!-]*(.*)", re.DOTALL)


def _arguments(value: Json, where: str) -> str | None:
    """Edited arguments as JSON text; a string is kept, as the text or as the input of a custom tool."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return msgspec.json.encode(cast("Object", value)).decode()
    raise BadRequest(f"{where} must be an object or a string.", param=where)
