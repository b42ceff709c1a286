"""Settings, parsed once: tailrace.toml to frozen structs, or a line for each fault.

Each fault names the file, the line and, for a misspelt name, the nearest valid one. Nothing is started,
opened or imported here; `assembly/` does that.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import msgspec

from tailrace.auth.limits import GivenLimits
from tailrace.config.checks import check
from tailrace.config.origins import normal
from tailrace.config.reader import ConfigReader, nearest
from tailrace.config.shapes import (
    NAMES,
    PATH,
    SLUG,
    AgentConfig,
    AuthConfig,
    Config,
    EngineConfig,
    JwtConfig,
    LimitsConfig,
    McpConfig,
    ModelConfig,
    ServerConfig,
)
from tailrace.config.workflows import WorkflowConfig
from tailrace.errors import ConfigError
from tailrace.models.bounded import ReplyBounds
from tailrace.runs.bounded import RunBounds

__all__ = [
    "NAMES",
    "PATH",
    "SLUG",
    "AgentConfig",
    "Config",
    "EngineConfig",
    "McpConfig",
    "ModelConfig",
    "ServerConfig",
    "load",
    "nearest",
    "parse",
    "read",
]


INNER = (
    ("auth", "jwt", JwtConfig),
    ("limits", "token", GivenLimits),
    ("limits", "tenant", GivenLimits),
    ("limits", "reply", ReplyBounds),
    ("limits", "run", RunBounds),
)
"""Tables within tables."""


class Read(NamedTuple):
    """The readable part of a configuration; its faults are in `reader.faults`."""

    config: Config
    reader: ConfigReader


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises `ConfigError` with a line for each fault."""
    return _good(read(path))


def parse(text: str, name: str = "tailrace.toml", folder: Path = Path()) -> Config:
    """Check a configuration given as text; `name` is its name in faults. Raises as `load`."""
    return _good(_read(text, name, folder))


def _good(outcome: Read) -> Config:
    if outcome.reader.faults:
        raise ConfigError("\n".join(outcome.reader.faults))
    return outcome.config


def read(path: Path) -> Read:
    """Read a configuration file as far as possible. Raises `ConfigError` if it cannot be read at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    return _read(text, str(path), path.resolve().parent)


def _read(text: str, name: str, folder: Path) -> Read:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at line ")
        line = f":{place.split(',')[0]}" if place else ""
        raise ConfigError(f"{name}{line}: {message}") from None
    reader = ConfigReader(text, name)
    reader.check_keys(tables, [name for name in Config.__struct_fields__ if name != "folder"], "")
    for where, key, kind in INNER:
        reader.check_table_below(tables.get(where), where, key, kind)
    reader.check_tables_inside(tables.get("agents"), "mcp", McpConfig, "agents")
    config = Config(
        server=reader.table(tables.get("server", {}), ServerConfig, "server"),
        engine=reader.table(tables.get("engine", {}), EngineConfig, "engine"),
        auth=reader.table(tables.get("auth", {}), AuthConfig, "auth"),
        limits=reader.table(tables.get("limits", {}), LimitsConfig, "limits"),
        models=reader.tables(tables.get("models", {}), ModelConfig, "models"),
        agents=reader.tables(tables.get("agents", {}), AgentConfig, "agents"),
        workflows=reader.tables(tables.get("workflows", {}), WorkflowConfig, "workflows"),
        folder=folder,
    )
    check(config, reader)
    return Read(_normal(config), reader)


def _normal(config: Config) -> Config:
    """The same table with alternative notations normalised."""
    origins = tuple(map(normal, config.server.cors_origins))
    server = msgspec.structs.replace(config.server, cors_origins=origins)
    return msgspec.structs.replace(config, server=server)
