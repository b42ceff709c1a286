"""Who asks. On loopback without tokens there is one principal, and everything belongs to it."""

from __future__ import annotations

from msgspec import Struct


class Principal(Struct, frozen=True):
    """The tenant whose runs a request may see, and the user it names, `""` where it names none."""

    tenant: str
    user: str = ""


LOCAL = Principal("local")
"""The principal of an open server on loopback."""
