"""What a NATS server that knows no stream replies to a request for a job."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client, Unreachable
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.work import NatsWork
from tests.support.nats_servers import Node, cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


async def test_an_unanswered_request_is_one_line(nodes: Sequence[Node]) -> None:
    client = Client([node.url for node in nodes])
    await client.open()
    with pytest.raises(Unreachable) as job:
        await NatsWork(client, Layout("nobody")).take()
    with pytest.raises(Unreachable) as frame:
        await frames.after(client, Layout("nobody"), "run", 0)
    await client.close()
    assert str(job.value) == "no jobs: 503"
    assert str(frame.value) == "direct get: 503"
