"""Commands that are the server: serve, check."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

import msgspec
import typer

from tailrace import config
from tailrace.assembly import check as assembly_check
from tailrace.assembly.instance import application
from tailrace.auth.tokens import Tokens
from tailrace.cli.sources import app_of, file_of
from tailrace.cli.tokens import tokens_of
from tailrace.config.safety import is_loopback, warnings
from tailrace.errors import ConfigError
from tailrace.http import server
from tailrace.log import private
from tailrace.runs.settings import Role

logger = logging.getLogger("tailrace.cli")

HANDOVER_SECONDS = 60.0
"""How long a process waits for the one before it to let go of its folder, or for its engine to answer."""
LOOK_SECONDS = 2.0
"""How long an engine may take to say whether there are tokens, before the process listens without knowing."""


def check(source: str) -> None:
    """Check a configuration down to its files, keys and imports, and warn of what is allowed but unsafe.
    Raises `ConfigError` with a line for each fault."""
    file = file_of(source)
    if file is not None:
        _whole(file)
    made = app_of(source)
    found = made.config
    _warn(found)
    agents, models = len(found.agents) + len(made.names), len(found.models)
    flows = len(found.workflows)
    typer.echo(f"{source}: fine ({agents} agents, {models} models, {flows} workflows)")


def _whole(file: Path) -> None:
    found, reader = config.read(file)
    for fault in assembly_check.faults(found, workflows=not reader.faults):
        reader.fault(fault.message, fault.table, fault.key, fault.near)
    if reader.faults:
        raise ConfigError("\n".join(reader.faults))


def serve(
    source: str,
    *,
    host: str | None,
    port: int | None,
    data: Path | None,
    engine: str = "",
    role: Role = "all",
) -> None:
    """Serve a configuration file, or the `App` at `module:name`, until stopped. `engine` is an address to be
    used in place of the configured one.

    Raises `ConfigError` before anything was started.
    """
    made = app_of(source)
    if data is not None:
        made.data = data
    if engine:
        table = msgspec.structs.replace(made.config.engine, url=engine)
        made.config = msgspec.structs.replace(made.config, engine=table)
    found = made.config
    host = host or found.server.host
    tokens = tokens_of(found, made.data, wait=HANDOVER_SECONDS)
    open_ = found.auth.jwt is None and asyncio.run(_none(tokens))
    _must_not_be_open(host, open=open_)
    _warn(found)
    instance = made.instance(open=is_loopback(host), wait=HANDOVER_SECONDS, role=role)
    app = application(found, instance, surfaces=role != "worker")
    _audit(found)
    listener = listen(host, found.server.port if port is None else port)
    address = f"http://{shown(listener)}"
    word = " (open: there are no tokens, so nobody needs one)" if open_ else ""
    typer.echo(f"tailrace: serving {address}{word}", err=True)
    for target in instance.service.catalog.targets:
        typer.echo(f"  {target.kind} {target.name}", err=True)
    server.run(server.make(app, instance, found.server.cors_origins), listener)


async def _none(tokens: Tokens) -> bool:
    """Whether there are no tokens; no, while the engine does not say: the gate asks with each request."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return not await tokens.any()
    except TimeoutError:
        return False


def _audit(found: config.Config) -> None:
    """Write who does what to the configured file."""
    if not found.server.audit:
        return
    try:
        file = AuditFile(found.folder / found.server.audit, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"[server] audit: {found.server.audit}: {error.strerror}") from None
    file.setFormatter(AuditLine("%(message)s"))
    logger = logging.getLogger("tailrace.audit")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(file)


class AuditFile(WatchedFileHandler):
    """A file for its owner's eyes. It may be moved away, or be on a full disk: then lines are lost, which is
    said."""

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        for sentence in private.narrow_file(path):
            logger.warning("%s", sentence)
        return TextIOWrapper(private.append_to(path), encoding=self.encoding, write_through=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # where the file cannot be opened again
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        reason = error.strerror if isinstance(error, OSError) else error
        logger.error("[server] audit: a line could not be written: %s", reason)


class AuditLine(logging.Formatter):
    """The line with its time, in milliseconds since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        return f'{{"ts":{int(record.created * 1000)},{record.getMessage()[1:]}'


def _warn(found: config.Config) -> None:
    for warning in warnings(found):
        typer.echo(f"tailrace: warning: {warning}", err=True)


def _must_not_be_open(host: str, *, open: bool) -> None:
    """Whoever reaches an open server may do everything, so nobody from elsewhere must reach it."""
    if open and not is_loopback(host):
        raise ConfigError(
            f"{host} is reachable from other machines without a key: create a token "
            "(tailrace token create NAME), configure [auth.jwt], or listen on 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ConfigError`."""
    try:
        return server.listen(host, port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def shown(listener: socket.socket) -> str:
    """Where it listens, as in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
