"""Origins of pages in the form of browsers: lower case, without the default port, a path or a slash."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

USUAL = {"http": 80, "https": 443}
ANY = "*"
NOWHERE = "null"
"""The origin that a browser sends for a page of a file, or of a sandboxed frame."""


def normal(origin: str) -> str:
    """An origin in the form of browsers; one with a `fault` unchanged."""
    parts = _parts(origin)
    if parts is None:
        return origin
    host = parts.hostname or ""
    address = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, USUAL.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{address}{port}"


def fault(origin: str) -> str:
    """The reason why no browser sends this origin, or `""`."""
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
    except ValueError:  # an invalid port or address
        return None
