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
"""Time for which a process waits until the one before it releases its folder, or until its engine answers."""
LOOK_SECONDS = 2.0
"""Time for which a process waits to learn from its engine whether there are tokens, before it listens."""


def check(source: str) -> None:
    """Check a configuration with its files, keys and imports, and warn of what is unsafe. Raises
    `ConfigError` with a line for each fault."""
    file = file_of(source)
    if file is not None:
        _check_file(file)
    app = app_of(source)
    settings = app.config
    _warn(settings)
    agents, models = len(settings.agents) + len(app.names), len(settings.models)
    flows = len(settings.workflows)
    typer.echo(f"{source}: fine ({agents} agents, {models} models, {flows} workflows)")


def _check_file(file: Path) -> None:
    settings, reader = config.read(file)
    for fault in assembly_check.faults(settings, workflows=not reader.faults):
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
    """Serve a configuration file, or the `App` at `module:name`, until a signal. `engine` replaces the
    configured URL. Raises `ConfigError` before anything is started."""
    app = app_of(source)
    if data is not None:
        app.data = data
    if engine:
        table = msgspec.structs.replace(app.config.engine, url=engine)
        app.config = msgspec.structs.replace(app.config, engine=table)
    settings = app.config
    host = host or settings.server.host
    tokens = tokens_of(settings, app.data, wait=HANDOVER_SECONDS)
    open_ = settings.auth.jwt is None and asyncio.run(_has_none(tokens))
    _must_not_be_open(host, open=open_)
    _warn(settings)
    instance = app.instance(open=is_loopback(host), wait=HANDOVER_SECONDS, role=role)
    asgi = application(settings, instance, surfaces=role != "worker")
    _audit(settings)
    listener = listen(host, settings.server.port if port is None else port)
    url = f"http://{address(listener)}"
    word = " (open: there are no tokens, so requests need none)" if open_ else ""
    typer.echo(f"tailrace: serving {url}{word}", err=True)
    for target in instance.service.catalog.targets:
        typer.echo(f"  {target.kind} {target.name}", err=True)
    server.run(server.make(asgi, instance, settings.server.cors_origins), listener)


async def _has_none(tokens: Tokens) -> bool:
    """Whether there are no tokens; False if the engine does not answer in time: each request asks again."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return not await tokens.any()
    except TimeoutError:
        return False


def _audit(settings: config.Config) -> None:
    """Write the audit log to the configured file."""
    if not settings.server.audit:
        return
    try:
        file = AuditFile(settings.folder / settings.server.audit, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"[server] audit: {settings.server.audit}: {error.strerror}") from None
    file.setFormatter(AuditLine("%(message)s"))
    logger = logging.getLogger("tailrace.audit")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(file)


class AuditFile(WatchedFileHandler):
    """A file that only its owner may read. It may be moved away, or be on a full disk: then lines are lost,
    and the server's log says so."""

    def _open(self) -> TextIOWrapper:
        path = Path(self.baseFilename)
        for sentence in private.narrow_file(path):
            logger.warning("%s", sentence)
        return TextIOWrapper(private.append_to(path), encoding=self.encoding, write_through=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the file cannot be opened again
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        reason = error.strerror if isinstance(error, OSError) else error
        logger.error("[server] audit: a line could not be written: %s", reason)


class AuditLine(logging.Formatter):
    """The line with its time, in milliseconds since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        return f'{{"ts":{int(record.created * 1000)},{record.getMessage()[1:]}'


def _warn(settings: config.Config) -> None:
    for warning in warnings(settings):
        typer.echo(f"tailrace: warning: {warning}", err=True)


def _must_not_be_open(host: str, *, open: bool) -> None:
    """Raises `ConfigError` for a server without authentication that other machines can reach."""
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


def address(listener: socket.socket) -> str:
    """The host and port of a listener, as in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
