"""Refusals that only the operator of this server can resolve, each with a message of ours. Pure.

A model server that refuses the key, demands payment, does not serve our region or denies the account a
permission sends a text that repeats keys and names accounts and projects; that text is for the operator's
log (docs/adr/0016). The kind of refusal follows from the text, because the status is not enough: Gemini
answers a wrong region and Anthropic an unpaid bill with 400, xAI an unpaid one with 403.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from tailrace.protocols.error_words import PERMISSION, REGION, bare

CREDENTIALS = frozenset({401, 403, 407})
BILL = 402
OPERATORS = CREDENTIALS | {BILL}
"""Statuses that are the fault of this server's operator, never of its client."""

_MENDS = "whose operator has to mend that."


class OperatorError(Struct, frozen=True):
    """An error of the operator: our code and our message for it."""

    code: str
    message: str


KEY = OperatorError(
    "upstream_auth_failed", f"The model server refused the credentials of this server, {_MENDS}"
)
UNPAID = OperatorError(
    "upstream_billing_failed",
    "The model server wants to be paid by the operator of this server, who has to mend that.",
)
ABROAD = OperatorError(
    "upstream_region_refused",
    f"The model server does not serve the country or region of this server, {_MENDS}",
)
NOT_PERMITTED = OperatorError(
    "upstream_permission_denied",
    f"The model server does not permit what was asked to the account of this server, {_MENDS}",
)
ELSEWHERE = OperatorError(
    "server_error",
    "The model server answered {} and no reply: its configured address is not the right one.",
)
CONFIG_FAULTS = "upstream_misconfigured"
"""Our code for an address that cannot be right: its certificate is refused, or it is inside our network."""
NO_REPLY = "upstream_invalid_response"
"""Our code for a response that is not a reply of a model: empty, a page, a text."""
CODES = frozenset(fault.code for fault in (KEY, UNPAID, ABROAD, NOT_PERMITTED)) | {
    CONFIG_FAULTS,
    NO_REPLY,
}
"""Codes of ours after which a retry does not help."""

_BAD_KEY = re.compile(
    r"api[ _-]?key\W.{0,30}?(?:invalid|not valid|incorrect|expired)|(?:invalid|incorrect) api[ _-]?key",
    re.IGNORECASE,
)
_UNPAID = re.compile(
    r"credit balance is too low|(?:insufficient|not enough|out of|no) (?:credits?|balance|funds)"
    r"|(?:requires|add|purchase|used all available) (?:more )?credits|monthly spending limit"
    r"|account (?:is )?in arrears",
    re.IGNORECASE,
)
_ABROAD = re.compile(
    r"(?:country|region|territory|location).{0,40}(?:not|n't|un)[ -]?(?:supported|available)"
    r"|(?:unsupported|not (?:available|supported)) (?:in|from)? ?(?:your |this )?"
    r"(?:country|countries|region|location)",
    re.IGNORECASE,
)
_NO_SUCH_MODEL = re.compile(
    r"(?:does not|do not|doesn't|don't) have access to (?:the )?model|model.{0,80}does not exist",
    re.IGNORECASE,
)
_PERMISSION = re.compile(
    r"permission|missing scopes?|not (?:allowed|authori[sz]ed|permitted|entitled)|access (?:is )?denied"
    r"|does(?: not|n't) have access",
    re.IGNORECASE,
)

Meaning = Literal[0, 401, 402, 403, 404]


def meaning(status: int, message: str, words: frozenset[str]) -> Meaning:
    """The status that a refusal's text implies where its own is less specific; 0 where it implies none.
    `words` are its codes and types, without punctuation."""
    if status in (0, 400) and _BAD_KEY.search(message):
        return 401
    if status in (0, 400, 403) and _UNPAID.search(message):
        return 402
    if status in (0, 400, 403, 451) and (words & REGION or _ABROAD.search(message)):
        return 403
    return 404 if status == 403 and _NO_SUCH_MODEL.search(message) else 0


def fault(status: int, message: str, *words: str) -> OperatorError:
    """The operator's error for a refusal with such a status, or for a redirect."""
    if status == BILL:
        return UNPAID
    if status not in CREDENTIALS:
        return ELSEWHERE
    names = frozenset(map(bare, words))
    if names & REGION or _ABROAD.search(message):
        return ABROAD
    if status == 403 and (names & PERMISSION or _PERMISSION.search(message)):
        return NOT_PERMITTED
    return KEY
