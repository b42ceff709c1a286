"""Settings, parsed once: tailrace.toml to frozen structs, or one clear message.

Every fault names the file, the line and, for a misspelt name, the nearest valid one. Nothing is
started, opened or imported here; `assembly.py` does that.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tailrace.auth.limits import GivenLimits
from tailrace.config.checks import check
from tailrace.config.reader import Reader, nearest
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
]


INNER = (
    ("auth", "jwt", JwtConfig),
    ("limits", "token", GivenLimits),
    ("limits", "tenant", GivenLimits),
    ("limits", "reply", ReplyBounds),
    ("limits", "run", RunBounds),
)
"""Tables within tables."""


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises `ConfigError` with one message."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    return parse(text, str(path), path.resolve().parent)


def parse(text: str, name: str = "tailrace.toml", folder: Path = Path()) -> Config:
    """Check a configuration given as text; `name` is what faults call it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    reader = Reader(text, name)
    reader.known(tables, [name for name in Config.__struct_fields__ if name != "folder"], "")
    for where, key, kind in INNER:
        reader.known_below(tables.get(where), where, key, kind)
    reader.known_inside(tables.get("agents"), "mcp", McpConfig, "agents")
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
    return config
