"""The shapes every protocol folder offers; nothing here knows a wire format.

Downstream (we are the server): a *request decoder* turns a client's JSON into a `RunRequest`, a *stream
encoder* turns a run's events into frames, a *reply* turns a run's state into one document.
Upstream (we are the client): a *codec* turns a `ModelRequest` into an HTTP request and a model server's
bytes into payloads.

Encoders are functions of (run suffix, options, events) and nothing else: the same input gives the same
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
    """One run on one surface. Fed the run's events from `seq` 0 on, each once, in order.

    `done` turns true with the last frame that the surface will ever show of the run.
    """

    done: bool

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        """The frames these events make, whole, in order; how events are batched changes nothing."""
        ...


class HttpRequest(Struct, frozen=True):
    """A POST to a model server: `path` is appended to the configured base URL. `headers` replace those of the
    configuration, the lists of `added` are joined to theirs. `offered`: functions that stand for
    other tools. `instead`: the body to send once more after such a refusal, `b""` where it stands."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    appended_headers: Mapping[str, str] = {}
    offered_tools: Mapping[str, OfferedTools] = {}
    instead: Callable[[ModelFailed], bytes] | None = None


class UpstreamDecoder(Protocol):
    """One model reply, as bytes arrive.

    `failure` is set once the server said or did something that makes the reply unusable; what was
    decoded before it stands. `done` is true when the reply ended as its dialect says it must.
    After either, further bytes are ignored.
    """

    @property
    def failure(self) -> ModelFailed | None: ...

    @property
    def done(self) -> bool: ...

    @property
    def progress(self) -> int:
        """How often the server said something of the reply; pings, comments and blank pieces do not count."""
        ...

    def feed(self, data: bytes) -> list[Payload]:
        """The payloads that these bytes complete. Any chunking gives the same payloads."""
        ...

    def close(self) -> list[Payload]:
        """The connection ended. Returns what was held back; without a proper end sets `failure`."""
        ...


class UpstreamCodec(Protocol):
    """One dialect that model servers speak."""

    @property
    def dialect(self) -> str:
        """`chat`, `responses` or `messages`."""
        ...

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        """What to send to ask `model` (the server's name for it) for a streamed reply."""
        ...

    def decoder(self, model: str) -> UpstreamDecoder:
        """A decoder for one reply. `model` is the configured name that `usage` events carry.

        A whole reply decodes to: item events, each item closed, then exactly one `Usage`. The items are
        numbered from 0. A call to which the server gave no id has an empty one. Numbers and ids in the run
        are given where the reply enters the run (`runtimes/node_lifecycle.py`).
        """
        ...

    def failure(self, status: int, body: bytes) -> ModelFailed:
        """The meaning of an HTTP status of 400 or above, with the body that came with it."""
        ...
