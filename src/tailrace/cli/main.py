"""The commands and their options; what they do stands in the files beside this one.

Human output goes to a terminal; when piped, commands print plain lines and frames, with `--json` JSON
documents, one a line; what goes wrong is on stderr. A fault of the operator is one message and exit status 2
(of a configuration a line for each); of the server or the run, exit status 1. A run that waits for an answer
which nobody can give here is exit status 3.

Each command imports its own world when it is run: the server's takes longest, and most do without.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.errors import ServerError, Waiting
from tailrace.errors import Malformed, TailraceError
from tailrace.runs.settings import Role

COLLECTIONS = (50_000, 2, 2)
"""Python's default thresholds take a twentieth of a start. Older generations are collected soon: reference
cycles of finished runs would be kept for hours, 50 MB an hour at 8 runs a second (measured).
The objects that a server starts with are frozen."""
DEFAULT_URL = "http://127.0.0.1:8700"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        from tailrace import __version__

        typer.echo(f"tailrace {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run AI agents durably; tail any run over any protocol."""


token = typer.Typer(help="API tokens: who may use this server.", no_args_is_help=True)
app.add_typer(token, name="token")

engine = typer.Typer(help="The engine that many processes share.", no_args_is_help=True)
app.add_typer(engine, name="engine")

CONFIG = "tailrace.toml"
Source = Annotated[
    str, typer.Argument(help="A configuration file, or module:app.", show_default=True)
]
Url = Annotated[str, typer.Option(help="The server to ask.")]
Surface = Annotated[str, typer.Option("--as", help="native, responses, chat …")]
Json = Annotated[bool, typer.Option("--json", help="JSON documents, one a line.")]


@app.command()
def serve(
    source: Source = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that keeps the runs.")] = None,
    engine: Annotated[str, typer.Option(help="nats://… that keeps the runs instead.")] = "",
    role: Annotated[
        Role, typer.Option(help="With an engine: whether this process serves, works, or both.")
    ] = "all",
) -> None:
    """Serve the configured agents and models."""
    from tailrace.cli import serving

    serving.serve(source, host=host, port=port, data=data, engine=engine, role=role)


@engine.command("init")
def engine_init(
    config: Source = CONFIG,
    url: Annotated[str, typer.Option("--engine", help="nats://…, if not as configured.")] = "",
) -> None:
    """Make the streams that are missing, and check all."""
    from tailrace.cli import engines

    asyncio.run(engines.init(engines.engine(config, url)))


@engine.command("check")
def engine_check(
    config: Source = CONFIG,
    url: Annotated[str, typer.Option("--engine", help="nats://…, if not as configured.")] = "",
    monitor: Annotated[
        list[str] | None,
        typer.Option(help="A server's monitoring address, http://host:8222. May be repeated."),
    ] = None,
) -> None:
    """Check that the streams are as they must be, and say what is unsafe."""
    from tailrace.cli import engines

    asyncio.run(engines.check(engines.engine(config, url), monitor or []))


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8700,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first run.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps the runs, also for the next demo.")
    ] = None,
) -> None:
    """Serve scripted agents, show one run live, and print what to try. Needs no key."""
    from tailrace.cli.demo import show

    show.demo(port, once=once, data=data)


@app.command()
def check(
    config: Source = CONFIG,
    folder: Annotated[
        Path | None, typer.Argument(help="With --data: the folder, if not the configured one.")
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Check all that is kept; a server may run meanwhile."),
    ] = False,
) -> None:
    """Check a configuration; with --data, what its server keeps, or what is in a folder."""
    from tailrace.cli import scrubbing, serving

    if data and Path(config).is_dir():  # tailrace check --data FOLDER
        return asyncio.run(scrubbing.check_folder(Path(config)))
    serving.check(config)
    if data:
        asyncio.run(scrubbing.check(config, folder))
    return None


@app.command()
def run(
    agent: Annotated[str, typer.Argument(help="An agent or model of the configuration.")],
    text: Annotated[str, typer.Argument(help="What to say to it.")],
    config: Annotated[str, typer.Option(help="A configuration file, or module:app.")] = CONFIG,
    surface: Surface = "",
    json: Json = False,
) -> None:
    """Run an agent once, here, and show it live. Nothing is kept. What it asks is asked on the terminal;
    without one the command ends with status 3."""
    from tailrace.cli import local

    asyncio.run(local.run(config, agent, text, surface=_surface(surface, json), json=json))


