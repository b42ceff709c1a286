"""The interface of a model: it streams one reply to one request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest
from tailrace.events.types import Payload


class Model(Protocol):
    """A configured model. `name` is its name in the configuration."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Payload], None]:
        """One reply, in batches of payloads that arrived together: items, then one `Usage`.

        The items are numbered from 0; a call without an id from the server has an empty one. Raises
        `ModelFailed`; items that are open then stay open (the caller ends them). Closing the generator
        closes the connection.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


@runtime_checkable
class Refuses(Protocol):
    """A model that can refuse a request before it is sent, because its server has no form for the content."""

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        """The failure that `stream` would raise at once, or None."""
        ...


def refusal(model: Model, request: ModelRequest) -> ModelFailed | None:
    """As `Refuses.refusal`, of any model."""
    return model.refusal(request) if isinstance(model, Refuses) else None
