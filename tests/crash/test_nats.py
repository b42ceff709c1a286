"""kill -9 at every write boundary, over NATS: the requirements that `test_kill.py` has for one process and
its file."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from itertools import product
from pathlib import Path

import pytest

from tests.crash.test_kill import outlive
from tests.support import clusters
from tests.support.crashes import sampled
from tests.support.forks import Forks
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import CONFIG, ChildServer

PROGRAM = (Path(__file__).parent / "killing_nats_server.py").read_text(encoding="utf-8")
APPENDS = range(1, 13)
"""More appends than the run has in one life."""
DEATHS = [
    (copies, number, side, again)
    for count, (number, side) in enumerate(product(APPENDS, ("before", "after")))
    for copies in (1, 3)
    for again in ((0, 2)[(count + copies) // 2 % 2],)
    if copies == 1 or count % 3 == 0
]


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[dict[int, Sequence[Node]], None, None]:
    one, three = (tmp_path_factory.mktemp("nats") for _ in range(2))
    with nats_cluster(one, 1) as alone, nats_cluster(three, 3) as many:
        yield {1: alone, 3: many}


def killer(number: int, side: str) -> str:
    first, second = f"'{number}'", f"'{side}'"
    return PROGRAM.replace("sys.argv.pop(1)", first, 1).replace("sys.argv.pop(1)", second, 1)


@pytest.mark.parametrize(("copies", "number", "side", "again"), sampled(DEATHS))
def test_a_killed_process_loses_nothing_a_client_saw(
    servers: dict[int, Sequence[Node]],
    tmp_path: Path,
    forks: Forks,
    copies: int,
    number: int,
    side: str,
    again: int,
) -> None:
    config = asyncio.run(clusters.config(servers[copies], CONFIG))
    outlive(ChildServer(tmp_path, config=config), forks, killer, number, side, again)
