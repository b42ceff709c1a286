"""The number of streams of one run that a caller has open, and its limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from tailrace.auth.limits import Account
from tailrace.errors import TooMany

BUSY_SECONDS = 2.0


class ReaderLimits:
    """Counts streams by account and run."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()

    def check(self, accounts: Sequence[Account], run: str) -> None:
        """Raises `TooMany` if the reader limit of an account is reached."""
        for account in accounts:
            most = account.limits.readers_per_run
            if most and self._open[account.key, run] >= most:
                raise TooMany(
                    f"This {account.what} may read a run {most} times at once (readers_per_run).",
                    retry_after=BUSY_SECONDS,
                    code="rate_limit_exceeded",
                )

    @contextmanager
    def reading(self, accounts: Sequence[Account], run: str) -> Generator[None, None, None]:
        """Count a stream while it is open."""
        keys = [(account.key, run) for account in accounts if account.limits.readers_per_run]
        self._open.update(keys)
        try:
            yield
        finally:
            for key in keys:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]
