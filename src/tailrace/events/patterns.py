"""Patterns of JSON schemas: ECMA 262, matched by RE2 in time that is linear in the text.

RE2 has no lookaround and no backreferences: a pattern with one is refused by name. What ECMA 262 writes in
another way than RE2 is translated; `\\A` and `\\Z`, which only Python knows, are taken as Python means them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, cast

from tailrace.events.work import WorkBudget

LONGEST = 4_096
"""Characters of a pattern."""
MEMORY = 1 << 19
"""Bytes that RE2 may use for one pattern, compiled or matching."""
CHARACTERS = 100
"""So many characters times instructions are one unit of work: 10 ns each at worst (measured)."""
INSTRUCTIONS = 1_000
"""A longer program costs no more for each character: RE2 drops a state and continues (measured)."""

_SPACE = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_SPACE = (
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}"
    r"\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
_KEPT_ESCAPES = frozenset("dDwWbBtnvfr")
_PYTHON = {"A": r"\A", "Z": r"\z", "z": r"\z"}
_TOKEN = re.compile(
    r"\\u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|\\u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|\\u(?P<four>[0-9A-Fa-f]{4})"
    r"|\\x(?P<two>[0-9A-Fa-f]{2})"
    r"|\\c(?P<control>[A-Za-z])"
    r"|\\(?P<sign>[pP])\{(?:(?:gc|General_Category|sc|Script)=)?(?P<property>\w+)\}"
    r"|\\(?P<other>[\s\S]?)"
    r"|(?P<plain>[\s\S])"
)
_PROPERTIES = {
    "Letter": "L", "Lowercase_Letter": "Ll", "Uppercase_Letter": "Lu", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M",
    "Nonspacing_Mark": "Mn", "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N",
    "Decimal_Number": "Nd", "digit": "Nd", "Letter_Number": "Nl", "Other_Number": "No",
    "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd",
    "Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi",
    "Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm",
    "Currency_Symbol": "Sc", "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z",
    "Space_Separator": "Zs", "Line_Separator": "Zl", "Paragraph_Separator": "Zp", "Other": "C",
    "Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs", "Private_Use": "Co",
}  # fmt: skip
"""Unicode's long names of general categories; scripts are called by theirs in both."""


class NoPattern(Exception):
    """An invalid pattern, or one that cannot be matched in linear time; the message says why."""


class Pattern:
    """A pattern that is ready to be looked for."""

    def __init__(self, source: str) -> None:
        """Raises `NoPattern`."""
        # Imported here: few requests have a schema with a pattern.
        import re2  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

        if len(source) > LONGEST:
            raise NoPattern(f"has more than {LONGEST} characters")
        engine = cast("Any", re2)
        options = engine.Options()
        options.log_errors = False
        options.max_mem = MEMORY
        options.never_capture = True
        try:
            self._matcher: Any = engine.compile(_translate(source), options)
        except engine.error as error:
            raise NoPattern(_reason(str(error))) from None
        self.size = int(self._matcher.programsize)
        self._cost = min(self.size, INSTRUCTIONS)

    def matches(self, text: str, work: WorkBudget) -> bool:
        """Whether the pattern is anywhere in `text`. Raises `Overspent`."""
        work.spend(2 + len(text) * self._cost // CHARACTERS)
        return self._matcher.search(text.encode("utf-8", "replace")) is not None


@lru_cache(256)
def pattern(source: str) -> Pattern:
    """The pattern that `source` says. Raises `NoPattern`."""
    return Pattern(source)


def _reason(message: str) -> str:
    """What RE2 says, in the terms of who wrote the pattern."""
    words = message.removeprefix("b").strip("'\"")
    if "(?=" in words or "(?!" in words or "(?<" in words:
        return "looks ahead or behind, which cannot be matched in linear time"
    if "too large" in words or "repetition" in words:
        return f"repeats too much ({words})"
    return f"cannot be matched in linear time ({words})"


def _translate(source: str) -> str:
    """ECMA 262 as RE2 writes it. Raises `NoPattern`."""
    pieces: list[str] = []
    bracket = -1  # where the open class began in `made`
    for token in _TOKEN.finditer(source):
        plain = token["plain"]
        if plain is None:
            pieces.append(_escape(token, inside=bracket >= 0))
        elif bracket < 0:
            pieces.append(_any(plain))
            bracket = len(pieces) - 1 if plain == "[" else -1
        elif plain == "]":
            bracket_text = "".join(pieces[bracket:])
            if bracket_text in ("[", "[^"):  # in ECMA 262 a class may be empty
                pieces[bracket:] = [
                    r"[^\x{0}-\x{10ffff}]" if bracket_text == "[" else r"[\x{0}-\x{10ffff}]"
                ]
            else:
                pieces.append("]")
            bracket = -1
        else:
            pieces.append(r"\[" if plain == "[" else plain)
    return "".join(pieces)


def _any(plain: str) -> str:
    return r"[^\n\r\x{2028}\x{2029}]" if plain == "." else plain


def _escape(token: re.Match[str], *, inside: bool) -> str:
    """An escape sequence; `inside` a class."""
    if token["high"]:
        high, low = int(token["high"], 16) - 0xD800, int(token["low"], 16) - 0xDC00
        return f"\\x{{{0x10000 + (high << 10) + low:x}}}"
    if code := token["braced"] or token["four"] or token["two"]:
        return f"\\x{{{code}}}"
    if token["control"]:
        return f"\\x{{{ord(token['control']) % 32:x}}}"
    if token["sign"]:
        name = token["property"]
        return f"\\{token['sign']}{{{_PROPERTIES.get(name, name)}}}"
    return _letter(token["other"] or "", inside=inside)


def _letter(letter: str, *, inside: bool) -> str:
    """A backslash and one character."""
    if letter == "s":
        return _SPACE if inside else f"[{_SPACE}]"
    if letter == "S":
        return _NO_SPACE if inside else f"[{_NO_SPACE}]"
    if letter == "0":
        return r"\x{0}"
    if letter == "b" and inside:
        return r"\x{8}"
    if letter in _KEPT_ESCAPES:
        return f"\\{letter}"
    if letter in _PYTHON and not inside:
        return _PYTHON[letter]
    if letter and letter in "123456789k":
        raise NoPattern("refers back to a group, which cannot be matched in linear time")
    if not letter or letter.isalnum():
        raise NoPattern(f"has an unknown escape sequence: \\{letter}")
    return re.escape(letter) if letter.isascii() else letter
