"""Determines the framework of an agent object by its type, without importing any framework."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import cast

from tailrace.errors import ConfigError
from tailrace.runtimes.adapters.generator.runtime import Function, GeneratorRuntime, fault_of
from tailrace.runtimes.contract import Runtime

FRAMEWORKS = {
    # the package a type of whose family it is: the adapter, its class, the extra that installs it
    "pydantic_ai": ("pydantic_ai", "PydanticAIRuntime", "pydantic-ai"),
    "langgraph": ("langgraph", "LangGraphRuntime", "langgraph"),
    "agents": ("openai_agents", "OpenAIAgentsRuntime", "openai-agents"),
}
AGENT_KINDS = (
    "an async generator function, a Pydantic AI agent, a LangGraph graph, "
    "an OpenAI Agents SDK agent"
)

Build = Callable[..., Runtime]


OPTIONS = {
    # an option of the configuration: the error for an agent whose adapter does not have it
    "max_turns": "it has no max_turns; limit it in its own code",
    "answer_nodes": "it has no answer_nodes: only a LangGraph graph has nodes",
    "config": "it has no config: only a LangGraph graph has one",
    "context": "it has no context: a LangGraph graph and an agent of the OpenAI Agents SDK have one",
    "deps": "it has no deps: only a Pydantic AI agent has them",
    "input": "it has no input: only a LangGraph graph has one",
    "keep_state": "it has no keep_state: it keeps nothing between turns but the conversation",
}


def runtime_for(thing: object, name: str, **options: object) -> Runtime:
    """The runtime for a user's agent, with those of `OPTIONS` that are not None. Raises `ConfigError` for any
    other object, and for an option that its adapter does not have."""
    options = {option: value for option, value in options.items() if value is not None}
    for kind in type(thing).__mro__:
        package = kind.__module__.partition(".")[0]
        if package in FRAMEWORKS:
            adapter = _adapter(*FRAMEWORKS[package])
            for option in options.keys() - inspect.signature(adapter).parameters.keys():
                raise ConfigError(OPTIONS[option])
            return adapter(thing, name, **options)
    if makes_graph(thing):
        return _adapter(*FRAMEWORKS["langgraph"])(thing, name, **options)
    for option in options:
        raise ConfigError(OPTIONS[option])
    if isinstance(thing, Runtime) and not inspect.isclass(thing):
        return thing
    wrong = fault_of(thing)
    if not wrong:
        return GeneratorRuntime(name, cast("Function", thing))
    kind_name = f"{type(thing).__module__}.{type(thing).__qualname__}"
    why = f": {wrong}" if inspect.isroutine(thing) else ""
    raise ConfigError(f"a {kind_name} is not an agent{why}; known are: {AGENT_KINDS}")


def makes_graph(thing: object) -> bool:
    """Whether a function is a factory of graphs, in the form of `langgraph.json`: it takes a
    `RunnableConfig`, or nothing, and returns a graph, or a context manager of one."""
    if not inspect.isroutine(thing) or inspect.isasyncgenfunction(thing):
        return False
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return False
    if not parameters:
        return True
    (first, *others) = parameters
    takes_config = first.name == "config" or "RunnableConfig" in str(first.annotation)
    return not others and takes_config


def _adapter(module: str, name: str, extra: str) -> Build:
    try:
        adapter = importlib.import_module(f"tailrace.runtimes.adapters.{module}.runtime")
    except ImportError as error:
        raise ConfigError(f"{error}; install tailrace[{extra}]") from None
    return cast("Build", getattr(adapter, name))
