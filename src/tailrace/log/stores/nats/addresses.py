"""Where NATS servers are: read from one line of configuration, and shown without the password in it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tailrace.errors import ConfigError

SCHEMES = ("nats", "tls")
_CREDENTIALS = re.compile(r"//[^/]*@")


def servers(url: str) -> list[str]:
    """The addresses in a list separated by commas. Raises `ConfigError`."""
    found = [each.strip() for each in url.split(",")]
    for each in found:
        try:
            parts = urlsplit(each)
            good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is none, a bracket that is not closed
            good = False
        if not good:
            raise ConfigError(f"[engine] url: {shown(each)!r} is no nats://host:port or tls://…")
    return found


def shown(address: str) -> str:
    """An address as logs and errors may have it."""
    return _CREDENTIALS.sub("//…@", address)
