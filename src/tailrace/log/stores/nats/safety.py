"""Finds unsafe settings of a working installation: those that lose events when machines fail.

Faults that prevent it from working are refused elsewhere (`client.py`, `layout.py`). Only the monitoring
ports show how the servers write to disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiohttp
import msgspec

from tailrace.errors import LogError
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import READY_SECONDS, Layout

REPLICAS = 3
MAX_PAYLOAD = 8_388_608
"""Bytes: the largest frame, compressed, with room to spare."""
TESTED_VERSION = (2, 14)
"""The guarantees were measured with 2.15; 2.14 is the oldest line that is still maintained."""
FULL = 0.8
"""Share of the storage in use above which a warning is due."""
MONITOR_SECONDS = 5.0


class _Config(msgspec.Struct):
    sync_always: bool = False
    sync_interval: int = 0
    max_storage: int = 0


class _Stats(msgspec.Struct):
    storage: int = 0


class _JetStream(msgspec.Struct):
    config: _Config | None = None
    stats: _Stats = msgspec.field(default_factory=_Stats)


class _Varz(msgspec.Struct):
    """The fields of `/varz` of a server."""

    server_name: str
    version: str
    max_payload: int
    jetstream: _JetStream


async def unsafe(client: Client, layout: Layout, monitors: Sequence[str] = ()) -> list[str]:
    """A sentence for each unsafe setting; none if all is well.

    `monitors` are the servers' monitoring addresses (`http://host:8222`). Raises `LogError` if the streams
    cannot be read.
    """
    faults = [*_server("the server", ".".join(map(str, client.version)), client.max_payload)]
    for config in layout.streams():
        ask = partial(client.ask, f"STREAM.INFO.{config['name']}")
        faults += _stream(str(config["name"]), await client.insist(ask, READY_SECONDS))
    if not monitors:
        faults.append(
            "whether the servers write to disk before they acknowledge cannot be seen: "
            "name their monitoring addresses (http://host:8222)"
        )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(MONITOR_SECONDS)) as session:
        for sentences in await asyncio.gather(*(_monitor(session, each) for each in monitors)):
            faults += sentences
    return list(dict.fromkeys(faults))


def _server(who: str, version: str, max_payload: int) -> list[str]:
    faults: list[str] = []
    if tuple(map(int, version.split("-")[0].split(".")[:2])) < TESTED_VERSION:
        faults.append(f"{who} is {version}: take {'.'.join(map(str, TESTED_VERSION))} or later")
    if max_payload < MAX_PAYLOAD:
        faults.append(f"{who} has max_payload {max_payload}: large events need {MAX_PAYLOAD}")
    return faults


def _stream(name: str, about: dict[str, Any]) -> list[str]:
    faults: list[str] = []
    copies = about["config"]["num_replicas"]
    if copies < REPLICAS:
        faults.append(
            f"the stream {name} has num_replicas {copies}: with fewer than {REPLICAS}, events are lost "
            "or stand still when one machine fails"
        )
    for replica in about.get("cluster", {}).get("replicas") or ():
        if replica.get("offline"):
            faults.append(
                f"the stream {name} misses its replica on {replica['name']}: it is offline"
            )
        elif not replica.get("current"):
            faults.append(f"the stream {name} is behind on {replica['name']}")
    return faults


async def _monitor(session: aiohttp.ClientSession, address: str) -> list[str]:
    try:
        varz = await _varz(session, address)
    except LogError as error:
        return [str(error)]
    who, config = f"the server {varz.server_name}", varz.jetstream.config
    if config is None:
        why = "it is not configured, or was switched off when the disk was full: make room, and restart it"
        return [f"{who} has no JetStream: {why}"]
    faults = _server(who, varz.version, varz.max_payload)
    if not config.sync_always:
        faults.append(
            f"{who} has sync_interval {config.sync_interval / 1e9:g} s: acknowledged events of that long "
            "are lost when the power fails; set `sync_interval: always`"
        )
    if config.max_storage and varz.jetstream.stats.storage > FULL * config.max_storage:
        share = min(varz.jetstream.stats.storage / config.max_storage, 1)
        faults.append(f"{who} has used {share:.0%} of its storage (`max_file`)")
    return faults


async def _varz(session: aiohttp.ClientSession, address: str) -> _Varz:
    try:
        async with session.get(f"{address.rstrip('/')}/varz") as response:
            return msgspec.json.decode(await response.read(), type=_Varz)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise LogError(f"the monitoring address {address} does not answer: {error!r}") from error
