"""A cluster on loopback: NATS servers, processes that serve, processes that work."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tailrace.log.stores.nats.layout import Layout
from tests.support import nats_stores
from tests.support.nats_servers import Node
from tests.support.servers import SCENARIO, TOOLS, ChildServer

ENGINE = """
[engine]
url = "{url}"
name = "{name}"
shards = 2
replicas = {replicas}
lease_seconds = {lease}

[server]
chat_grace_seconds = 2.0
{server}
"""


class Cluster:
    """The processes of one installation, all over one configuration."""

    def __init__(
        self, folder: Path, config: str, scenario: str = SCENARIO, tools: str = TOOLS
    ) -> None:
        self._folder = folder
        self._config = config
        self._agents = {"scenario": scenario, "tools": tools}
        self.all: list[ChildServer] = []

    def start(self, role: str) -> ChildServer:
        """Start one more process."""
        return self.add(role).start(more=["--role", role])

    def add(self, role: str) -> ChildServer:
        """One more process, which is not started."""
        folder = self._folder / f"{role}{len(self.all)}"
        folder.mkdir(parents=True)
        child = ChildServer(folder, config=self._config, **self._agents)
        self.all.append(child)
        return child


@contextmanager
def cluster(folder: Path, config: str) -> Generator[Cluster, None, None]:
    """A cluster without processes; all that are added end with it."""
    made = Cluster(folder, config)
    try:
        yield made
    finally:
        for child in made.all:
            child.kill()


async def config(nodes: Sequence[Node], base: str, *, lease: float = 1.0) -> str:
    """A configuration for a new installation over these servers."""
    return config_of(await nats_stores.installation(nodes, lease=lease), nodes, base)


def config_of(layout: Layout, nodes: Sequence[Node], base: str, server: str = "") -> str:
    """A configuration for an installation over these servers, with more in `[server]`."""
    url = ",".join(node.url for node in nodes)
    engine = ENGINE.format(
        url=url, name=layout.name, replicas=len(nodes), lease=layout.lease, server=server
    )
    return engine + base.replace("[server]\n{server}\n", "")
