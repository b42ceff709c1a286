"""The listeners of runs. Each store has a `Watchers`, and calls `tell` after the commit and never before it:
the guarantee is the store's (`tests/contracts/log_contract.py`). Use it on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tailrace.events.types import Event
from tailrace.log.contract import Listener


class Watchers:
    """Listeners by run."""

    def __init__(self) -> None:
        self._by_run: dict[str, list[Listener]] = {}

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        """Add a listener; returns a function that removes it, which may be called more than once."""
        listeners = self._by_run.setdefault(run, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)
            if not listeners and self._by_run.get(run) is listeners:
                del self._by_run[run]

        return stop

    def tell(self, run: str, events: Sequence[Event]) -> None:
        """Call the run's listeners.

        An exception of a listener is reported to the event loop, and affects no other: the acknowledgements
        of other runs in the same commit follow.
        """
        listeners = self._by_run.get(run)
        if not listeners:
            return
        for listener in tuple(listeners):
            try:
                listener(events)
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a listener of run {run} failed", "exception": error}
                )
