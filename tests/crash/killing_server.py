"""A server that kills itself at a write boundary: at the N-th commit, before or after it is on disk.

Run as `python -c "<this file>" N before|after serve ...`; until then it behaves like `tailrace serve`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tailrace.cli import main
from tailrace.log.stores.sqlite import writer

number, side = int(sys.argv.pop(1)), sys.argv.pop(1)
write = writer.Writer._commit
count = 0


def killing(self: Any, commit: Any) -> None:
    global count
    if commit.appends:
        count += 1
    fatal = count == number and bool(commit.appends)
    if fatal and side == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, commit)
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)


writer.Writer._commit = killing  # type: ignore[method-assign]
main()
