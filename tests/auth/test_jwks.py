"""The keys of an identity provider: when they are fetched, and which are valid while it is unreachable."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tailrace.auth.jwks import FAILED_SECONDS, LIFE_SECONDS, Keys

PUBLIC = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)


class Provider:
    """Serves some keys, counts the requests, and has a clock that a test sets."""

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.says: bytes | None = None
        self.asked = 0
        self.now = 1_000.0
        self.keys = Keys(self._fetch, 30.0, lambda: self.now)

    async def _fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.says is not None:
            if not self.says:
                raise OSError("nobody is there")
            return self.says
        shown = [{**PUBLIC, "kid": kid, "use": "sig"} for kid in self.kids]
        return json.dumps({"keys": [*shown, {**PUBLIC, "kid": "enc", "use": "enc"}]}).encode()


async def test_the_key_set_is_fetched_once_for_many_and_again_when_it_expires() -> None:
    provider = Provider("one")
    found = await asyncio.gather(*(provider.keys.find("one") for _ in range(9)))
    assert all(found)
    assert provider.asked == 1
    provider.kids = ("two",)
    provider.now += LIFE_SECONDS - 1
    assert await provider.keys.find("one") is not None
    provider.now += 1
    assert await provider.keys.find("one") is None, "withdrawn"
    assert await provider.keys.find("two") is not None
    assert provider.asked == 2


async def test_unknown_keys_do_not_cause_repeated_fetches() -> None:
    provider = Provider("one")
    for number in range(50):
        assert await provider.keys.find(f"unknown{number}") is None
    assert provider.asked == 1
    provider.kids = ("one", "two")
    provider.now += 29
    assert await provider.keys.find("two") is None
    provider.now += 1
    assert await provider.keys.find("two") is not None, "rotated"
    for odd in (None, "enc", 7, ["one"]):
        assert await provider.keys.find(odd) is None


@pytest.mark.parametrize(
    "says", [b"", b"{", b"[]", b'{"keys": []}', b'{"keys": 7}', b"\xff", b"[" * 100_000]
)
async def test_an_unusable_key_set_is_fetched_and_logged_once(
    says: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Provider("one")
    provider.says = says
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert await provider.keys.find("one") is None
    assert provider.asked == len(caplog.records) == 1
    assert "jwks_url" in caplog.text
    provider.says = None
    provider.now += FAILED_SECONDS
    assert await provider.keys.find("one") is not None
    provider.says = says
    assert await provider.keys.find("one") is not None
    provider.now += LIFE_SECONDS
    assert await provider.keys.find("one") is None, "too old to be believed"
