"""The streams of an installation: their names, their configuration, and the check of existing ones.

    RUNS-<n>   frames of runs, one subject a run, a share of the runs each; republished when they are stored
    RECORDS    the last value of each record, and when it falls due
    JOBS       runs that wait for a worker

All subjects begin with the installation's name, so that several can share a NATS account.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Struct

from tailrace.errors import LogError
from tailrace.log.stores.nats.client import ApiError, Client

NO_STREAM = 10059
NO_CONSUMER = 10014
AGE = "max_age"
METADATA, SHARDS = "metadata", "tailrace-shards"
SECOND = 1_000_000_000
"""Nanoseconds, the unit of JetStream."""
WORKERS = "workers"
MOST_RUNS = 100_000
"""Maximum number of active runs in the whole installation."""
READY_SECONDS = 30.0
"""Time for servers that just started to elect leaders."""
DUPLICATES = 120 * SECOND
"""Time for which the server remembers a message's id: longer than an append is retried without a read."""


class Layout(Struct, frozen=True):
    """One installation. `shards` is fixed when it is made; `retention_seconds` is how long frames stay and
    `lease` how long a silent worker keeps its run, both in seconds."""

    name: str = "tailrace"
    shards: int = 8
    replicas: int = 3
    retention_seconds: int = 30 * 24 * 3600
    lease: float = 5.0

    def stream(self, kind: str) -> str:
        """A stream's name."""
        return f"{self.name}-{kind}"

    def shard(self, run: str) -> int:
        """The stream with the frames of a run."""
        return zlib.crc32(run.encode()) % self.shards

    def runs(self, shard: int) -> str:
        """The stream of a shard."""
        return self.stream(f"RUNS-{shard}")

    def run(self, run: str) -> str:
        """The subject of a run."""
        return f"{self.name}.run.{self.shard(run)}.{run}"

    def live(self, run: str) -> str:
        """The subject on which a run's frames are published when they are stored."""
        return f"{self.name}.live.{self.shard(run)}.{run}"

    def record(self, bucket: str, key: str) -> str:
        """The subject of a record."""
        return f"{self.name}.rec.{bucket}.{token(key)}"

    def due(self, bucket: str, expires: int, key: str) -> str:
        """The subject of a record that falls due."""
        return f"{self.name}.due.{bucket}.{expires}.{token(key)}"

    def job(self, run: str) -> str:
        """The subject on which a run is offered."""
        return f"{self.name}.job.{run}"

    def call(self, name: str) -> str:
        """The subject of a process's requests."""
        return f"{self.name}.call.{name}"

    def workers(self) -> dict[str, Any]:
        """The consumer that hands out jobs."""
        return {
            "durable_name": WORKERS,
            "ack_policy": "explicit",
            "ack_wait": int(self.lease * SECOND),
            "max_deliver": -1,
            "max_ack_pending": MOST_RUNS,
        }

    def streams(self) -> list[dict[str, Any]]:
        """The configuration of every stream."""
        common: dict[str, Any] = {
            "storage": "file",
            "num_replicas": self.replicas,
            "duplicate_window": DUPLICATES,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "discard": "old",
        }
        logs = [
            {
                **common,
                "name": self.runs(shard),
                "subjects": [f"{self.name}.run.{shard}.*"],
                "retention": "limits",
                AGE: self.retention_seconds * SECOND,
                "allow_direct": True,
                "deny_delete": True,
                "republish": {
                    "src": f"{self.name}.run.{shard}.>",
                    "dest": f"{self.name}.live.{shard}.>",
                },
            }
            for shard in range(self.shards)
        ]
        records = {
            **common,
            "name": self.stream("RECORDS"),
            "subjects": [f"{self.name}.rec.>", f"{self.name}.due.>"],
            "retention": "limits",
            AGE: 0,
            "max_msgs_per_subject": 1,
            "deny_delete": True,
            METADATA: {SHARDS: str(self.shards)},
        }
        jobs = {
            **common,
            "name": self.stream("JOBS"),
            "subjects": [f"{self.name}.job.>"],
            "retention": "workqueue",
            AGE: 0,
        }
        return [*logs, records, jobs]


def token(key: str) -> str:
    """A key as one token of a subject."""
    return quote(key, safe="").replace(".", "%2E")


