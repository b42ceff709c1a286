"""The authenticated principal of a request, and its scopes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tailrace.auth.limits import Account

Scope: TypeAlias = Literal["run", "read", "admin"]
"""`run`: start, answer, cancel and delete; `read`: read only; `admin`: everything, for all users of the
tenant."""

SCOPES: tuple[Scope, ...] = ("run", "read", "admin")


CREDENTIALS = ("authorization", "x-api-key", "x-oauth-access-token")
"""The headers in which clients send a key, in lower case."""

MOST_NAME = 256
"""Maximum length of the name of a tenant or a user, in characters."""
BLANK = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and signs without a visible form."""
TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reverse the text around them: a name with one is shown as another name."""
NO_NAME = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that no name may have: controls (one separates names in keys of records), halves
of characters, ends of lines."""


class Principal(Struct, frozen=True):
    """The tenant and user of a request, its scopes, and its token. `user` is `""` only if the token or the
    configuration says that it is for all users, never because a claim is missing. `limits` are the token's
    own; `accounts` have the limits that apply; `claims` are those of a JWT."""

    tenant: str
    user: str = ""
    scopes: frozenset[Scope] = frozenset(SCOPES)
    token: str = ""
    limits: Mapping[str, int | float] = {}
    accounts: tuple[Account, ...] = ()
    claims: Mapping[str, Any] = {}

    def may(self, scope: Scope) -> bool:
        """Whether this principal has a scope; `run` includes `read`."""
        return bool(self.scopes & {scope, "admin"}) or (scope == "read" and "run" in self.scopes)


LOCAL = Principal("local")
"""The principal of an open server on loopback."""


def fault_of(name: object) -> str:
    """The reason why a value cannot be the name of a tenant or a user, as the rest of a sentence that
    begins with "the user"; `""` if it can. Names are compared character by character, without
    normalisation."""
    if not isinstance(name, str):
        return "is not a string"
    if len(name) > MOST_NAME:
        return f"has more than {MOST_NAME} characters"
    kinds = {unicodedata.category(each) for each in name}
    if all(each in BLANK or unicodedata.category(each)[0] in "CZM" for each in name):
        return "is empty, or has only invisible characters"
    odd = kinds & NO_NAME or TURNS.intersection(name)
    return "has characters that names may not have" if odd else ""
