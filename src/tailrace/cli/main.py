"""The commands and their options; their code is in the other files of this folder.

A terminal gets output for people; a pipe gets plain lines and frames, with `--json` JSON documents, one a
line; errors go to stderr. Exit status 2: a fault of the operator, with one message (for a configuration one
line for each fault). Status 1: a fault of the server or the run. Status 3: a run waits for an answer, and
there is no terminal.

Each command imports its modules when it runs: those of the server take longest, and most commands do not need
them.
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
cycles of finished runs would stay for hours, 50 MB an hour at 8 runs a second (measured).
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


token = typer.Typer(help="Manage API tokens.", no_args_is_help=True)
app.add_typer(token, name="token")

engine = typer.Typer(help="The engine that the processes of a cluster share.", no_args_is_help=True)
app.add_typer(engine, name="engine")

CONFIG = "tailrace.toml"
Source = Annotated[
    str, typer.Argument(help="A configuration file, or module:app.", show_default=True)
]
Url = Annotated[str, typer.Option(help="The URL of the server.")]
EngineUrl = Annotated[
    str, typer.Option("--engine", help="URL of the engine, instead of the configured one.")
]
Surface = Annotated[str, typer.Option("--as", help="native, responses, chat …")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON documents, one a line.")]


@app.command()
def serve(
    source: Source = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the runs.")] = None,
    engine: Annotated[
        str, typer.Option(help="URL of an engine (nats://…), instead of the folder.")
    ] = "",
    role: Annotated[
        Role,
        typer.Option(
            help="With an engine: api serves requests, worker runs agents, all does both."
        ),
    ] = "all",
) -> None:
    """Serve the configured agents and models."""
    from tailrace.cli import serving

    serving.serve(source, host=host, port=port, data=data, engine=engine, role=role)


@engine.command("init")
def engine_init(
    config: Source = CONFIG,
    url: EngineUrl = "",
) -> None:
    """Create the streams that are missing, and check all."""
    from tailrace.cli import maintenance

    asyncio.run(maintenance.create_engine(maintenance.engine(config, url)))


@engine.command("check")
def engine_check(
    config: Source = CONFIG,
    url: EngineUrl = "",
    monitor: Annotated[
        list[str] | None,
        typer.Option(help="Monitoring URL of a server, http://host:8222. May be repeated."),
    ] = None,
) -> None:
    """Check the settings of the streams, and print what is unsafe."""
    from tailrace.cli import maintenance

    asyncio.run(maintenance.check_engine(maintenance.engine(config, url), monitor or []))


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8700,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first run.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the runs, also for the next demo.")
    ] = None,
) -> None:
    """Serve scripted agents, show one run live, and print commands to try. Needs no key."""
    from tailrace.cli.demo import show

    show.demo(port, once=once, data=data)


@app.command()
def check(
    config: Source = CONFIG,
    folder: Annotated[
        Path | None, typer.Argument(help="With --data: the folder, instead of the configured one.")
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Check all stored data; a server may run meanwhile."),
    ] = False,
) -> None:
    """Check a configuration; with --data, the stored data of its server, or of a folder."""
    from tailrace.cli import maintenance, serving

    if data and Path(config).is_dir():  # tailrace check --data FOLDER
        return asyncio.run(maintenance.check_folder(Path(config)))
    serving.check(config)
    if data:
        asyncio.run(maintenance.check_store(config, folder))
    return None


@app.command()
def run(
    agent: Annotated[str, typer.Argument(help="An agent or model of the configuration.")],
    text: Annotated[str, typer.Argument(help="The message to the agent.")],
    config: Annotated[str, typer.Option(help="A configuration file, or module:app.")] = CONFIG,
    surface: Surface = "",
    json: Json = False,
) -> None:
    """Run an agent once in this process, and show it live. Nothing is stored. Its questions are asked on the
    terminal; without a terminal the command exits with status 3."""
    from tailrace.cli import local

    asyncio.run(local.run(config, agent, text, surface=_surface(surface, json), json=json))


@app.command()
def tail(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Any of the run's ids.")],
    surface: Surface = "",
    after: Annotated[int | None, typer.Option(help="Show the frames after this one.")] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show a run from its beginning and live, exactly as a client of a surface receives it."""
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
    text: Annotated[
        str,
        typer.Argument(
            help="yes, no, no: REASON, edit: ARGUMENTS (JSON), respond: TEXT, or the answer to a question."
        ),
    ],
    url: Url = DEFAULT_URL,
) -> None:
    """Answer the question of a waiting run."""
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
    name: Annotated[str, typer.Argument(help="A description of its purpose.")],
    config: SourceOption = CONFIG,
    tenant: Annotated[str, typer.Option(help="The tenant whose runs it sees.")] = "local",
    user: Annotated[
        str | None, typer.Option(help="The user of the tenant; without it, all users.")
    ] = None,
    scope: Annotated[list[str] | None, typer.Option(help="run, read or admin.")] = None,
    days: Annotated[int, typer.Option(help="Days until it expires; 0 for no expiry.", min=0)] = 0,
    limit: Annotated[
        list[str] | None, typer.Option(help="A limit of this token, as requests_per_minute=60.")
    ] = None,
) -> None:
    """Create a token and print it, once. From the first token on every request needs one."""
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
    """List tokens: id, state, tenant, user, scopes, created, expires, limits, name. The secrets are never
    printed."""
    from tailrace.cli import tokens

    asyncio.run(tokens.show(config))


@token.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id: tok_…")],
    config: SourceOption = CONFIG,
) -> None:
    """Revoke a token; a running server notices within two seconds."""
    from tailrace.cli import tokens

    asyncio.run(tokens.revoke(config, token_id))


@app.command()
def sweep(
    config: Source = CONFIG,
    data: Annotated[Path | None, typer.Option(help="Folder of the runs.")] = None,
) -> None:
    """Confirm the clock. After the clock jumped, servers expire no runs for an hour; this command ends
    that."""
    from tailrace.cli import maintenance

    asyncio.run(maintenance.sweep(config, data))


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
    file: Annotated[Path, typer.Argument(help="A file that `tailrace export` wrote.")],
    config: SourceOption = CONFIG,
) -> None:
    """Read a file of `tailrace export` into the configured store, while no server runs. Nothing is
    overwritten."""
    from tailrace.cli import moving

    asyncio.run(moving.import_(config, file))


@app.command()
def convert(
    source: Annotated[
        str, typer.Option("--from", help="The surface of the stream on standard input.")
    ],
    target: Annotated[str, typer.Option("--to", help="The surface of the output.")],
) -> None:
    """Convert a recorded stream to another surface, from standard input to standard output."""
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
        sys.stdout.flush()  # the frames before it are valid
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
    """The surface of the output: the option, else native for a pipe, else `""`, the view for people."""
    if surface:
        return surface
    return "native" if json or not sys.stdout.isatty() else ""
