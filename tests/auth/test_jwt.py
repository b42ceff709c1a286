"""OAuth access tokens: a token that the provider signed is accepted, and no other."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Generator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tailrace.auth.jwt import JwtSettings, JwtVerifier, WithoutUser
from tailrace.auth.principal import MOST_NAME, Principal
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
async def test_claims_identify_the_user() -> None:
    found = await JwtVerifier(SETTINGS).principal(_token())
    assert found is not None
    assert found == Principal("acme", "ann", frozenset({"run", "read"}), claims=found.claims)
    assert {name: found.claims.get(name) for name in CLAIMS} == CLAIMS


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        ("openid tailrace:read", {"read"}),
        (["tailrace:admin", "email"], {"admin"}),
        ("openid", {"run", "read"}),
        ("", {"run", "read"}),
        ([], {"run", "read"}),
        ("tailrace:reed", set()),
        ("tailrace:", set()),
        (["tailrace:read", "tailrace:everything"], {"read"}),
        ("xtailrace:admin", {"run", "read"}),
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
async def test_a_token_with_any_fault_is_refused(name: str) -> None:
    assert await JwtVerifier(SETTINGS).principal(BAD[name]) is None


ABSENT = object()
NO_NAMES: dict[str, object] = {
    "null": None,
    "an empty text": "",
    "a space": " ",
    "white space": "\t\n\u00a0\u3000",
    "what nobody sees": "\u200b\u2060",
    "letters that show nothing": "\u3164\u115f",
    "a mark without a letter": "\u0301",
    "what turns the text around": "a\u202eb",
    "a control": "ann\x00",
    "a control between names": "acme\x1fann",
    "a new line": "ann\n",
    "another control": "ann\x85",
    "an end of a line": "ann\u2028bob",
    "half a character": "ann\ud800",
    "a long text": "x" * (MOST_NAME + 1),
    "zero": 0,
    "a number": 7,
    "a fraction": 1.5,
    "true": True,
    "false": False,
    "a list": ["ann"],
    "an empty list": [],
    "an object": {"ann": "ann"},
    "an empty object": {},
}
NAMES = ["ann", " ann", "ANN", "\u00e4", "a\u0308", "\u0430nn", "🎩", "x" * MOST_NAME, "null", "0"]
CLAIM_VALUES: dict[str, object] = {"absent": ABSENT, "a name": "ann", **NO_NAMES}
CONFIGURED = [
    # tenant, user_claim, without_user
    (tenant, claim, without)
    for tenant in ("", "all")
    for claim in ("sub", "email")
    for without in ("refuse", "whole_tenant")
]


@pytest.mark.parametrize(("tenant", "claim", "without"), CONFIGURED)
async def test_an_invalid_tenant_or_user_claim_is_refused(
    tenant: str, claim: str, without: WithoutUser
) -> None:
    """For all values of both claims: which names each configuration accepts, and whether it requires a
    user."""
    settings = JwtSettings(
        secret=SECRET, algorithms=("HS256",), tenant=tenant, user_claim=claim, without_user=without
    )
    verifier = JwtVerifier(settings)
    for (tenant_kind, given), (user_kind, user) in product(CLAIM_VALUES.items(), repeat=2):
        claims = {"exp": time.time() + 600, "tenant": given, claim: user}
        claims = {name: value for name, value in claims.items() if value is not ABSENT}
        found = await verifier.principal(jwt.encode(claims, SECRET, "HS256"))
        named = {"a name": "ann", "absent": "" if without == "whole_tenant" else None}
        whose = tenant or ("ann" if tenant_kind == "a name" else None)
        expected = (whose, named.get(user_kind))
        seen = (None, None) if found is None else (found.tenant, found.user)
        assert seen == (expected if None not in expected else (None, None)), (
            tenant_kind,
            user_kind,
        )


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_taken_as_they_are_written(name: str) -> None:
    """Two names that look alike are two users: if names were normalised, one user could pass for another."""
    found = await JwtVerifier(SETTINGS).principal(_token(sub=name, tenant=name))
    assert found is not None
    assert (found.tenant, found.user) == (name, name)


@pytest.mark.parametrize(
    "claim", [7, True, None, {"tailrace:admin": True}, ["tailrace:read", 7], [["tailrace:admin"]]]
)
async def test_scopes_of_an_odd_kind_are_nobodys(claim: object) -> None:
    token = jwt.encode({**CLAIMS, "exp": time.time() + 600, "scope": claim}, SECRET, "HS256")
    assert await JwtVerifier(SETTINGS).principal(token) is None


async def test_the_operators_log_names_only_the_missing_claim(
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = _token(sub=None, email="ann@private.test")
    assert await JwtVerifier(SETTINGS).principal(token) is None
    assert "its claim 'sub' is missing" in caplog.text
    assert "private" not in caplog.text
    assert token not in caplog.text
    caplog.clear()
    assert await JwtVerifier(SETTINGS).principal(BAD["another secret"]) is None
    assert not caplog.text, "strangers have nothing to say"


def _part(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


HEADERS = [
    b"[" * 40_000,
    b'{"alg":' * 9_000,
    b'{"alg":"HS256","kid":' + b"[" * 20_000,
    b'{"alg":["HS256"]}',
    b'{"alg":{}}',
    b'{"alg":"HS256","crit":["b64"],"b64":false}',
    b'{"alg":"HS256","typ":1e999}',
    b"7",
    b'"x"',
    b"\xff\xfe",
    b'{"alg":"HS256","kid":"\\ud800"}',
    b'{"alg":"none"}',
    b'{"alg":1' + b"0" * 5_000 + b"}",
]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("number", range(len(HEADERS)))
async def test_odd_json_of_a_stranger_is_no_token_and_no_fault_of_ours(
    number: int, signed: bool
) -> None:
    head, payload = _part(HEADERS[number]), _part(HEADERS[number] if signed else b"{}")
    if signed:
        head = _part(b'{"alg":"HS256"}')
    mac = hmac.new(SECRET.encode(), f"{head}.{payload}".encode(), "sha256").digest()
    nobody = JwtVerifier(JwtSettings(), partial(fetch, "http://127.0.0.1:9/", private=False))
    for verifier in (JwtVerifier(SETTINGS), nobody):
        assert await verifier.principal(f"{head}.{payload}.{_part(mac)}") is None


@pytest.mark.parametrize(
    "end", [float("inf"), float("nan"), 1e308, -1e308, "x", [], {}, True, None]
)
async def test_an_odd_end_is_none(end: object) -> None:
    token = jwt.encode({**CLAIMS, "exp": 0}, SECRET, "HS256")
    head, _, _ = token.split(".")
    payload = _part(json.dumps({**CLAIMS, "exp": end}).encode())
    mac = hmac.new(SECRET.encode(), f"{head}.{payload}".encode(), "sha256").digest()
    found = await JwtVerifier(SETTINGS).principal(f"{head}.{payload}.{_part(mac)}")
    assert found is None or end == 1e308


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


async def test_an_unreachable_identity_provider_admits_no_token() -> None:
    nobody = partial(fetch, "http://127.0.0.1:9/jwks", private=False)
    verifier = JwtVerifier(JwtSettings(), nobody)
    key = rsa.generate_private_key(65537, 2048)
    assert await verifier.principal(_token(key, "RS256", "one")) is None
