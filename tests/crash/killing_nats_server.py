"""A server that kills itself at a write boundary of a log in NATS.

It dies before its N-th append, or when NATS has acknowledged the append and no code of the process has seen
that. Run as `python -c "<this file>" N before|after serve ...`; until then it behaves like `tailrace
serve`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tailrace.cli import main
from tailrace.log.stores.nats.log import NatsLog

number, side = int(sys.argv.pop(1)), sys.argv.pop(1)
store = NatsLog._store
count = 0


async def killing(self: Any, *appended: Any) -> int:
    global count
    count += 1
    fatal = count == number
    if fatal and side == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    place = await store(self, *appended)
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return place


NatsLog._store = killing  # type: ignore[method-assign,assignment]
main()
