"""A model that plays a recorded stream of a real model server through the real decoder."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

from tailrace.errors import ConfigError
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.models.pace import play_at_pace
from tailrace.protocols.contract import UpstreamCodec

_TEXT_DELTAS = (t.TextDelta, t.ReasoningDelta, t.ReasoningSummaryDelta)


class ReplayModel:
    """Plays the file of one recorded reply, a delta every `interval_ms`, each text delta `repeat` times.

    The reply is the same for every request. An interrupted recording fails as the server did.
    """

    def __init__(
        self,
        name: str,
        codec: UpstreamCodec,
        file: Path,
        *,
        interval_ms: float = 0,
        repeat: int = 1,
    ) -> None:
        self.name = name
        self._codec = codec
        self._interval_ms = interval_ms
        self._repeat = repeat
        try:
            self._recording = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror or error}") from None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        decoder = self._codec.decoder(self.name)
        payloads = [*decoder.feed(self._recording), *decoder.close()]
        async for batch in play_at_pace(self._repeat_deltas(payloads), self._interval_ms):
            yield batch
        if decoder.failure is not None:
            raise decoder.failure

    async def close(self) -> None:
        """Does nothing: no connection is open."""

    def _repeat_deltas(self, payloads: Sequence[t.Payload]) -> Iterator[t.Payload]:
        for payload in payloads:
            times = self._repeat if isinstance(payload, _TEXT_DELTAS) else 1
            for _ in range(times):
                yield payload
