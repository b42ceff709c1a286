"""A model whose calls have a price: each `Usage` has its cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest
from tailrace.events.types import Payload, Usage
from tailrace.models.contract import Model, refusal

MILLION = 1_000_000


class Price(Struct, frozen=True):
    """The price of a million tokens of each kind."""

    input: float
    cached: float
    cache_write: float
    output: float

    def of(self, usage: Usage) -> float:
        """The cost of a call; the caller should prefer a server's own figure."""
        fresh = max(usage.input - usage.cached - usage.cache_write, 0)
        total = (
            fresh * self.input
            + usage.cached * self.cached
            + usage.cache_write * self.cache_write
            + usage.output * self.output
        )
        return round(total / MILLION, 9)


class PricedModel:
    """Another model, with prices."""

    def __init__(self, model: Model, price: Price) -> None:
        self.name = model.name
        self._model = model
        self._price = price

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Payload], None]:
        async with aclosing(self._model.stream(request)) as batches:
            async for payloads in batches:
                yield [self._with_cost(payload) for payload in payloads]

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        return refusal(self._model, request)

    async def close(self) -> None:
        await self._model.close()

    def _with_cost(self, payload: Payload) -> Payload:
        if not isinstance(payload, Usage) or payload.cost is not None:
            return payload
        return msgspec.structs.replace(payload, cost=self._price.of(payload))
