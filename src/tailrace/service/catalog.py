"""The agents and models of a server, and the names by which clients select them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct

from tailrace.errors import NotFound

LONGEST = 200
"""Characters of a name that are compared, and repeated in an error."""


class Target(Struct, frozen=True):
    """An agent, or a model served as it is. `number` is an agent's second name, in `/agent/7`."""

    name: str
    kind: Literal["agent", "model"]
    number: int | None = None


class Catalog:
    """The agents and models of this server."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self._names: Mapping[str, Target] = {target.name: target for target in targets}
        self._agents: Mapping[str, Target] = {
            key: target
            for target in targets
            if target.kind == "agent"
            for key in (target.name, str(target.number))
            if key != "None"
        }

    @property
    def default(self) -> Target | None:
        """The target of a request that names none: the first agent, or the first model of a server without
        agents."""
        agents = [target for target in self.targets if target.kind == "agent"]
        return next(iter((*agents, *self.targets)), None)

    def any(self, name: str) -> Target:
        """The target of a request whose agent is optional: an agent by name or number, a model, or the
        default for `""`. Raises `NotFound` with the nearest names."""
        if name:
            return self._find(name, {**self._names, **self._agents}, "agent", "agent_not_found")
        if self.default is None:
            raise NotFound("This server has no agent.", param="agent", code="agent_not_found")
        return self.default

    def by_name(self, model: str) -> Target:
        """The target a `model` field means. Raises `NotFound` with the nearest names."""
        return self._find(model, self._names, "model", "model_not_found")

    def agent(self, id: str) -> Target:
        """The agent of a path `/agent/{id}`, by name or number. Raises `NotFound`."""
        return self._find(id, self._agents, "agent", "agent_not_found")

    def _find(self, name: str, among: Mapping[str, Target], what: str, code: str) -> Target:
        target = among.get(name)
        if target is not None:
            return target
        name = name[:LONGEST]  # the comparison costs the square of its length
        near = get_close_matches(name, among, 3, 0.5) or sorted(among)[:5]
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise NotFound(f"The {what} {name!r} does not exist.{hint}", param=what, code=code)
