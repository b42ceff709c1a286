"""What a model is to the rest: something that streams one reply to one request."""

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
        """One reply, in batches of what arrived together: items, then one `Usage`.

        The items are numbered from 0; a call to which the server gave no id has an empty one. Raises
        `ModelFailed`; items that are open then stay open (the caller ends them). Closing the generator closes
        the connection.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Refuses(Protocol):
    """A model that knows before it is asked what its server has no form for."""

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        """How `stream` would fail at once, whatever the server says."""
        ...


def refusal(model: Model, request: ModelRequest) -> ModelFailed | None:
    """As `Refuses.refusal`, of any model."""
    return model.refusal(request) if isinstance(model, Refuses) else None
