"""A frame as one JetStream message: its headers, and decoding messages.

A frame's own header has the fields that are read without the body; `Nats-Msg-Id` makes a retry of an append
the same message; `Nats-Expected-Last-Subject-Sequence` is the compare-and-set chain of a run.
"""

from __future__ import annotations

import base64
import secrets
import zlib
from collections.abc import Sequence
from email.parser import BytesHeaderParser

import msgspec
from msgspec import Struct

from tailrace.errors import Damaged
from tailrace.events import ids
from tailrace.events.stored import Frame, decode
from tailrace.events.types import Event
from tailrace.log.stores.nats.client import ApiError, Client, Headers, Unreachable
from tailrace.log.stores.nats.layout import Layout

ABOUT = "Tailrace-Frame"
SUM = "Tailrace-Sum"
"""CRC-32 of the header above and of the body; messages of earlier versions have none."""
ID = "Nats-Msg-Id"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
SEQUENCE = "Nats-Sequence"
NOT_FOUND = 10037
BATCH = 64
BATCH_BYTES = 1_048_576
"""Maximum number of frames, and of their bytes, in one read."""
COMPRESS_BYTES = 65_536
"""Bodies larger than this are compressed: one message may not be larger than the server allows."""


class StoredFrame(Struct, frozen=True):
    """A frame in the stream at `place`; `id` is that of its append."""

    place: int
    first: int
    last: int
    attempt: int
    ends: bool
    schema: int
    id: str
    body: bytes

    def events(self) -> list[Event]:
        """Its events. Raises `Unreadable`."""
        return decode(self.body, self.schema)


def pack(run: str, frame: Frame, attempt: int, after: int) -> tuple[bytes, dict[str, str]]:
    """The body and headers of an append after the message at `after`, 0 for none."""
    body, compression = frame.body, 0
    if len(body) > COMPRESS_BYTES:
        body, compression = zlib.compress(body, 1), 1
    about = (frame.first, frame.last, attempt, int(frame.ends), frame.schema, compression)
    header = " ".join(map(str, about))
    headers = {
        ABOUT: header,
        SUM: str(_sum(run, header, body)),
        # The same for every try of this append and for no other: two processes that answer a run that waits
        # write the same numbers under the same attempt.
        ID: f"{run}:{frame.first}:{secrets.token_hex(8)}",
        EXPECTED: str(after),
    }
    return body, headers


def unpack(headers: Headers, body: bytes, place: int | None = None) -> StoredFrame:
    """The frame of a received message. Raises `Damaged`."""
    run = headers[ID].partition(":")[0]
    if headers.get(SUM, checksum := str(_sum(run, headers[ABOUT], body))) != checksum:
        raise Damaged(f"The log of {ids.run_id(run)} is damaged in its stream.")
    first, last, attempt, ends, schema, compression = map(int, headers[ABOUT].split())
    seq = place if place is not None else int(headers[SEQUENCE])
    text = zlib.decompress(body) if compression else body
    return StoredFrame(seq, first, last, attempt, bool(ends), schema, headers[ID], text)


def _sum(run: str, about: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{run} {about}".encode()))


async def last(client: Client, layout: Layout, run: str) -> StoredFrame | None:
    """The last frame of a run, from the leader of its stream. Raises `Unreachable`."""
    stream = layout.runs(layout.shard(run))
    message = await last_message(client, stream, layout.run(run))
    if message is None:
        return None
    place, headers, data = message
    return unpack(headers, data, place)


async def last_message(
    client: Client, stream: str, subject: str
) -> tuple[int, Headers, bytes] | None:
    """The last message of a subject from the leader: its position, headers and body."""
    try:
        answer = await client.ask(f"STREAM.MSG.GET.{stream}", last_by_subj=subject)
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    message = answer["message"]
    lines = base64.b64decode(message.get("hdrs") or b"").partition(b"\r\n")[2]
    headers = dict(BytesHeaderParser().parsebytes(lines).items())
    return int(message["seq"]), headers, base64.b64decode(message.get("data") or b"")


async def after(client: Client, layout: Layout, run: str, place: int) -> Sequence[StoredFrame]:
    """The next frames after the message at `place`, from any replica, which may be behind.

    Raises `Unreachable`.
    """
    question = {
        "seq": place + 1,
        "next_by_subj": layout.run(run),
        "batch": BATCH,
        "max_bytes": BATCH_BYTES,
    }
    subject = f"$JS.API.DIRECT.GET.{layout.runs(layout.shard(run))}"
    messages = await client.gather(subject, msgspec.json.encode(question), _ends)
    return [unpack(headers, body) for headers, body in messages]


def _ends(headers: Headers) -> bool:
    """A batch ends with a status: 204 for its end, 404 for an empty one."""
    status = headers.get("Status", "")
    if status in ("204", "404"):
        return True
    if status:
        raise Unreachable(f"direct get: {description(headers)}")
    return False


def description(headers: Headers) -> str:
    """A status in words: where it has none, the library takes the headers behind it for them."""
    return f"{headers['Status']} {headers.get('Description', '')}".partition("\n")[0].strip()
