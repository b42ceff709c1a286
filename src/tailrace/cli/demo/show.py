"""`tailrace demo`: a server of scripted agents, and one run of them as a client sees it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from importlib.resources import as_file, files
from pathlib import Path

import typer

from tailrace import config
from tailrace.assembly import stores
from tailrace.assembly.instance import application, assemble
from tailrace.cli import asking, client
from tailrace.cli.errors import ServerError
from tailrace.cli.serving import address, listen
from tailrace.errors import ConfigError
from tailrace.events.types import RunWaiting
from tailrace.http import server
from tailrace.protocols.node_stream.stream import NodeStreamEvent

AGENT = "trip"
TEXT = "Plan me a weekend away."


def demo(port: int, *, once: bool, data: Path | None) -> None:
    """Serve the demo agents over the folder `data`, show one run, and print commands to try. Raises
    `ConfigError`."""
    folder = data or state_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with as_file(files("tailrace.cli.demo")) as place:
        settings = config.load(place / "demo.toml")
        instance = assemble(settings, stores.engine(settings, folder).store)
        app = application(settings, instance)
        try:
            listener = listen("127.0.0.1", port)
        except ConfigError:
            listener = listen("127.0.0.1", 0)
        running = server.make(app, instance, settings.server.cors_origins)
        thread_args = (f"http://{address(listener)}", folder, running, once)
        threading.Thread(target=_show_demo, args=thread_args, daemon=True).start()
        server.run(running, listener)


def state_folder() -> Path:
    """The folder for a program's own state (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "tailrace-demo"


def _show_demo(url: str, folder: Path, running: server.Server, once: bool) -> None:  # noqa: FBT001 - a thread's argument
    """Start a run as any client would, and show it; then print commands to try."""
    try:
        asyncio.run(_demo_run(url))
    except ServerError as error:
        typer.echo(f"tailrace: {error}", err=True)
    if once:
        running.should_exit = True
        return
    typer.echo(
        f"""
Still serving {url}; the runs are kept in {folder}. Try, in another terminal:

  curl -N {url}/v1/responses -H 'content-type: application/json' \\
    -d '{{"model": "{AGENT}", "input": "{TEXT}", "stream": true}}'
  {sys.argv[0]} runs --url {url}
  {sys.argv[0]} answer RUN yes --url {url}      # it waits for you before it books, also over a restart
  {sys.argv[0]} tail RUN --as responses --after 20 --url {url}

Or point any OpenAI client at {url}/v1 (models: trip, weather, echo). Ctrl-C stops.
"""
    )


async def _demo_run(url: str) -> None:
    typer.echo(f"POST {url}/jobs for agent '{AGENT}': {TEXT}\n")
    job = await client.start(url, AGENT, TEXT)

    async def answer(event: NodeStreamEvent) -> None:
        """Ask the person at the terminal; without a terminal the demo answers yes."""
        if not isinstance(event.payload, RunWaiting):
            return
        if asking.can_ask():
            await client.answer_all(url, job, asking.ask)
        else:
            typer.echo(f"\n$ tailrace answer {job} yes\n")
            await client.answer(url, job, "yes")

    await client.tail(url, job, surface="", after=None, on_event=answer)
