"""OAuth access tokens: what a provider signed counts, and nothing else does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tailrace.auth.jwt import JwtSettings, JwtVerifier
from tailrace.auth.principal import Principal
from tailrace.models.outbound import fetch

SECRET = "a secret that only tests know, and that is long enough for everybody: 64"
SETTINGS = JwtSettings(
    secret=SECRET, algorithms=("HS256",), issuer="https://id.test", audience="tailrace"
)
CLAIMS: dict[str, Any] = {
    "iss": "https://id.test",
    "aud": "tailrace",
    "sub": "ann",
    "tenant": "acme",
}


def _token(secret: Any = SECRET, algorithm: str = "HS256", kid: str = "", **claims: Any) -> str:
    whole = {**CLAIMS, "exp": time.time() + 600, **claims}
    whole = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(whole, secret, algorithm, headers={"kid": kid} if kid else None)


@pytest.mark.req("R50")
async def test_claims_say_who_it_is() -> None:
    found = await JwtVerifier(SETTINGS).principal(_token())
    assert found == Principal("acme", "ann", frozenset({"run", "read"}))


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        ("openid tailrace:read", {"read"}),
        (["tailrace:admin", "email"], {"admin"}),
        ("openid", {"run", "read"}),
        (7, {"run", "read"}),
    ],
)
async def test_scopes_are_ours_alone(claim: object, scopes: set[str]) -> None:
    found = await JwtVerifier(SETTINGS).principal(_token(scope=claim))
    assert found is not None
    assert found.scopes == scopes


BAD: dict[str, str] = {
    "no token": "oat_something",
    "three parts of rubbish": "a.b.c",
    "another secret": _token(
        "another secret that is long enough too, for everybody, surely, with 64 bytes"
    ),
    "too old": _token(exp=time.time() - 600),
    "without an end": _token(exp=None),
    "another issuer": _token(iss="https://evil.test"),
    "for somebody else": _token(aud="others"),
    "for nobody": _token(aud=None),
    "of no tenant": _token(tenant=None),
    "of an odd tenant": _token(tenant=["acme"]),
    "of a tenant that cannot be written": _token(tenant="\ud800"),
    "of a tenant and a user in one": _token(tenant="acme\x1fann"),
    "of a user with an end": _token(sub="ann\x00"),
    "unsigned": jwt.encode({**CLAIMS, "exp": time.time() + 600}, "", "none"),
    "another algorithm": _token(algorithm="HS512"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_right_in_every_way_is_nothing(name: str) -> None:
    assert await JwtVerifier(SETTINGS).principal(BAD[name]) is None


class Provider(BaseHTTPRequestHandler):
    keys: tuple[tuple[str, rsa.RSAPrivateKey], ...] = ()
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        shown = [
            {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in self.keys
        ]
        body = json.dumps({"keys": shown}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Generator[str]:
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_keys_come_from_the_provider_and_may_change(provider: str) -> None:
    first, second = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    Provider.keys, Provider.asked = (("one", first),), 0
    settings = JwtSettings(audience="tailrace", cooldown_seconds=0)
    verifier = JwtVerifier(settings, partial(fetch, provider, private=False))
    for _ in range(3):
        assert await verifier.principal(_token(first, "RS256", "one")) is not None
    assert Provider.asked == 1, "cached"
    Provider.keys = (("two", second),)
    assert await verifier.principal(_token(second, "RS256", "two")) is not None, "rotated"
    assert await verifier.principal(_token(first, "RS256", "three")) is None
    forged = _token("x" * 64, "HS256", "two")
    assert await verifier.principal(forged) is None, "the provider's algorithms alone count"


async def test_a_provider_that_is_down_lets_nobody_in() -> None:
    nobody = partial(fetch, "http://127.0.0.1:9/jwks", private=False)
    verifier = JwtVerifier(JwtSettings(), nobody)
    key = rsa.generate_private_key(65537, 2048)
    assert await verifier.principal(_token(key, "RS256", "one")) is None
