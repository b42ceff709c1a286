"""From the configuration to its models: each with the codec of its dialect, its key and its price."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from tailrace.assembly.auth import secret
from tailrace.config import Config, ModelConfig
from tailrace.models.bounded import BoundedModel
from tailrace.models.continued import ContinuedModel
from tailrace.models.contract import Model
from tailrace.models.echo import EchoModel
from tailrace.models.priced import Price, PricedModel
from tailrace.models.replay import ReplayModel
from tailrace.models.scenario import load as load_scenario
from tailrace.models.scripted import ScriptedModel
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat import rules
from tailrace.protocols.openai_chat.rules import Rules
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_media.images import ImagesCodec
from tailrace.protocols.openai_media.speech import SpeechCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec

if TYPE_CHECKING:
    from tailrace.models.http import Sessions


OPENAI_USER = 64
"""Characters that OpenAI accepts in a user's id."""


def models(config: Config) -> dict[str, Model]:
    """The configured models. Raises `ConfigError` for a missing file or key."""

    @cache
    def sessions() -> Sessions:
        from tailrace.models.http import Sessions  # its HTTP client is slow to import

        return Sessions(private=config.server.allow_private)

    return {name: _model(name, model, config, sessions) for name, model in config.models.items()}


def _model(
    name: str, config: ModelConfig, whole: Config, sessions: Callable[[], Sessions]
) -> Model:
    server_model = _without_price(name, config, whole, sessions)
    if config.continue_reply:
        server_model = ContinuedModel(server_model)
    model = BoundedModel(server_model, whole.limits.reply)
    if config.price is None:
        return model
    price = config.price
    cache_read = price.input if price.cached is None else price.cached
    cache_write = price.input if price.cache_write is None else price.cache_write
    return PricedModel(model, Price(price.input, cache_read, cache_write, price.output))


def _without_price(
    name: str, config: ModelConfig, whole: Config, sessions: Callable[[], Sessions]
) -> Model:
    match config.dialect:
        case "echo":
            return EchoModel(name, interval_ms=config.interval_ms, repeat=config.repeat)
        case "script":
            scenario = load_scenario(whole.folder / config.scenario)
            return ScriptedModel(
                name, scenario, interval_ms=config.interval_ms, repeat=config.repeat
            )
        case "replay":
            return ReplayModel(
                name,
                codec(config.of, config),
                whole.folder / config.file,
                interval_ms=config.interval_ms,
                repeat=config.repeat,
            )
        case "chat" | "responses" | "messages" | "images" | "speech":
            from tailrace.models.http import HttpModel, ModelServer, Timeouts  # as above

            server = ModelServer(
                base_url=config.base_url,
                model=config.model,
                headers=_headers(name, config),
                timeouts=Timeouts(
                    config.connect_seconds, config.first_byte_seconds, config.idle_seconds
                ),
                retries=config.retries,
                most_bytes=whole.limits.reply.bytes,
                longest_user=longest_user(config),
            )
            return HttpModel(name, codec(config.dialect, config), sessions(), server)


def codec(dialect: str, config: ModelConfig) -> UpstreamCodec:
    """The codec of a dialect, with the settings of a model."""
    match dialect:
        case "chat":
            return ChatCodec(rules_of(config))
        case "responses":
            return ResponsesCodec(thoughts=config.encrypted_reasoning)
        case "images":
            return ImagesCodec()
        case "speech":
            return SpeechCodec()
        case _:
            return MessagesCodec(prefill=config.continue_reply == "prefill")


def rules_of(config: ModelConfig) -> Rules:
    """The rules of a Chat server: those known for its URL, with the configuration's changes."""
    settings = {name: getattr(config, name) for name in Rules.__struct_fields__}
    changes = {name: value for name, value in settings.items() if value is not None}
    return msgspec.structs.replace(rules.of(config.base_url), **changes)


def longest_user(config: ModelConfig) -> int:
    """The number of characters that a server accepts in a user's id; 0 for no limit."""
    if config.user_max_length is not None:
        return config.user_max_length
    return OPENAI_USER if rules.is_openai(config.base_url) else 0


def _headers(name: str, config: ModelConfig) -> dict[str, str]:
    """The configured headers, and the key from the environment in the dialect's own header."""
    if not config.api_key_env:
        return dict(config.headers)
    key = secret(f"[models.{name}]", config.api_key_env)
    if config.dialect == "messages":
        return {"x-api-key": key, **config.headers}
    return {"authorization": f"Bearer {key}", **config.headers}