def key(subject: str) -> str:
    """The key in a subject's last token."""
    return unquote(subject.rsplit(".", 1)[1])


async def create(client: Client, layout: Layout) -> int:
    """Make the streams that are missing, and extend the retention of those with a shorter one. Returns the
    number of replicas. Raises `LogError` for a stream with a different configuration."""
    await _check_shards(client, layout)
    for config in layout.streams():
        name = str(config["name"])
        stream = await _find(client, name)
        if stream is None:
            await _create_stream(client, "CREATE", config)
        elif not _wrongs(stream, {**config, AGE: stream[AGE]}) and _wrongs(stream, config):
            await _create_stream(client, "UPDATE", {**stream, AGE: config[AGE]})
    jobs = layout.stream("JOBS")
    method = f"CONSUMER.DURABLE.CREATE.{jobs}.{WORKERS}"
    make = partial(client.ask, method, stream_name=jobs, config=layout.workers())
    await client.insist(make, READY_SECONDS)  # an existing one gets another lease
    return await check(client, layout)


async def check(client: Client, layout: Layout) -> int:
    """The number of replicas of the streams. Raises `LogError` that names missing and different streams."""
    copies: list[int] = []
    await _check_shards(client, layout)
    for config in layout.streams():
        name = str(config["name"])
        stream = await _find(client, name)
        if stream is None:
            raise LogError(f"the stream {name} does not exist: run `tailrace engine init`")
        if wrong := _wrongs(stream, config):
            raise LogError(f"the stream {name} is not as it must be: {'; '.join(wrong)}")
        copies.append(stream["num_replicas"])
    consumer = f"CONSUMER.INFO.{layout.stream('JOBS')}.{WORKERS}"
    answer = await _info(client, consumer, NO_CONSUMER)
    if answer is None:
        raise LogError(f"the consumer {WORKERS} does not exist: run `tailrace engine init`")
    lease = answer["config"]["ack_wait"] / SECOND
    if lease != layout.lease:
        raise LogError(
            f"the lease is {lease:g} s there and {layout.lease:g} s here: `tailrace engine init` changes it"
        )
    return min(copies)


async def _create_stream(client: Client, how: str, stream: dict[str, Any]) -> None:
    name = stream["name"]
    try:
        await client.insist(partial(client.ask, f"STREAM.{how}.{name}", **stream), READY_SECONDS)
    except ApiError as error:
        raise LogError(f"the stream {name} cannot be made: {error}") from error


async def _check_shards(client: Client, layout: Layout) -> None:
    """A run's shard depends on the number of shards, so the number must stay; the records' stream has it,
    because a missing shard may have been lost."""
    records = await _find(client, layout.stream("RECORDS")) or {}
    metadata: dict[str, str] = records.get(METADATA) or {}
    there = metadata.get(SHARDS, str(layout.shards))
    if there != str(layout.shards):
        raise LogError(
            f"{layout.name} has {there} shards, and [engine] shards is {layout.shards}: their number stays"
            " as it was made"
        )


def _wrongs(actual: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """The differences of a stream from its required configuration."""
    return [
        _wrong(field, actual.get(field), value)
        for field, value in config.items()
        if not _is_right(field, actual.get(field), value)
    ]


def _is_right(field: str, actual: Any, value: Any) -> bool:
    if field in ("num_replicas", METADATA):
        return True  # `safety.py` and `_check_shards` report it
    if field == AGE and value:
        return not actual or actual >= value
    return actual == value or not (actual or value)


def _wrong(field: str, actual: Any, value: Any) -> str:
    if field == AGE and value:
        return (
            f"it keeps events for {actual // SECOND} s, and runs are kept for {value // SECOND} s: "
            "`tailrace engine init` changes it"
        )
    return f"{field} is {actual!r} and must be {value!r}"


async def _find(client: Client, name: str) -> dict[str, Any] | None:
    """A stream's configuration."""
    answer = await _info(client, f"STREAM.INFO.{name}", NO_STREAM)
    return None if answer is None else answer["config"]


async def _info(client: Client, method: str, none: int) -> dict[str, Any] | None:
    """An answer; None if the error says that the object does not exist."""
    try:
        return await client.insist(partial(client.ask, method), READY_SECONDS)
    except ApiError as error:
        if error.code == none:
            return None
        raise
