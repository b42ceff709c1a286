"""A model's failure as the end of a run."""

from __future__ import annotations

from tailrace.errors import ModelFailed
from tailrace.events.types import RunFailed


def run_failed(failure: ModelFailed) -> RunFailed:
    """The end of a run that ends with this failure."""
    return RunFailed(
        failure.code,
        failure.message,
        failure.param,
        failure.dialect,
        failure.status,
        failure.error_type,
        failure.retry_after,
        failure.final,
    )
