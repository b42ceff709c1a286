"""A server that kills itself at a write boundary of a log in NATS: before its N-th append, or once that is
acknowledged and nobody in the process knows yet.

Run as `python -c "<this file>" N before|after serve ...`; behaves like `tailrace serve` until then.
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
