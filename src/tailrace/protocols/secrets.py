"""Removes text that looks like a key from messages of model servers and libraries. Pure.

Secrets that we send to a server are known, and are removed by value where they are sent (`models/http.py`).
This is for unknown ones: a server that repeats a key half masked, a key of the server's own provider, a URL
with a key in it. It is better to remove a word too many than to leave a key.
"""

from __future__ import annotations

import re

HIDDEN = "[redacted]"

_KEYS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|nvapi|hf|pplx|csk|tgp|tr|ghp|gho|glpat|key|api|r8)[-_](?=[\w*.…-]*[0-9*…])[\w*.…-]{6,}"
    r"|\bAIza[\w*-]{10,}|\bA[KS]IA[A-Z0-9*]{12,}|\bya29\.[\w.*-]+|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
)
_SCHEMES = re.compile(
    r"\b(bearer|basic|token)(\s+)(?=[\w.~+/=*-]*[0-9*])[\w.~+/=*-]{8,}", re.IGNORECASE
)
_NAMED_SECRET = re.compile(
    r"""\b((?:x-)?(?:api|access|secret|subscription|auth|private)[-_ ]?(?:key|token|secret)|password|passwd"""
    r"""|authorization|client_secret)(["']?\s*(?:provided|is)?\s*[:=]\s*["']?)(?!\[redacted\])"""
    r"""(?:(?:bearer|basic)\s+)?[^\s"'&,;}]{4,}""",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"([?&;](?:key|code|sig|signature|token|auth|subscription-key)=)[^\s&\"'<>]+", re.IGNORECASE
)
_USER = re.compile(r"(://)[^/\s@:]*:[^/\s@]*@")


def scrub(text: str) -> str:
    """The text without anything that looks like a key. A long text is cut first."""
    text = _USER.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _NAMED_SECRET.sub(rf"\1\2{HIDDEN}", text)
    text = _SCHEMES.sub(rf"\1\2{HIDDEN}", text)
    return _KEYS.sub(HIDDEN, text)
