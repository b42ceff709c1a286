"""Bytes that a hostile client sends on one connection, without end: the first ones, and those that are
repeated. `attack` sends them to a server until it closes the connection, stops reading or has taken `most`
bytes."""

from __future__ import annotations

import gzip
import select
import socket
import time
from contextlib import suppress

import zstandard
from msgspec import Struct

HOST = b"host: localhost\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
QUIET_SECONDS = 0.3
"""A server that accepts no bytes for so long has stopped reading."""
REPLY_SECONDS = 60


class Hostile(Struct, frozen=True):
    """`first`, then `piece` repeated."""

    first: bytes
    piece: bytes


def _head(line: bytes, *headers: bytes) -> bytes:
    return line + b" HTTP/1.1\r\n" + HOST + b"".join(headers) + b"\r\n"


HEALTH = _head(b"GET /healthz", CHUNKED)
JOB = _head(b"POST /jobs", CHUNKED)
NOWHERE = _head(b"POST /nowhere", CHUNKED)
FORBIDDEN = _head(b"POST /jobs", CHUNKED, b"origin: http://evil.test\r\n")
BODY = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
FIELDS = b"".join(b"a%d: b\r\n" % number for number in range(5_000))
UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\n"

ENDLESS: dict[str, Hostile] = {
    "trailers": Hostile(JOB + b"0\r\n", FIELDS),
    "trailers of what needs no key": Hostile(HEALTH + b"0\r\n", FIELDS),
    "trailers of what was refused": Hostile(FORBIDDEN + b"0\r\n", FIELDS),
    "trailers behind a body": Hostile(JOB + b"2\r\n{}\r\n0\r\n", FIELDS),
    "one trailer": Hostile(HEALTH + b"0\r\na: ", b"x" * 65_536),
    "the name of a trailer": Hostile(HEALTH + b"0\r\n", b"x" * 65_536),
    "an extension": Hostile(JOB + b"1;a=", b"x" * 65_536),
    "extensions": Hostile(JOB, (b"1;" + b"x" * 300 + b"\r\ny\r\n") * 200),
    "a quoted extension": Hostile(JOB + b'1;a="', b"x" * 65_536),
    "zeros before a size": Hostile(HEALTH, b"0" * 65_536),
    "a body that nobody reads": Hostile(HEALTH, BODY),
    "a body of small chunks": Hostile(HEALTH, b"1\r\nx\r\n" * 10_000),
    "a body without a route": Hostile(NOWHERE, BODY),
    "a body that was refused": Hostile(FORBIDDEN, BODY),
    "a body that is too large": Hostile(JOB, BODY),
    "a declared body": Hostile(
        _head(b"POST /jobs", b"content-length: 9000000000\r\n"), b"x" * 65_536
    ),
    "a declared body that nobody reads": Hostile(
        _head(b"GET /healthz", b"content-length: 9000000000\r\n"), b"x" * 65_536
    ),
    "a body of HTTP/1.0": Hostile(
        b"POST /jobs HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 9000000000\r\n\r\n",
        b"x" * 65_536,
    ),
    "a body that should wait": Hostile(
        _head(b"POST /jobs", CHUNKED, b"expect: 100-continue\r\n"), BODY
    ),
    "a body of a stream": Hostile(_head(b"GET /jobs/none/stream", CHUNKED), BODY),
    "a URL": Hostile(b"GET /", b"x" * 65_536),
    "a method": Hostile(b"", b"X" * 65_536),
    "a header": Hostile(b"GET / HTTP/1.1\r\na: ", b"x" * 65_536),
    "a header in small pieces": Hostile(b"GET / HTTP/1.1\r\na: ", b"x" * 500),
    "the name of a header": Hostile(b"GET / HTTP/1.1\r\n", b"x" * 65_536),
    "headers": Hostile(b"GET / HTTP/1.1\r\n", FIELDS),
    "folded lines": Hostile(b"GET / HTTP/1.1\r\na: b", b"\r\n x" * 20_000),
    "empty lines": Hostile(b"", b"\r\n" * 30_000),
    "empty lines behind a request": Hostile(_head(b"GET /healthz"), b"\r\n" * 30_000),
    "requests": Hostile(b"", _head(b"GET /healthz") * 1_000),
    "requests with bodies": Hostile(b"", (JOB + b"2\r\n{}\r\n0\r\n\r\n") * 1_000),
    "what comes after the last request": Hostile(
        _head(b"GET /healthz", b"connection: close\r\n"), b"x" * 65_536
    ),
    "what comes after HTTP/1.0": Hostile(b"GET /healthz HTTP/1.0\r\n\r\n", b"x" * 65_536),
    "another protocol": Hostile(_head(b"GET /healthz", UPGRADE), b"\0\0\4\0\0\0\0\0\0" * 7_000),
    "upgrades": Hostile(b"", _head(b"GET /healthz", UPGRADE) * 1_000),
    "trailers behind an upgrade": Hostile(
        _head(b"POST /jobs", CHUNKED, UPGRADE) + b"2\r\n{}\r\n0\r\n", FIELDS
    ),
    "a tunnel": Hostile(_head(b"CONNECT localhost:80"), b"x" * 65_536),
    "HTTP/2": Hostile(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\4\0\0\0\0\0\0" * 7_000),
    "TLS": Hostile(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"x" * 65_536),
    "nothing but zeros": Hostile(b"", b"\0" * 65_536),
}


def packed(coding: str, data: bytes) -> bytes:
    """A complete request with a body that is small until it is decompressed."""
    body = data
    for each in coding.split(", "):
        body = zstandard.compress(body) if each == "zstd" else gzip.compress(body)
    length = b"content-length: %d\r\n" % len(body)
    return _head(b"POST /jobs", length, b"content-encoding: %b\r\n" % coding.encode()) + body


def attack(port: int, what: Hostile, most: int) -> tuple[int, bytes]:
    """The number of bytes that the server accepted, and its reply."""
    said = b""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=QUIET_SECONDS) as connection:
        with suppress(OSError):
            connection.sendall(what.first)
            while sent < most:
                connection.sendall(what.piece)
                sent += len(what.piece)
                said += _heard(connection)
        until = time.monotonic() + 2.0
        with suppress(ConnectionError):
            while time.monotonic() < until and (piece := _waited(connection)):
                said += piece
    return sent, said


def reply_to(port: int, request: bytes) -> bytes:
    """The server's reply to a request, until it closes or ends its JSON object."""
    reply = b""
    with socket.create_connection(("127.0.0.1", port), timeout=REPLY_SECONDS) as connection:
        with suppress(ConnectionError):  # it may reply before it has read all
            connection.sendall(request)
        with suppress(ConnectionError):
            while not reply.endswith(b"}") and (piece := connection.recv(65_536)):
                reply += piece
    return reply


def _heard(connection: socket.socket) -> bytes:
    """The bytes that can be read; a client that sends for a long time keeps only a few."""
    ready, _, _ = select.select([connection], [], [], 0)
    return connection.recv(65_536) if ready else b""


def _waited(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except TimeoutError:
        return b""
