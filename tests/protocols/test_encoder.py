"""The tables of all encoders: which events a surface shows, by which method, and which events it hides."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import get_args, get_type_hints

import pytest

import tailrace.protocols
from tailrace.events import types as t
from tailrace.protocols.encoder import PAYLOADS, Encoder


def _encoders() -> Iterator[type[Encoder]]:
    """Every encoder of the tree that has a table of its own."""
    for module in pkgutil.walk_packages(tailrace.protocols.__path__, "tailrace.protocols."):
        if module.name.endswith(".stream"):
            importlib.import_module(module.name)
    classes: list[type[Encoder]] = [Encoder]
    for cls in classes:
        classes += cls.__subclasses__()
        if "SHOWN" in vars(cls):
            yield cls


ENCODERS = {cls.__module__.split(".")[-2]: cls for cls in _encoders()}
EACH = pytest.mark.parametrize("surface", ENCODERS)


def test_the_tables_of_all_surfaces_are_found() -> None:
    surfaces = {"openai_responses", "openai_chat", "anthropic_messages", "ai_sdk_ui", "ag_ui"}
    assert set(ENCODERS) == surfaces | {"node_stream", "session_lines"}
    assert set(t.Base.__subclasses__()) == PAYLOADS


@EACH
def test_every_event_is_either_shown_or_hidden(surface: str) -> None:
    shown, hidden = set(ENCODERS[surface].SHOWN), ENCODERS[surface].HIDDEN
    assert not shown & hidden
    assert shown | hidden == PAYLOADS


@EACH
def test_a_method_takes_the_events_that_the_table_gives_it(surface: str) -> None:
    for payload, method in ENCODERS[surface].SHOWN.items():
        accepted = get_type_hints(method)["payload"]
        assert payload in (get_args(accepted) or (accepted,)), method
