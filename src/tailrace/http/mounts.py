"""The mounts of the OpenAI-shaped surfaces: `/v1`, where `model` names the agent or model, and
`/agent/{agent_id}`, where the path names it and `model` may have any value."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request

from tailrace.service.catalog import Catalog, Target


class Mount(Struct, frozen=True):
    """A path prefix, and how a request under it names its target. `key` is the name of the extension object
    that attributes replies to agents, `""` for none; with `functions` replies show the calls of every tool as
    if the client ran it."""

    catalog: Catalog
    path: str
    key: str = ""
    functions: bool = False

    @property
    def names_agent(self) -> bool:
        """Whether the path itself names the agent."""
        return "{agent_id}" in self.path

    def target(self, http: Request, model: str) -> Target:
        """The target of a request. Raises `NotFound` with the nearest names."""
        if self.names_agent:
            return self.catalog.agent(http.path_params["agent_id"])
        return self.catalog.by_name(model)

    def check(self, http: Request) -> None:
        """Raise `NotFound` when the path names an agent that does not exist."""
        if self.names_agent:
            self.catalog.agent(http.path_params["agent_id"])

    def targets(self, http: Request) -> tuple[Target, ...]:
        """The targets of this mount."""
        if self.names_agent:
            return (self.catalog.agent(http.path_params["agent_id"]),)
        return self.catalog.targets


def mounts(catalog: Catalog, key: str, *, functions: bool) -> tuple[Mount, Mount]:
    """The two mounts of a server."""
    return Mount(catalog, "/v1"), Mount(catalog, "/agent/{agent_id}", key, functions)
