"""Commands that are the server: serve, demo, check."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import tempfile
import threading
from importlib.resources import as_file, files
from logging.handlers import WatchedFileHandler
from pathlib import Path

import msgspec
import typer

from tailrace import assembly, assembly_stores, config
from tailrace.app import App
from tailrace.assembly_stores import Role
from tailrace.cli import client
from tailrace.cli.tokens import tokens_of
from tailrace.config.safety import is_loopback, warnings
from tailrace.errors import ConfigError
from tailrace.events.types import RunWaiting
from tailrace.http import server
from tailrace.protocols.node_stream.wire import NodeStreamEvent

HANDOVER_SECONDS = 60.0
"""How long a process waits for the one before it to let go of its folder, or for its engine to answer."""
DEMO_AGENT = "trip"
DEMO_TEXT = "Plan me a weekend away."


def check(file: Path) -> None:
    """Check a configuration down to its files, keys and imports, and warn of what is allowed but unsafe.
    Raises `ConfigError`."""
    found = config.load(file)
    assembly.runtimes(found, assembly.models(found), assembly.mcp_servers(found))
    _warn(found)
    agents, models = len(found.agents), len(found.models)
    typer.echo(f"{file}: fine ({agents} agents, {models} models)")


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
    made = _app(source)
    if data is not None:
        made.data = data
    if engine:
        table = msgspec.structs.replace(made.config.engine, url=engine)
        made.config = msgspec.structs.replace(made.config, engine=table)
    found = made.config
    host = host or found.server.host
    tokens = tokens_of(found, made.data, wait=HANDOVER_SECONDS)
    open_ = found.auth.jwt is None and not asyncio.run(tokens.any())
    _must_not_be_open(host, open=open_)
    _warn(found)
    parts = made.parts(open=is_loopback(host), wait=HANDOVER_SECONDS, role=role)
    app = assembly.application(found, parts, surfaces=role != "worker")
    _audit(found)
    listener = _listen(host, found.server.port if port is None else port)
    address = f"http://{_shown(listener)}"
    word = " (open: there are no tokens, so nobody needs one)" if open_ else ""
    typer.echo(f"tailrace: serving {address}{word}", err=True)
    for target in parts.catalog.targets:
        typer.echo(f"  {target.kind} {target.name}", err=True)
    server.run(server.make(app, parts), listener)


def _audit(found: config.Config) -> None:
    """Write who does what to the configured file."""
    if not found.server.audit:
        return
    try:
        file = WatchedFileHandler(found.folder / found.server.audit, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"[server] audit: {found.server.audit}: {error.strerror}") from None
    file.setFormatter(AuditLine("%(message)s"))
    logger = logging.getLogger("tailrace.audit")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(file)


class AuditLine(logging.Formatter):
    """The line with its time, in milliseconds since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        return f'{{"ts":{int(record.created * 1000)},{record.getMessage()[1:]}'


def _warn(found: config.Config) -> None:
    for warning in warnings(found):
        typer.echo(f"tailrace: warning: {warning}", err=True)


def _app(source: str) -> App:
    if not config.PATH.fullmatch(source) or Path(source).exists():
        return App(source)
    assembly.import_from(Path())
    found = assembly.imported(source, source)
    if not isinstance(found, App):
        raise ConfigError(f"{source}: a {type(found).__name__} is no tailrace.App")
    return found


def demo(port: int, *, once: bool) -> None:
    """Serve the demo agents from a fresh folder, show a run, and say what to try."""
    with (
        tempfile.TemporaryDirectory(prefix="tailrace-demo-") as data,
        as_file(files("tailrace.cli.demo")) as folder,
    ):
        found = config.load(folder / "demo.toml")
        parts = assembly.parts(found, assembly_stores.engine(found, Path(data)).store)
        app = assembly.application(found, parts)
        try:
            listener = _listen("127.0.0.1", port)
        except ConfigError:
            listener = _listen("127.0.0.1", 0)
        running = server.make(app, parts)
        show = threading.Thread(
            target=_show_demo, args=(f"http://{_shown(listener)}", running, once), daemon=True
        )
        show.start()
        server.run(running, listener)


def _show_demo(url: str, running: server.Server, once: bool) -> None:  # noqa: FBT001 - a thread's argument
    """Start a run as any client would, and show it; then say what to try."""
    try:
        asyncio.run(_demo_run(url))
    except client.ServerError as error:
        typer.echo(f"tailrace: {error}", err=True)
    if once:
        running.should_exit = True
        return
    typer.echo(
        f"""
Still serving {url}. Try, in another terminal:

  curl -N {url}/v1/responses -H 'content-type: application/json' \\
    -d '{{"model": "{DEMO_AGENT}", "input": "{DEMO_TEXT}", "stream": true}}'
  {sys.argv[0]} runs --url {url}
  {sys.argv[0]} answer RUN yes --url {url}      # it waits for you before it books, also over a restart
  {sys.argv[0]} tail RUN --as responses --after 20 --url {url}

Or point any OpenAI client at {url}/v1 (models: trip, weather, echo). Ctrl-C stops.
"""
    )


async def _demo_run(url: str) -> None:
    typer.echo(f"POST {url}/jobs for agent '{DEMO_AGENT}': {DEMO_TEXT}\n")
    job = await client.start(url, DEMO_AGENT, DEMO_TEXT)

    async def say_yes(event: NodeStreamEvent) -> None:
        """The demo answers itself, as a person would."""
        if isinstance(event.payload, RunWaiting):
            typer.echo(f"\n$ tailrace answer {job} yes\n")
            await client.answer(url, job, "yes")

    await client.tail(url, job, surface="", after=None, seen=say_yes)


def _must_not_be_open(host: str, *, open: bool) -> None:
    """Whoever reaches an open server may do everything, so nobody from elsewhere must reach it."""
    if open and not is_loopback(host):
        raise ConfigError(
            f"{host} is reachable from elsewhere, and nobody needs a key: make a token "
            "(tailrace token create NAME), configure [auth.jwt], or listen on 127.0.0.1"
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return server.listen(host, port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
