"""The lower bounds of pyproject.toml are the releases that `make lowest` tests, and hooks name the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [
    *PROJECT["dependencies"],
    *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
]
PINNED = dict(
    re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements/lowest.txt").read_text(), re.MULTILINE)
)
HOOKS = re.compile(r'\(\s*"([\w-]+)",\s*"([\d.]+)"\)')
"""A package and the release that has the attributes we need, as `tailrace.hooks` gets them."""


def bound(requirement: str) -> tuple[str, str]:
    found = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
    assert found is not None, f"{requirement} has no lower bound"
    return found[1], found[2]


def same(one: str, other: str) -> bool:
    """Whether two releases are the same: 0.45 is 0.45.0."""
    first, second = (re.sub(r"(\.0)+$", "", each) for each in (one, other))
    return first == second


@pytest.mark.parametrize("requirement", NEEDED)
def test_a_lower_bound_is_the_release_that_is_tested(requirement: str) -> None:
    name, least = bound(requirement)
    assert same(PINNED[name], least), f"{name}>={least}, and {PINNED[name]} is tested"


def test_a_hook_names_the_lower_bound() -> None:
    bounds = dict(map(bound, NEEDED))
    named = {
        (name, least)
        for path in (ROOT / "src").rglob("*.py")
        if "hooks" in (text := path.read_text(encoding="utf-8"))
        for name, least in HOOKS.findall(text)
    }
    assert {name for name, _ in named} >= {"uvicorn", "pydantic-ai-slim", "langgraph"}
    for name, least in named:
        assert bounds[name] == least
