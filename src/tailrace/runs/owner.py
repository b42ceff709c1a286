"""Tenant and user that own a resource. A resource of another owner is reported as non-existent."""

from __future__ import annotations

from msgspec import Struct


class Owner(Struct, frozen=True):
    """A tenant and one of its users; the user `""` sees all resources of the tenant."""

    tenant: str
    user: str = ""

    @property
    def key(self) -> str:
        """A name for this owner among the keys of records."""
        return f"{self.tenant}\x1f{self.user}"

    def owns(self, tenant: str, user: str) -> bool:
        """Whether this owner may see a resource of `user` of `tenant` (of all users when `""`)."""
        return self.tenant == tenant and (not self.user or not user or self.user == user)
