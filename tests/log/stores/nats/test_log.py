"""Two processes and one run: a process that knows the last position continues the log, whichever process
wrote before."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Generator, Sequence

import pytest

from tailrace.errors import Fenced
from tailrace.log.stores.claim import Claim
from tailrace.log.stores.nats import log
from tests.contracts.log_contract import ENDED, RUN, append, everything
from tests.support import nats_stores
from tests.support.nats_servers import Node, cluster


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


async def test_a_process_continues_where_another_one_stopped(nodes: Sequence[Node]) -> None:
    """A worker pauses, a server writes the answer, and the same worker gets the run again."""
    layout = await nats_stores.installation(nodes)
    one, other = (nats_stores.store(nodes, layout) for _ in range(2))
    await one.open()
    await other.open()
    await append(one, RUN, ENDED[:2])
    await append(other, RUN, ENDED[2:4])
    await append(one, RUN, ENDED[4:5])
    with pytest.raises(Fenced):
        await append(one, RUN, ENDED[2:3])
    with pytest.raises(Fenced):
        await append(other, RUN, ENDED[4:6])
    await append(other, RUN, ENDED[5:])
    assert await everything(one, RUN) == ENDED
    await one.close()
    await other.close()


async def test_runs_that_other_processes_end_are_forgotten(
    nodes: Sequence[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server starts every run and ends none of them."""
    with warnings.catch_warnings():
        # Sockets that other tests in this process left to the garbage collector when their loop ended.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    monkeypatch.setattr(log, "PLACES", 3)
    layout = await nats_stores.installation(nodes)
    one, other = (nats_stores.store(nodes, layout) for _ in range(2))
    await one.open()
    await other.open()
    runs = [f"{RUN[:-2]}{number:02}" for number in range(20)]
    for run in runs:
        await append(one, run, ENDED[:2])
        await append(other, run, ENDED[2:])
    gc.collect()
    known = [each.run for each in gc.get_objects() if isinstance(each, Claim) and each.run in runs]
    assert known == runs[-3:]
    with pytest.raises(Fenced):
        await append(one, runs[0], ENDED[2:4])
    await one.close()
    await other.close()
