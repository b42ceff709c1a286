"""How a waiting run was continued: a turn that answers may have messages too. Pure.

An agent that gets the run's input gets them as well: after the output of its replies and their tools up to
then, or after the input if it started later (`history.py` puts them there).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tailrace.events.items import Item
from tailrace.events.request import RunRequest
from tailrace.events.types import RunResumed


class Resumption(Struct, frozen=True):
    """One `run.resumed`: the request that brought the answers, and the messages in it (`input`). `items` is
    the number of items that the run had then, `nodes` are the nodes that had begun."""

    request: RunRequest | None
    input: tuple[Item, ...]
    items: int
    nodes: frozenset[str]


def resume(payload: RunResumed, items: int, nodes: Iterable[str]) -> Resumption:
    """A continuation of a run: the number of its items, and the nodes that had started, at that time."""
    return Resumption(payload.request, payload.input, items, frozenset(nodes))


def input_before(resumptions: Sequence[Resumption], node: str) -> tuple[Item, ...]:
    """The messages that had come when a node began: they are part of its input."""
    return tuple(item for each in resumptions if node not in each.nodes for item in each.input)


def input_during(resumptions: Sequence[Resumption], node: str | None) -> list[Resumption]:
    """The resumptions that brought messages while a node was at work; all that did, without a node."""
    return [each for each in resumptions if each.input and (node is None or node in each.nodes)]
