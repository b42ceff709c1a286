"""The configuration's tables as structs: the meaning of each key, and its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from tailrace.auth.limits import GivenLimits
from tailrace.config.workflows import WorkflowConfig
from tailrace.models.bounded import ReplyBounds
from tailrace.protocols.openai_chat.rules import Continues, CustomTools, Developer, MaxTokens
from tailrace.runs.bounded import RunBounds

Dialect = Literal["chat", "responses", "messages", "script", "echo", "replay", "images", "speech"]
UPSTREAM: frozenset[Dialect] = frozenset({"chat", "responses", "messages", "images", "speech"})
PATH = re.compile(r"[\w.]+:[\w.]+")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAMES = "letters, digits, '.', '_' and '-' only, 64 at most, a letter or digit first"
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""A label may become part of a tool's name, and model servers accept no dots there."""


class ConfigPart(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the configuration's tables: unknown keys are faults."""


class ServerConfig(ConfigPart, frozen=True, kw_only=True):
    """`[server]`: its address, its data, its limits. The names of times contain their unit. `run_headers` are
    the headers of a request that its run keeps, for the code of the agent."""

    host: str = "127.0.0.1"
    port: int = 8700
    data: str = "tailrace-data"
    cors_origins: tuple[str, ...] = ()
    allow_private: bool = False
    audit: str = ""
    max_body_bytes: int = 20_000_000
    max_runs: int = 10_000
    heartbeat_seconds: float = 15.0
    write_timeout_seconds: float = 60.0
    shutdown_seconds: float = 10.0
    retention_hours: float = 24.0
    max_run_hours: float = 24.0
    max_attempts: int = 3
    chat_grace_seconds: float = 30.0
    extension_key: str = "x_alien"
    run_headers: tuple[str, ...] = ()
    agent_calls: Literal["mcp_call", "function_call"] = "mcp_call"


class EngineConfig(ConfigPart, frozen=True, kw_only=True):
    """`[engine]`: the storage of runs, if it is not a folder of this machine.

    `url` is one `nats://host:port` or several, separated by commas. `name` distinguishes installations on
    the same servers. `shards` and `replicas` apply when `tailrace engine init` makes the streams. A worker
    that is silent for `lease_seconds` loses its runs to others.
    """

    url: str = ""
    name: str = "tailrace"
    shards: int = 8
    replicas: int = 3
    lease_seconds: float = 5.0


class PriceConfig(ConfigPart, frozen=True, kw_only=True):
    """`price` of a model: the price of a million tokens, in the currency of all prices.

    `cached` and `cache_write` tokens are part of the input; by default they cost what input costs.
    """

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None


class ModelConfig(ConfigPart, frozen=True, kw_only=True):
    """`[models.NAME]`: a model server, or one of the three models without a server. Keys by `dialect`:

    - chat, responses, messages, images, speech: `base_url`, `model`, `api_key_env`, `headers`, timeouts,
      `retries`.
    - chat: the rules in which servers differ (`Rules`), by default those of OpenAI's servers or of others.
    - responses: `encrypted_reasoning`, whether reasoning is requested in the form in which it must be sent
      back; by default if the request asks for reasoning, or the model's name is that of a reasoning model.
    - script: `scenario`. replay: `file` and `of`. script, echo, replay: `interval_ms`, `repeat`.

    `user_max_length` characters of `user` are sent, a digest of longer ones; 0 is no limit.
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
    max_tokens_field: MaxTokens | None = None
    developer_role: Developer | None = None
    system_first: bool | None = None
    custom_tools: CustomTools | None = None
    allowed_tools: bool | None = None
    encrypted_reasoning: bool | None = None
    continue_reply: Continues | None = None
    user_max_length: int | None = None
    scenario: str = ""
    file: str = ""
    of: Literal["", "chat", "responses", "messages"] = ""
    interval_ms: float = 0.0
    repeat: int = 1
    price: PriceConfig | None = None


class McpConfig(ConfigPart, frozen=True, kw_only=True):
    """An entry of an agent's `mcp`: a server at `url`, or one to start as `command` with `args` and `env`.

    `header_env` are headers whose values are in the environment. `headers` may have variables of the run
    (`runtimes/variables.py`); `call_headers` is a function, `module:function`, that makes more headers for
    each call from its `ToolContext`. With `send_caller` the server gets tenant and user of each call. `allow`
    names the tools to use, all when empty; `approval` those that need a person's approval. `timeout` in
    seconds.
    """

    label: str
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    header_env: dict[str, str] = {}
    call_headers: str = ""
    send_caller: bool = False
    allow: tuple[str, ...] = ()
    approval: Literal["always", "never"] | tuple[str, ...] = "always"
    timeout: float = 60.0


class AgentConfig(ConfigPart, frozen=True, kw_only=True):
    """`[agents.NAME]`: a built-in agent over `model`, or with `entry` an agent in Python, `module:object`.

    `id` is a second, numeric name; `tools` are `module:function`.

    `approve` names the tools whose calls wait for a person's approval. `output_schema` is the JSON schema
    that its answers must fit. Its history is compacted at 0.8 of `context_tokens`. The `max_…` limits end a
    run as incomplete; 0 is no limit. `keep_state` of an `entry`: whether a turn of a conversation continues
    with the state that the agent of a framework had at the end of the turn before; by default it does.
    `answer_nodes` of a LangGraph graph are the nodes that speak to the user. `deps`, `context`, `config` and
    `input` of an `entry` are functions, `module:function`, that make what the framework takes from the run's
    request.
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
    max_turns: int | None = None
    keep_state: bool | None = None
    answer_nodes: tuple[str, ...] = ()
    deps: str = ""
    context: str = ""
    config: str = ""
    input: str = ""
    max_tool_calls: int = 0
    max_tokens: int = 0
    max_seconds: float = 0.0
    max_cost: float = 0.0


class JwtConfig(ConfigPart, frozen=True, kw_only=True):
    """`[auth.jwt]`: access tokens of an identity provider. Keys from `jwks_url`, or a secret from the
    environment. With `tenant` all users belong to one; otherwise `tenant_claim` has the tenant. A token
    without `user_claim` is refused, or valid for the whole tenant (`without_user`)."""

    jwks_url: str = ""
    secret_env: str = ""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    tenant: str = ""
    tenant_claim: str = "tenant"
    user_claim: str = "sub"
    without_user: Literal["refuse", "whole_tenant"] = "refuse"
    scope_claim: str = "scope"
    scope_prefix: str = "tailrace:"


class AuthConfig(ConfigPart, frozen=True, kw_only=True):
    """`[auth]`: further credentials besides the tokens of `tailrace token create`."""

    jwt: JwtConfig | None = None


class LimitsConfig(ConfigPart, frozen=True, kw_only=True):
    """`[limits]`: the limits of each token, or user of an identity provider, and of each tenant; the
    maximum size of a model's reply, a run, and the documents that show one."""

    token: GivenLimits = GivenLimits()
    tenant: GivenLimits = GivenLimits()
    reply: ReplyBounds = ReplyBounds()
    run: RunBounds = RunBounds()
    document_bytes: int = 16_777_216


class Config(ConfigPart, frozen=True, kw_only=True):
    """The whole file. `folder` is the folder of the file: relative paths begin there."""

    server: ServerConfig = ServerConfig()
    engine: EngineConfig = EngineConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    models: dict[str, ModelConfig] = {}
    agents: dict[str, AgentConfig] = {}
    workflows: dict[str, WorkflowConfig] = {}
    folder: Path = Path()
