"""A server that kills itself at its N-th write of any kind: a commit of SQLite or a message to NATS.

It dies before the write, or when the write is durable and no code of the process has seen the result. Run
as `python -c "<this file>" N before|after serve ...`; until then it behaves like `tailrace serve`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tailrace.cli import main
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.sqlite import writer

number, side = int(sys.argv.pop(1)), sys.argv.pop(1)
commit = writer.Writer._commit
publish = Client.publish
count = 0


def die(when: str) -> None:
    """End the process as a power failure does, if this is the configured moment."""
    if count == number and side == when:
        os.kill(os.getpid(), signal.SIGKILL)


def killing_commit(self: Any, writes: Any) -> None:
    global count
    count += 1
    die("before")
    commit(self, writes)
    die("after")


async def killing_publish(self: Any, *message: Any) -> int:
    global count
    count += 1
    die("before")
    place = await publish(self, *message)
    die("after")
    return place


writer.Writer._commit = killing_commit  # type: ignore[method-assign,assignment]
Client.publish = killing_publish  # type: ignore[method-assign,assignment]
main()
