"""Addresses of NATS servers: parsed from one line of configuration, shown without their password, and
checked for encryption if the line requires it."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from urllib.parse import urlsplit

from tailrace.errors import ConfigError

PORT = 4222
SCHEMES = ("nats", "tls")
_CREDENTIALS = re.compile(r"//.*@")


def servers(url: str) -> list[str]:
    """The addresses in a list separated by commas. Raises `ConfigError`, which repeats no address that may
    have a password: an unreadable part may belong to one."""
    addresses = [each.strip() for each in url.split(",")]
    for number, each in enumerate(addresses, 1):
        try:
            parts = urlsplit(each)
            good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:  # an invalid port, an open bracket
            good = False
        if not good:
            which = f"address {number}" if "@" in url else repr(each)
            raise ConfigError(f"[engine] url: {which} is not nats://host:port or tls://…")
    return addresses


def redact(address: str) -> str:
    """An address for logs and errors."""
    return _CREDENTIALS.sub("//…@", address)


async def must_be_encrypted(address: str, seconds: float) -> None:
    """Raises `ConfigError` if a `tls://` server does not require TLS: the library would continue without it,
    and send the password. A server that does not answer is reported by the connection itself."""
    parts = urlsplit(address)
    if parts.scheme != "tls":
        return
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or PORT)
            try:
                greeting = await reader.readuntil(b"\r\n")  # unencrypted, also before TLS
            finally:
                writer.close()
        if b'"tls_required":true' not in greeting.replace(b" ", b""):
            raise ConfigError(f"[engine] url: the server at {redact(address)} does not ask for TLS")
