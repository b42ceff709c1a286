"""Settings, parsed once: tailrace.toml to frozen structs, or one clear message.

Every fault names the file, the line and, for a misspelt name, the nearest valid one. Nothing is
started, opened or imported here; `assembly.py` does that.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tailrace.errors import ConfigError

Dialect = Literal["chat", "responses", "messages", "script", "echo", "replay"]
UPSTREAM: frozenset[Dialect] = frozenset({"chat", "responses", "messages"})
PATH = re.compile(r"[\w.]+:[\w.]+")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""A label can become part of a tool's name, and model servers take no dots there."""


class ConfigPart(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the configuration's tables: unknown keys are faults."""


class ServerConfig(ConfigPart, frozen=True, kw_only=True):
    """`[server]`: where it listens, what it keeps, what it bears. Times as their names say."""

    host: str = "127.0.0.1"
    port: int = 8700
    data: str = "tailrace-data"
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 20_000_000
    heartbeat_seconds: float = 15.0
    write_timeout_seconds: float = 60.0
    shutdown_seconds: float = 10.0
    retention_hours: float = 24.0
    max_run_hours: float = 24.0
    chat_grace_seconds: float = 30.0
    extension_key: str = "x_alien"


class PriceConfig(ConfigPart, frozen=True, kw_only=True):
    """`price` of a model: what a million tokens cost, in whatever currency all prices are in.

    `cached` and `cache_write` tokens are part of the input; left out, they cost what input costs.
    """

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None


class ModelConfig(ConfigPart, frozen=True, kw_only=True):
    """`[models.NAME]`: a model server, or one of the three models that need none.

    chat, responses, messages: `base_url`, `model`, `api_key_env`, `headers`, timeouts, `retries`.
    script: `scenario`. replay: `file` and `of`. script, echo, replay: `interval_ms`, `repeat`.
    """

    dialect: Dialect
    base_url: str = ""
    model: str = ""
    api_key_env: str = ""
    headers: dict[str, str] = {}
    connect_seconds: float = 10.0
    first_byte_seconds: float = 120.0
    idle_seconds: float = 120.0
    retries: int = 2
    scenario: str = ""
    file: str = ""
    of: Literal["", "chat", "responses", "messages"] = ""
    interval_ms: float = 0.0
    repeat: int = 1
    price: PriceConfig | None = None


class McpConfig(ConfigPart, frozen=True, kw_only=True):
    """An entry of an agent's `mcp`: a server at `url`, or one to start as `command` with `args` and `env`.

    `header_env` are headers whose values are in the environment. `allow` names the tools to use, all when
    empty; `approval` those that wait for a person's yes. `timeout` in seconds.
    """

    label: str
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    header_env: dict[str, str] = {}
    allow: tuple[str, ...] = ()
    approval: Literal["always", "never"] | tuple[str, ...] = "always"
    timeout: float = 60.0


class AgentConfig(ConfigPart, frozen=True, kw_only=True):
    """`[agents.NAME]`: a built-in agent over `model`, or with `entry` somebody's own, `module:object`.

    `id` is a second, numeric name; `tools` are `module:function`.

    `approve` names the tools that wait for a person's yes. `output_schema` is the JSON schema that its
    answers must fit. At 0.8 of `context_tokens` its history is shortened. The `max_…` limits end a run
    as incomplete; 0 is no limit.
    """

    model: str = ""
    entry: str = ""
    id: int | None = None
    description: str = ""
    instructions: str = ""
    tools: tuple[str, ...] = ()
    approve: tuple[str, ...] = ()
    mcp: tuple[McpConfig, ...] = ()
    subagents: tuple[str, ...] = ()
    ask_user: bool = False
    output_schema: dict[str, Any] = {}
    context_tokens: int = 0
    max_turns: int = 32
    max_tool_calls: int = 0
    max_tokens: int = 0
    max_seconds: float = 0.0
    max_cost: float = 0.0


class Config(ConfigPart, frozen=True, kw_only=True):
    """The whole file. `folder` is where it lies: relative paths in it start there."""

    server: ServerConfig = ServerConfig()
    models: dict[str, ModelConfig] = {}
    agents: dict[str, AgentConfig] = {}
    folder: Path = Path()


Part = TypeVar("Part", bound=ConfigPart)


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
    reader = _Reader(text, name)
    reader.known(tables, ("server", "models", "agents"), "")
    reader.known_inside(tables.get("agents"), "mcp", McpConfig, "agents")
    config = Config(
        server=reader.table(tables.get("server", {}), ServerConfig, "server"),
        models=reader.tables(tables.get("models", {}), ModelConfig, "models"),
        agents=reader.tables(tables.get("agents", {}), AgentConfig, "agents"),
        folder=folder,
    )
    _check(config, reader)
    return config


class _Reader:
    """Turns tables into structs and knows where in the text a fault lies."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = text.splitlines()
        self._name = name

    def fault(self, message: str, table: str = "", key: str = "") -> ConfigError:
        line = self._line(table, key)
        place = f"{self._name}:{line}" if line else self._name
        return ConfigError(f"{place}: {message}")

    def known(self, table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
        for key in table:
            if key not in names:
                inside = f" in [{where}]" if where else ""
                raise self.fault(f"unknown key {key!r}{inside}{nearest(key, names)}", where, key)

    def known_inside(self, value: Any, key: str, kind: type[ConfigPart], where: str) -> None:
        """The same for the tables listed under `key` of each table."""
        tables = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        for name, table in tables.items():
            listed = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else None
            for entry in cast("list[Any]", listed) if isinstance(listed, list) else []:
                if isinstance(entry, dict):
                    names = kind.__struct_fields__
                    self.known(cast("dict[str, Any]", entry), names, f"{where}.{name}")

    def tables(self, value: Any, kind: type[Part], where: str) -> dict[str, Part]:
        if not isinstance(value, dict):
            raise self.fault(f"{where} must be a table of tables", key=where)
        tables = cast("dict[str, Any]", value)
        for name in tables:
            if not SLUG.fullmatch(name):
                raise self.fault(
                    f"{name!r} is no usable name: letters, digits, '.', '_' and '-' only",
                    f"{where}.{name}",
                )
        return {name: self.table(table, kind, f"{where}.{name}") for name, table in tables.items()}

    def table(self, value: Any, kind: type[Part], where: str) -> Part:
        if not isinstance(value, dict):
            raise self.fault(f"[{where}] must be a table", key=where)
        keys = cast("dict[str, Any]", value)
        self.known(keys, kind.__struct_fields__, where)
        try:
            return msgspec.convert(keys, kind)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$.")
            key = path.rstrip("`")
            if key == "dialect":
                message += nearest(str(keys["dialect"]), get_args(Dialect))
            detail = f"{key}: {message}" if key else message
            raise self.fault(f"[{where}] {detail}", where, re.split(r"[.\[]", key)[0]) from None

    def _line(self, table: str, key: str) -> int:
        """The line a key stands on: the first `key =` after its table's header."""
        start = 0
        if table:
            header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]")
            start = next((n for n, line in enumerate(self._lines) if header.match(line)), -1)
            if start < 0:
                return 0
            if not key:
                return start + 1
        wanted = re.compile(rf"\s*\[?\s*['\"]?{re.escape(key)}['\"]?\s*[=.\]]")
        return next(
            (n + 1 for n in range(start, len(self._lines)) if wanted.match(self._lines[n])),
            start + 1 if table else 0,
        )


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint to append: the nearest valid name, or all of them when none is near."""
    valid = list(names)
    close = get_close_matches(name, valid, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(valid))}" if valid else ""


def _check(config: Config, reader: _Reader) -> None:
    """What one table alone cannot tell."""
    for name, model in config.models.items():
        _check_model(f"models.{name}", model, reader)
    numbers: dict[int, str] = {}
    for name, agent in config.agents.items():
        where = f"agents.{name}"
        if name in config.models:
            raise reader.fault(f"{name!r} names an agent and a model; rename one", where)
        _check_maker(where, agent, config, reader)
        _check_agent(where, name, agent, config, reader)
        if agent.id is not None and agent.id in numbers:
            raise reader.fault(
                f"[{where}] id {agent.id} is taken by {numbers[agent.id]}", where, "id"
            )
        if agent.id is not None:
            numbers[agent.id] = name


def _check_maker(where: str, agent: AgentConfig, config: Config, reader: _Reader) -> None:
    """Either a model, or an entry and nothing that only a built-in agent has."""
    if agent.entry:
        if not PATH.fullmatch(agent.entry):
            raise reader.fault(
                f"[{where}] entry {agent.entry!r} must be 'module:object'", where, "entry"
            )
        plain = AgentConfig(entry=agent.entry, id=agent.id, description=agent.description)
        for field in agent.__struct_fields__:
            if getattr(agent, field) != getattr(plain, field):
                raise reader.fault(
                    f"[{where}] an agent with an entry has no {field!r}", where, field
                )
    elif agent.model not in config.models:
        missing = f"unknown model {agent.model!r}" if agent.model else "needs a model or an entry;"
        hint = nearest(agent.model, config.models)
        raise reader.fault(f"[{where}] {missing}{hint}", where, "model")
    for tool in agent.tools:
        if not PATH.fullmatch(tool):
            raise reader.fault(f"[{where}] tool {tool!r} must be 'module:function'", where, "tools")


def _check_agent(
    where: str, name: str, agent: AgentConfig, config: Config, reader: _Reader
) -> None:
    if agent.max_turns < 1:
        raise reader.fault(f"[{where}] max_turns must be at least 1", where, "max_turns")
    for limit in ("context_tokens", "max_tool_calls", "max_tokens", "max_seconds", "max_cost"):
        if getattr(agent, limit) < 0:
            raise reader.fault(f"[{where}] {limit} must not be negative", where, limit)
    for below in agent.subagents:
        if below in config.agents and config.agents[below].entry:
            raise reader.fault(
                f"[{where}] {below!r} has an entry; only built-in agents can be dispatched",
                where,
                "subagents",
            )
        if below not in config.agents:
            hint = nearest(below, config.agents)
            raise reader.fault(f"[{where}] unknown agent {below!r}{hint}", where, "subagents")
    _check_mcp(where, agent, reader)
    if circle := _circle(name, (), config):
        way = " → ".join(circle)
        raise reader.fault(f"[{where}] an agent dispatches itself: {way}", where, "subagents")


def _check_mcp(where: str, agent: AgentConfig, reader: _Reader) -> None:
    labels = [server.label for server in agent.mcp]
    for server in agent.mcp:
        for fault in _mcp_faults(server):
            raise reader.fault(f"[{where}] mcp {server.label!r}: {fault}", where, "mcp")
        if labels.count(server.label) > 1:
            raise reader.fault(f"[{where}] two mcp servers are {server.label!r}", where, "mcp")


def _mcp_faults(server: McpConfig) -> Iterator[str]:
    if not LABEL.fullmatch(server.label):
        yield "a label is up to 32 letters, digits, '_' and '-'"
    if bool(server.url) == bool(server.command):
        yield "it needs 'url' or 'command', one of them"
    if server.url and not _is_http(server.url):
        yield "url is no http or https URL"  # not shown: there are keys in such URLs
    strange = ("args", "env") if server.url else ("headers", "header_env")
    for key in strange:
        if getattr(server, key):
            yield f"{key!r} does not go with {'url' if server.url else 'command'!r}"
    if server.timeout <= 0:
        yield "timeout must be more than 0"
    named = () if isinstance(server.approval, str) else server.approval
    for tool in named:
        if server.allow and tool not in server.allow:
            yield f"approval names {tool!r}, which is not in allow{nearest(tool, server.allow)}"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _circle(name: str, above: tuple[str, ...], config: Config) -> tuple[str, ...]:
    """The way from an agent back to itself through `subagents`, or `()`."""
    if name in above:
        return (*above[above.index(name) :], name)
    below = config.agents[name].subagents if name in config.agents else ()
    ways = (_circle(each, (*above, name), config) for each in below)
    return next((way for way in ways if way), ())


def _check_model(where: str, model: ModelConfig, reader: _Reader) -> None:
    need: dict[str, str] = {}
    if model.dialect in UPSTREAM:
        need = {"base_url": model.base_url, "model": model.model}
    elif model.dialect == "script":
        need = {"scenario": model.scenario}
    elif model.dialect == "replay":
        need = {"file": model.file, "of": model.of}
    for key, value in need.items():
        if not value:
            raise reader.fault(f"[{where}] dialect {model.dialect!r} needs {key!r}", where)
    if model.base_url and not _is_http(model.base_url):
        raise reader.fault(
            f"[{where}] base_url {model.base_url!r} is no http or https URL", where, "base_url"
        )
    if model.repeat < 1 or model.interval_ms < 0 or model.retries < 0:
        raise reader.fault(
            f"[{where}] repeat must be at least 1; interval_ms and retries not negative", where
        )
