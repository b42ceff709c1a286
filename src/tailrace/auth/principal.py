"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from tailrace.auth.limits import Account

Scope: TypeAlias = Literal["run", "read", "admin"]
"""`run` starts, answers, cancels and deletes; `read` looks at what is there; `admin` does everything."""

SCOPES: tuple[Scope, ...] = ("run", "read", "admin")


class Principal(Struct, frozen=True):
    """The tenant whose runs a request may see, the user it names (`""` where it names none), what it may
    do, and which token says so. `limits` are the token's own; `accounts` is whose limits hold."""

    tenant: str
    user: str = ""
    scopes: frozenset[Scope] = frozenset(SCOPES)
    token: str = ""
    limits: Mapping[str, int | float] = {}
    accounts: tuple[Account, ...] = ()

    def may(self, scope: Scope) -> bool:
        """Whether this principal may do what `scope` stands for; who may start runs may look at them."""
        return bool(self.scopes & {scope, "admin"}) or (scope == "read" and "run" in self.scopes)


LOCAL = Principal("local")
"""The principal of an open server on loopback."""
