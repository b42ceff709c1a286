"""Patterns with the semantics of ECMA 262, in linear time."""

from __future__ import annotations

import pytest

from tailrace.events.patterns import LONGEST, NoPattern, Pattern
from tailrace.events.work import Overspent, WorkBudget

PLENTY = 1_000_000


@pytest.mark.parametrize(
    ("source", "fits", "unfit"),
    [
        ("b", "abc", "ac"),  # anywhere
        (r"^\d+$", "12", "1\n"),
        (r"^\d$", "7", "\u0667"),  # of digits, those of ASCII
        (r"^\w+$", "a_1", "é"),
        (r"^\s\s\s$", " \u00a0\ufeff", "abc"),
        (r"^[\s,]+$", "\u3000,\v", "x"),
        (r"^\S+$", "é", "a\u2003b"),
        (r"^[^\S]$", " ", "x"),
        (r"^.$", "é", "\u2028"),
        (r"^\u0041\x42$", "AB", "ab"),
        (r"^\u{1F600}$", "😀", "x"),
        (r"^\uD83D\uDE00$", "😀", "x"),
        (r"^[\uD83D\uDE00-\u{1F64F}]$", "😀", "x"),
        (r"^\cJ$", "\n", "J"),
        (r"^\0$", "\0", "0"),
        (r"^[\b]$", "\b", "b"),
        (r"\bcat\b", "a cat", "scatter"),
        (r"^\p{Letter}+$", "áß", "1"),
        (r"^\p{L}\P{Lu}$", "Aa", "AA"),
        (r"^\p{Script=Greek}$", "π", "p"),
        (r"^[\p{gc=Number}x]$", "½", "y"),
        (r"^[^]$", "\n", ""),
        (r"^[]$|^a$", "a", "b"),
        (r"^[[a]+$", "[a", "b"),
        (r"^[[:alpha:]]$", ":]", "b"),
        (r"^\/\-\.$", "/-.", "x"),
        (r"^(?<year>\d{4})$", "1999", "99"),
        (r"\Aab\Z", "ab", "abc"),  # Python's
        ("^(a+)+$", "a" * 40, "a" * 40 + "b"),
    ],
)
def test_what_a_pattern_means(source: str, fits: str, unfit: str) -> None:
    assert Pattern(source).matches(fits, WorkBudget(PLENTY))
    assert not Pattern(source).matches(unfit, WorkBudget(PLENTY))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("(?=a)b", "looks ahead or behind"),
        ("(?!a)b", "looks ahead or behind"),
        ("(?<=a)b", "looks ahead or behind"),
        ("(?<!a)b", "looks ahead or behind"),
        (r"(a)\1", "refers back to a group"),
        (r"(?<n>a)\k<n>", "refers back to a group"),
        ("(?>a)", "cannot be matched in linear time"),
        ("(((a{100}){100}){100}){100}", "repeats too much"),
        (r"\p{L}{1,500}", "repeats too much"),
        (r"\Qa\E", "has an unknown escape sequence"),
        ("a\\", "has an unknown escape sequence"),
        ("(", "missing"),
        ("[a", "missing"),
        (r"\p{Nothing}", "cannot be matched"),
        ("a" * (LONGEST + 1), "has more than"),
    ],
)
def test_a_pattern_that_is_not_linear_is_refused(source: str, why: str) -> None:
    with pytest.raises(NoPattern) as caught:
        Pattern(source)
    assert why in str(caught.value)


def test_a_long_text_is_counted() -> None:
    with pytest.raises(Overspent):
        Pattern("(?:[01]*1[01]{900})y").matches("01" * 10_000, WorkBudget(10_000))
