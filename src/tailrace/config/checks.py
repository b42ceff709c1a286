"""Checks across tables: names that must exist, keys that exclude each other, cycles."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec

from tailrace.auth.principal import CREDENTIALS, fault_of
from tailrace.config import origins
from tailrace.config.reader import ConfigReader, nearest
from tailrace.config.shapes import (
    LABEL,
    PATH,
    UPSTREAM,
    AgentConfig,
    Config,
    EngineConfig,
    JwtConfig,
    LimitsConfig,
    McpConfig,
    ModelConfig,
)
from tailrace.config.workflows import nodes_of
from tailrace.errors import ConfigError
from tailrace.events.types import MAIN
from tailrace.log.stores import registry

KEY_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"})
SECRET_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
"""Algorithms with a pair of keys, and those with one secret: a public key must never count as a secret."""

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
SECRET_HEADERS = frozenset({"cookie", "proxy-authorization", "set-cookie", *CREDENTIALS})

LEAST: dict[str, float] = {
    "port": 0,
    "max_body_bytes": 1,
    "max_runs": 0,
    "heartbeat_seconds": 0.01,
    "write_timeout_seconds": 0.01,
    "shutdown_seconds": 0,
    "retention_hours": 0,
    "max_run_hours": 0.001,
    "max_attempts": 1,
    "chat_grace_seconds": 0,
}


ENDPOINTS = ("/chat/completions", "/responses", "/messages", "/images/generations", "/audio/speech")
CHAT_ONLY = ("max_tokens_field", "developer_role", "system_first", "custom_tools", "allowed_tools")
SHORTEST_USER = 16
"""With fewer characters of a digest, two users could become one."""
INSTALLATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The valid first characters of names of streams and subjects."""
ENGINE: dict[str, tuple[float, float]] = {
    "shards": (1, 256),
    "replicas": (1, 5),
    "lease_seconds": (1, 3600),
}


def check(config: Config, reader: ConfigReader) -> None:
    """The faults that one table alone does not show."""
    for key, least in LEAST.items():
        value = getattr(config.server, key)
        if value < least or (key == "port" and value > 65_535):
            reader.fault(f"[server] {key} cannot be {value}", "server", key)
    _check_origins(config.server.cors_origins, reader)
    _check_run_headers(config.server.run_headers, reader)
    _check_engine(config.engine, reader)
    _check_limits(config.limits, reader)
    if config.auth.jwt is not None:
        _check_jwt(config.auth.jwt, reader)
    for name, model in config.models.items():
        _check_model(f"models.{name}", model, reader)
    numbers: dict[int, str] = {}
    for name, agent in config.agents.items():
        where = f"agents.{name}"
        if name in reader.names["models"]:
            reader.fault(f"{name!r} names an agent and a model; rename one", where)
        _check_maker(where, agent, reader)
        _check_agent(where, agent, config, reader)
        _check_number(where, name, agent.id, numbers, reader)
    _check_circles(config, reader)
    for name, workflow in config.workflows.items():
        where = f"workflows.{name}"
        if name in reader.names["models"] or name in reader.names["agents"]:
            reader.fault(f"{name!r} names something else already; rename one", where)
        _check_number(where, name, workflow.id, numbers, reader)
        at = functools.partial(_workflow_fault, reader, where)
        nodes_of(workflow, at)


def _check_origins(entries: Sequence[str], reader: ConfigReader) -> None:
    for origin in entries:
        if fault := origins.fault(origin):
            message = f"[server] cors_origins: {origin!r} {fault}"
            reader.fault(message, "server", "cors_origins", origin)


def _check_run_headers(names: Sequence[str], reader: ConfigReader) -> None:
    for name in names:
        if fault := _run_header_fault(name):
            message = f"[server] run_headers: {name!r} {fault}"
            reader.fault(message, "server", "run_headers", name)


def _run_header_fault(name: str) -> str:
    """Why a run cannot keep a header: its request is stored, and secrets are not. `""` if it can."""
    if not HEADER.fullmatch(name):
        return "is not the name of a header"
    return "has a secret, which is never stored" if name.lower() in SECRET_HEADERS else ""


def _check_engine(engine: EngineConfig, reader: ConfigReader) -> None:
    if not INSTALLATION.fullmatch(engine.name):
        rule = "letters, digits, _ and -"
        reader.fault(f"[engine] name {engine.name!r} must be {rule}", "engine", "name")
    for key, (least, most) in ENGINE.items():
        value = getattr(engine, key)
        if not least <= value <= most:
            reader.fault(f"[engine] {key} must be {least} to {most}, not {value}", "engine", key)
    if engine.url:
        try:
            registry.check(engine.url)
        except ConfigError as error:
            reader.fault(str(error), "engine", "url")


