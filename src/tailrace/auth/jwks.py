"""The public keys of an identity provider: its JWKS, cached, and fetched again when it is old or lacks a key.

A client can send a token with any key id, so an unknown id causes a fetch at most every `cooldown` seconds.
While the provider cannot be reached, cached keys are valid until they are old; after that no token is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import jwt

logger = logging.getLogger("tailrace.auth")

Fetch = Callable[[], Awaitable[bytes]]
"""Fetches the provider's document. Raises `OSError`."""

LIFE_SECONDS = 600.0
"""The age at which keys are fetched again; a key that the provider has withdrawn is then invalid."""
FAILED_SECONDS = 2.0
"""The delay before a provider that did not respond is asked again."""


class Keys:
    """The keys by their ids."""

    def __init__(
        self, fetch: Fetch, cooldown: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._cooldown = cooldown
        self._clock = clock
        self._keys: Mapping[str, Any] = {}
        self._old = self._next = -1.0
        self._asking = asyncio.Lock()

    async def find(self, kid: object) -> Any:
        """The key of that id, or None."""
        if not isinstance(kid, str):
            return None
        if self._may_fetch(kid):
            async with self._asking:
                if self._may_fetch(kid):  # a caller that waited finds the result of the first one
                    await self._ask()
        return self._keys.get(kid) if self._clock() < self._old else None

    def _may_fetch(self, kid: str) -> bool:
        now = self._clock()
        return (now >= self._old or kid not in self._keys) and now >= self._next

    async def _ask(self) -> None:
        try:
            keys = _keys(await self._fetch())
        except (OSError, ValueError, RecursionError, jwt.PyJWTError) as error:
            logger.warning("[auth.jwt] jwks_url: %s", getattr(error, "strerror", None) or error)
            self._next = self._clock() + FAILED_SECONDS
            return
        self._keys, now = keys, self._clock()
        self._old, self._next = now + LIFE_SECONDS, now + self._cooldown


def _keys(document: bytes) -> dict[str, Any]:
    """The signing keys. Raises `ValueError`, `jwt.PyJWTError` for an invalid JWKS."""
    data: object = json.loads(document)
    if not isinstance(data, dict):
        raise ValueError("the document is not a JWKS")
    keys = jwt.PyJWKSet.from_dict(cast("dict[str, Any]", data)).keys
    return {
        key.key_id: key.key for key in keys if key.key_id and key.public_key_use in ("sig", None)
    }
