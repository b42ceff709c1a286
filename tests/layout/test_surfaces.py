"""Every surface is in every table that surfaces need: `CONTRIBUTING.md`, "How to add a surface"."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from tailrace.cli.convert import SOURCES
from tailrace.http.event_stream import FRAMINGS
from tailrace.service import refusals
from tailrace.service.views import VIEWS, Frames

ROOT = Path(__file__).parents[2]
PROTOCOLS = ROOT / "src" / "tailrace" / "protocols"
FOLDERS = {path.parent.name for path in PROTOCOLS.glob("*/__init__.py")}
UPSTREAM_ONLY = {"openai_media"}
"""Protocols of model servers that no client of ours uses."""
SHARED = {"framing"}
"""Folders that protocols share."""
SURFACES: dict[str, str] = {
    importlib.import_module(f"tailrace.protocols.{folder}.request").SURFACE: folder
    for folder in FOLDERS - UPSTREAM_ONLY - SHARED
}
WITHOUT_PLACES = {"native", "session"}
"""A session takes only text; a job's items have the form of the log, and an error names their parameter."""


def test_a_surface_has_a_view_and_can_be_converted() -> None:
    assert set(VIEWS) == set(SOURCES) == set(SURFACES)


def test_refused_content_has_a_place_in_requests_of_other_projects_forms() -> None:
    assert set(refusals._PLACES) == set(SURFACES) - WITHOUT_PLACES


def test_every_kind_of_frames_has_a_framing() -> None:
    assert set(FRAMINGS) == set(get_args(Frames))


def test_protocols_are_independent() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (modules,) = (
        each["modules"]
        for each in contracts["tool"]["importlinter"]["contracts"]
        if each["name"] == "Protocols do not know each other"
    )
    assert set(modules) == {f"tailrace.protocols.{folder}" for folder in FOLDERS - SHARED}


@pytest.mark.parametrize(("surface", "folder"), sorted(SURFACES.items()))
def test_a_surface_is_documented(surface: str, folder: str) -> None:
    assert f"| `{surface}` | `{folder}` |" in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


PROVEN_BY = {
    "its bytes": ("tests/protocols/test_transcripts.py", '"{name}": lambda log'),
    "its properties": ("tests/properties/test_streams.py", '"{name}": lambda'),
    "requests of other tenants": ("tests/support/tenant_requests.py", "{path}"),
}
PATHS = {
    "responses": "/responses",
    "chat": "chat/completions",
    "messages": "/messages",
    "ui": "/api/chat",
    "agui": "/agui/",
    "session": "/api/stream",
    "native": "/jobs",
}


@pytest.mark.parametrize("proof", PROVEN_BY)
@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_a_surface_is_in_the_suites_for_all_surfaces(surface: str, proof: str) -> None:
    file, mark = PROVEN_BY[proof]
    assert mark.format(name=surface, path=PATHS[surface]) in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("surface", sorted(SURFACES))
def test_a_surface_is_on_the_page_of_protocols(surface: str) -> None:
    assert PATHS[surface] in (ROOT / "PROTOCOLS.md").read_text(encoding="utf-8")
