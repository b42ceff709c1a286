"""Origins of pages as browsers say them: in lower case, without the usual port, a path or a slash."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

USUAL = {"http": 80, "https": 443}
ANY = "*"
NOWHERE = "null"
"""What a browser says for a page of a file, or of a frame that is shut in."""


def normal(origin: str) -> str:
    """An origin as browsers say it; one with a `fault` as it is."""
    parts = _parts(origin)
    if parts is None:
        return origin
    host = parts.hostname or ""
    address = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, USUAL.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{address}{port}"


def fault(origin: str) -> str:
    """Why no browser ever says this, or `""`."""
    if origin in (ANY, NOWHERE):
        return ""
    parts = _parts(origin)
    if parts is None or not parts.scheme or not parts.hostname:
        return "is no origin: scheme://host, or scheme://host:port"
    if "*" in origin:
        return "has a '*': name each origin, or '*' alone for all"
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        return f"is more than an origin: write {normal(origin)!r}"
    return ""


def _parts(origin: str) -> SplitResult | None:
    try:
        parts = urlsplit(origin.strip())
        return parts if parts.hostname and (parts.port is None or parts.port >= 0) else None
    except ValueError:  # of a port or an address that is none
        return None