def _check_limits(limits: LimitsConfig, reader: ConfigReader) -> None:
    for name, table in msgspec.structs.asdict(limits).items():
        if isinstance(table, msgspec.Struct):
            where, values = f"limits.{name}", msgspec.structs.asdict(table)
        else:
            where, values = "limits", {name: table}
        for key, value in values.items():
            if value is not None and value < 0:
                reader.fault(f"[{where}] {key} must not be negative", where, key)


def _check_jwt(jwt: JwtConfig, reader: ConfigReader) -> None:
    if bool(jwt.jwks_url) == bool(jwt.secret_env):
        reader.fault("[auth.jwt] needs jwks_url or secret_env, and not both", "auth.jwt")
    if jwt.jwks_url and urlsplit(jwt.jwks_url).scheme not in ("http", "https"):
        reader.fault("[auth.jwt] jwks_url is no URL", "auth.jwt", "jwks_url")
    for key in ("tenant_claim", "user_claim", "tenant"):
        value = getattr(jwt, key)
        if (fault := fault_of(value)) and (value or key != "tenant"):
            reader.fault(f"[auth.jwt] {key} {fault}", "auth.jwt", key)
    algorithms = SECRET_ALGORITHMS if jwt.secret_env else KEY_ALGORITHMS
    for algorithm in jwt.algorithms:
        if algorithm not in algorithms:
            kinds = ", ".join(sorted(algorithms))
            fault = f"[auth.jwt] algorithm {algorithm!r} does not fit its key; known: {kinds}"
            reader.fault(fault, "auth.jwt", "algorithms")


def _workflow_fault(reader: ConfigReader, where: str, message: str, near: str = "") -> None:
    reader.fault(f"[{where}] {message}", where, "nodes", near)


def _check_number(
    where: str, name: str, number: int | None, numbers: dict[int, str], reader: ConfigReader
) -> None:
    if number is None:
        return
    taken_names = reader.names["agents"] | reader.names["workflows"] - {name}
    if number in numbers or str(number) in taken_names:
        owner = numbers.get(number, f"the name {str(number)!r}")
        reader.fault(f"[{where}] id {number} is taken by {owner}", where, "id")
    numbers.setdefault(number, name)


MAKERS = ("deps", "context", "config", "input")
ENTRY_ONLY = ("keep_state", "answer_nodes", *MAKERS)
"""Keys of an agent with an entry; the others, but those of `BOTH`, are of built-in agents."""
BOTH = ("entry", "id", "description", "max_turns")


def _check_maker(where: str, agent: AgentConfig, reader: ConfigReader) -> None:
    """An agent has either a model, or an entry and no key of built-in agents."""
    if agent.entry:
        _check_entry(where, agent, reader)
    elif agent.model not in reader.names["models"]:
        missing = f"unknown model {agent.model!r}" if agent.model else "needs a model or an entry;"
        hint = nearest(agent.model, reader.names["models"])
        reader.fault(f"[{where}] {missing}{hint}", where, "model")
    for key in ENTRY_ONLY:
        if not agent.entry and getattr(agent, key) != getattr(AgentConfig(), key):
            reader.fault(f"[{where}] {key} is for an agent with an entry", where, key)
    for tool in agent.tools:
        if not PATH.fullmatch(tool):
            reader.fault(f"[{where}] tool {tool!r} must be 'module:function'", where, "tools", tool)


def _check_entry(where: str, agent: AgentConfig, reader: ConfigReader) -> None:
    if not PATH.fullmatch(agent.entry):
        reader.fault(f"[{where}] entry {agent.entry!r} must be 'module:object'", where, "entry")
    for key in agent.__struct_fields__:
        if key in (*BOTH, *ENTRY_ONLY):
            continue
        if getattr(agent, key) != getattr(AgentConfig(), key):
            reader.fault(f"[{where}] an agent with an entry has no {key!r}", where, key)
    for key in MAKERS:
        path = getattr(agent, key)
        if path and not PATH.fullmatch(path):
            reader.fault(f"[{where}] {key} {path!r} must be 'module:function'", where, key)


def _check_agent(where: str, agent: AgentConfig, config: Config, reader: ConfigReader) -> None:
    if agent.max_turns is not None and agent.max_turns < 1:
        reader.fault(f"[{where}] max_turns must be at least 1", where, "max_turns")
    for limit in ("context_tokens", "max_tool_calls", "max_tokens", "max_seconds", "max_cost"):
        if getattr(agent, limit) < 0:
            reader.fault(f"[{where}] {limit} must not be negative", where, limit)
    for below in agent.subagents:
        if below == MAIN:
            message = f"[{where}] an agent named {MAIN!r} cannot be dispatched: so is the main one"
            reader.fault(message, where, "subagents", below)
        if below in config.agents and config.agents[below].entry:
            reader.fault(
                f"[{where}] {below!r} has an entry; only built-in agents can be dispatched",
                where,
                "subagents",
                below,
            )
        if below not in reader.names["agents"]:
            hint = nearest(below, reader.names["agents"])
            reader.fault(f"[{where}] unknown agent {below!r}{hint}", where, "subagents", below)
    _check_mcp(where, agent, reader)