@app.command()
def tail(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Any of the run's ids.")],
    surface: Surface = "",
    after: Annotated[int | None, typer.Option(help="Show what follows this frame.")] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show a run: what was, then what comes, exactly as a client of a surface gets it."""
    from tailrace.cli import client

    asyncio.run(client.tail(url, run_id, surface=_surface(surface, json), after=after, json=json))


@app.command()
def runs(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List the latest runs."""
    from tailrace.cli import client

    asyncio.run(client.runs(url, plain=json or not sys.stdout.isatty()))


@app.command()
def answer(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Any of the run's ids.")],
    text: Annotated[str, typer.Argument(help="yes or no, or what a question asks for.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Answer what a waiting run asks."""
    from tailrace.cli import client

    asyncio.run(client.answer(url, run_id, text))


@app.command()
def cancel(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Any of the run's ids.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Cancel a run."""
    from tailrace.cli import client

    asyncio.run(client.cancel(url, run_id))


SourceOption = Annotated[str, typer.Option("--config", help="A configuration file, or module:app.")]


@token.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="What it is for, in words for people.")],
    config: SourceOption = CONFIG,
    tenant: Annotated[str, typer.Option(help="Whose runs it sees.")] = "local",
    user: Annotated[
        str | None, typer.Option(help="Which user of the tenant; without it, all of them.")
    ] = None,
    scope: Annotated[list[str] | None, typer.Option(help="run, read or admin.")] = None,
    days: Annotated[int, typer.Option(help="How long it is good; 0 for ever.", min=0)] = 0,
    limit: Annotated[
        list[str] | None, typer.Option(help="Its own limit, as requests_per_minute=60.")
    ] = None,
) -> None:
    """Make a token and print it, once. From then on nobody comes in without one."""
    from tailrace.cli import tokens

    asyncio.run(
        tokens.create(
            config,
            name,
            tenant=tenant,
            user=user,
            scopes=scope or [],
            days=days,
            limits=limit or [],
        )
    )


@token.command("list")
def token_list(config: SourceOption = CONFIG) -> None:
    """List tokens: id, state, tenant, user, scopes, made, expires, own limits, name. Never the tokens
    themselves."""
    from tailrace.cli import tokens

    asyncio.run(tokens.show(config))


@token.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id: tok_…")],
    config: SourceOption = CONFIG,
) -> None:
    """Let a token be worth nothing; a running server notices within two seconds."""
    from tailrace.cli import tokens

    asyncio.run(tokens.revoke(config, token_id))


@app.command()
def sweep(
    config: Source = CONFIG,
    data: Annotated[Path | None, typer.Option(help="Folder that keeps the runs.")] = None,
) -> None:
    """Confirm the clock: after it jumped, servers expire nothing for an hour, unless somebody does this."""
    from tailrace.cli import sweep as sweeping

    asyncio.run(sweeping.sweep(config, data))


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    config: SourceOption = CONFIG,
) -> None:
    """Write all runs, conversations and tokens to a file, while no server runs."""
    from tailrace.cli import moving

    asyncio.run(moving.export(config, file))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `tailrace export` wrote.")],
    config: SourceOption = CONFIG,
) -> None:
    """Read such a file into another place, while no server runs there. Nothing is overwritten."""
    from tailrace.cli import moving

    asyncio.run(moving.import_(config, file))


@app.command()
def convert(
    source: Annotated[str, typer.Option("--from", help="What standard input is a stream of.")],
    target: Annotated[str, typer.Option("--to", help="The surface to show it on.")],
) -> None:
    """Turn a recorded stream into another surface's, from standard input to standard output."""
    from tailrace.cli.convert import Converter

    converter = Converter(source, target)
    while data := os.read(sys.stdin.fileno(), 65_536):
        _write(converter.feed(data))
    _write(converter.close())


def _write(frames: Iterable[bytes]) -> None:
    for frame in frames:
        sys.stdout.buffer.write(frame)
    sys.stdout.flush()


def main() -> None:
    """The program's entry point."""
    gc.set_threshold(*COLLECTIONS)
    try:
        app()
    except Malformed as error:
        sys.stdout.flush()  # what came before it has been converted
        typer.echo(f"tailrace: {error}", err=True)
        raise SystemExit(1) from None
    except TailraceError as error:
        for line in str(error).splitlines():
            typer.echo(f"tailrace: {line}", err=True)
        raise SystemExit(2) from None
    except ServerError as error:
        typer.echo(f"tailrace: {error}", err=True)
        raise SystemExit(1) from None
    except Waiting as error:
        typer.echo(f"tailrace: {error}", err=True)
        raise SystemExit(3) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _surface(surface: str, json: bool) -> str:
    """Which frames to print: the surface asked for; native when piped; none (people's view) else."""
    if surface:
        return surface
    return "native" if json or not sys.stdout.isatty() else ""
