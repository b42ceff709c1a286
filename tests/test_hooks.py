"""Releases of other packages without an attribute that we rely on: the import fails with one sentence, and
tailrace never runs without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOOKS = {
    # the attribute that is missing: the module of ours that needs it
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol._start_asgi_task": "http.uvicorn_protocol",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol._unset_keepalive_if_required": (
        "http.uvicorn_protocol"
    ),
    "nats.aio.client:Client._flush_pending": "log.stores.nats.connection",
    "nats.aio.client:Client._close": "log.stores.nats.connection",
    "pydantic_ai:Agent.iter": "runtimes.adapters.pydantic_ai.runtime",
    **{
        f"pydantic_ai.capabilities:AbstractCapability.{name}": "runtimes.adapters.pydantic_ai.runtime"
        for name in (
            "get_ordering",
            "get_wrapper_model",
            "wrap_tool_execute",
            "handle_deferred_tool_calls",
        )
    },
    "agents.run:AgentRunner.run": "runtimes.adapters.openai_agents.runtime",
    "agents.run:AgentRunner.run_streamed": "runtimes.adapters.openai_agents.runtime",
    "agents:Agent.get_all_tools": "runtimes.adapters.openai_agents.runtime",
    "agents:Model._cleanup_on_run_end": "runtimes.adapters.openai_agents.runtime",
    "langgraph.pregel:Pregel.astream": "runtimes.adapters.langgraph.runtime",
    "langchain_core.language_models:BaseChatModel._agenerate_with_cache": (
        "runtimes.adapters.langgraph.runtime"
    ),
    "langchain_core.tools:BaseTool.arun": "runtimes.adapters.langgraph.runtime",
}
WITHOUT = """
import importlib
module, _, path = {hook!r}.partition(":")
owner, _, name = path.partition(".")
owner = getattr(importlib.import_module(module), owner)
for each in owner.__mro__:
    if name in vars(each):
        delattr(each, name)
import tailrace.{ours}
"""
FIELDS = """
from uvicorn.protocols.http import httptools_impl
begin = httptools_impl.{owner}.__init__
httptools_impl.{owner}.__init__ = lambda self, *args, **options: begin(self, *args, **options)
import tailrace.http.uvicorn_protocol
"""


def imported(code: str) -> str:
    """The last line of the output of an import that fails."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


FEW = ("HttpToolsProtocol._start_asgi_task", "get_wrapper_model")
"""Each case imports a framework in a new process: `make test` runs these, `make test-long` all."""
CASES = [pytest.param(each, marks=[] if each.endswith(FEW) else pytest.mark.long) for each in HOOKS]


@pytest.mark.parametrize("hook", CASES)
def test_a_hook_that_is_gone_is_named(hook: str) -> None:
    said = imported(WITHOUT.format(hook=hook, ours=HOOKS[hook]))
    owner, _, name = hook.partition(":")[2].partition(".")
    assert said.startswith("tailrace.hooks.MissingHook: ")
    assert f"{owner} of " in said
    assert f" has no {name}: " in said
    assert said.endswith(" is needed")


@pytest.mark.parametrize("owner", ["HttpToolsProtocol", "RequestResponseCycle"])
def test_a_field_that_is_gone_is_named(owner: str) -> None:
    said = imported(FIELDS.format(owner=owner))
    assert f"{owner} of uvicorn" in said
    assert "transport: uvicorn>=0.45 is needed" in said or "waiting_for_100_continue" in said


@pytest.mark.parametrize(
    "module",
    [
        "http.uvicorn_protocol",
        *(f"runtimes.adapters.{name}.runtime" for name in ("pydantic_ai", "langgraph")),
    ],
)
def test_all_hooks_are_there_in_what_is_installed(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import tailrace.{module}"], check=False)
    assert done.returncode == 0