def _check_circles(config: Config, reader: ConfigReader) -> None:
    """No agent may be its own subagent, directly or not; each cycle is reported once."""
    circles: set[frozenset[str]] = set()
    for name in config.agents:
        circle = _circle(name, (), config)
        if circle and frozenset(circle) not in circles:
            circles.add(frozenset(circle))
            where, way = f"agents.{name}", " → ".join(circle)
            reader.fault(f"[{where}] an agent dispatches itself: {way}", where, "subagents")


def _check_mcp(where: str, agent: AgentConfig, reader: ConfigReader) -> None:
    labels = [server.label for server in agent.mcp]
    for server in agent.mcp:
        for fault in _mcp_faults(server):
            reader.fault(f"[{where}] mcp {server.label!r}: {fault}", where, "mcp", server.label)
        if labels.count(server.label) > 1:
            reader.fault(
                f"[{where}] two mcp servers are {server.label!r}", where, "mcp", server.label
            )


def _mcp_faults(server: McpConfig) -> Iterator[str]:
    if not LABEL.fullmatch(server.label):
        yield "a label is up to 32 letters, digits, '_' and '-'"
    if bool(server.url) == bool(server.command):
        yield "it needs 'url' or 'command', one of them"
    if server.url and not _is_http(server.url):
        yield "url is no http or https URL"  # not shown: such URLs contain keys
    strange = ("args", "env") if server.url else ("headers", "header_env")
    for key in strange:
        if getattr(server, key):
            yield f"{key!r} does not go with {'url' if server.url else 'command'!r}"
    if server.timeout <= 0:
        yield "timeout must be more than 0"
    approval_names = () if isinstance(server.approval, str) else server.approval
    for tool in approval_names:
        if server.allow and tool not in server.allow:
            yield f"approval names {tool!r}, which is not in allow{nearest(tool, server.allow)}"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _circle(name: str, above: tuple[str, ...], config: Config) -> tuple[str, ...]:
    """The path from an agent back to itself through `subagents`, or `()`."""
    if name in above:
        return (*above[above.index(name) :], name)
    below = config.agents[name].subagents if name in config.agents else ()
    ways = (_circle(each, (*above, name), config) for each in below)
    return next((way for way in ways if way), ())


def _check_model(where: str, model: ModelConfig, reader: ConfigReader) -> None:
    need: dict[str, str] = {}
    if model.dialect in UPSTREAM:
        need = {"base_url": model.base_url, "model": model.model}
    elif model.dialect == "script":
        need = {"scenario": model.scenario}
    elif model.dialect == "replay":
        need = {"file": model.file, "of": model.of}
    for key, value in need.items():
        if not value:
            reader.fault(f"[{where}] dialect {model.dialect!r} needs {key!r}", where)
    if model.base_url and not _is_http(model.base_url):
        return reader.fault(f"[{where}] base_url is no http or https URL", where, "base_url")
    if (path := urlsplit(model.base_url).path.rstrip("/")).endswith(ENDPOINTS):
        fault = f"base_url ends in an endpoint ({path}): leave that out, it is added"
        reader.fault(f"[{where}] {fault}", where, "base_url")
    _check_differences(where, model, reader)
    if model.repeat < 1 or model.interval_ms < 0 or model.retries < 0:
        reader.fault(
            f"[{where}] repeat must be at least 1; interval_ms and retries not negative", where
        )
    return None


def _check_differences(where: str, model: ModelConfig, reader: ConfigReader) -> None:
    """The keys for differences between servers."""
    for key in CHAT_ONLY:
        if getattr(model, key) is not None and model.dialect != "chat":
            reader.fault(f"[{where}] {key!r} is for dialect 'chat' only", where, key)
    if model.encrypted_reasoning is not None and model.dialect != "responses":
        fault = "'encrypted_reasoning' is for dialect 'responses' only"
        reader.fault(f"[{where}] {fault}", where, "encrypted_reasoning")
    if model.continue_reply and not (
        model.dialect == "chat"
        or (model.dialect == "messages" and model.continue_reply == "prefill")
    ):
        fault = "'continue_reply' is for dialects 'chat' and, as 'prefill', 'messages'"
        reader.fault(f"[{where}] {fault}", where, "continue_reply")
    if model.user_max_length is not None:
        if model.dialect not in ("chat", "responses", "messages"):
            fault = "'user_max_length' is for dialects 'chat', 'responses' and 'messages'"
            reader.fault(f"[{where}] {fault}", where, "user_max_length")
        if model.user_max_length != 0 and not model.user_max_length >= SHORTEST_USER:
            fault = f"user_max_length must be 0 or at least {SHORTEST_USER}"
            reader.fault(f"[{where}] {fault}", where, "user_max_length")
