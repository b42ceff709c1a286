"""The interfaces that every protocol folder implements; nothing here depends on a wire format.

Downstream (we are the server): a *request decoder* turns a client's JSON into a `RunRequest`, a *stream
encoder* turns a run's events into frames, a *reply* turns a run's state into one document. Upstream (we are
the client): a *codec* turns a `ModelRequest` into an HTTP request and a model server's bytes into payloads.

An encoder is a function of (run suffix, options, events) and of nothing else: the same input gives the same
bytes in any process. A frame is what a client reads as one event; frame n of a run never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest
from tailrace.events.types import Event, Payload
from tailrace.protocols.offered import OfferedTools


class StreamEncoder(Protocol):
    """One run on one surface. It gets the run's events from `seq` 0 on, each once, in order.

    `done` becomes true with the last frame of the run on this surface.
    """

    done: bool

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        """The complete frames of these events, in order, however the events are batched."""
        ...


class HttpRequest(Struct, frozen=True):
    """A POST to a model server. `path` is appended to the configured base URL. `headers` replace those of
    the configuration, and the values in `appended_headers` are appended to theirs. `offered_tools`:
    functions that represent other tools, by their names. `instead(refusal)`: the body of a second request
    after a refusal, `b""` if the refusal is final."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    appended_headers: Mapping[str, str] = {}
    offered_tools: Mapping[str, OfferedTools] = {}
    instead: Callable[[ModelFailed], bytes] | None = None


class UpstreamDecoder(Protocol):
    """One model reply, decoded as its bytes arrive.

    `failure` is set when the server sends something that makes the reply unusable; payloads that were
    decoded before it are kept. `done` is true when the reply ended as its dialect requires. After either,
    further bytes are ignored.
    """

    @property
    def failure(self) -> ModelFailed | None: ...

    @property
    def done(self) -> bool: ...

    @property
    def progress(self) -> int:
        """The number of pieces with content; pings, comments and blank pieces do not count."""
        ...

    def feed(self, data: bytes) -> list[Payload]:
        """The payloads that these bytes complete. Any chunking gives the same payloads."""
        ...

    def close(self) -> list[Payload]:
        """The connection ended. Returns the payloads that were held back, and sets `failure` unless the
        reply ended properly."""
        ...


class UpstreamCodec(Protocol):
    """One dialect of model servers."""

    @property
    def dialect(self) -> str:
        """`chat`, `responses` or `messages`."""
        ...

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        """The HTTP request for a streamed reply of `model` (the server's name for it)."""
        ...

    def decoder(self, model: str) -> UpstreamDecoder:
        """A decoder for one reply. `model` is the configured name that `usage` events carry.

        A reply without failure decodes to: item events, each item closed, then exactly one `Usage`. The
        items are numbered from 0. A call without an id from the server has an empty one. Numbers and ids of
        the run are assigned where the reply enters the run (`runtimes/node_lifecycle.py`).
        """
        ...

    def failure(self, status: int, body: bytes) -> ModelFailed:
        """The failure for an HTTP status of 400 or above, and the body that came with it."""
        ...
