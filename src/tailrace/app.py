"""tailrace as a library: agents in Python, served by `tailrace serve module:app` or inside another ASGI app.

app = tailrace.App()

@app.agent("echo")
async def echo(run: tailrace.Run):
    yield run.text(run.input)

app.add("support", my_pydantic_ai_agent)          # any kind that recognise.py knows
fastapi.mount("/agents", app.asgi())
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace import assembly, assembly_stores, config
from tailrace.errors import ConfigError
from tailrace.http.parts import Parts
from tailrace.http.routes import sessions
from tailrace.log.contract import Store
from tailrace.runs.settings import Role
from tailrace.runtimes.adapters.generator import Function, GeneratorRuntime
from tailrace.runtimes.adapters.recognise import runtime_for
from tailrace.runtimes.contract import Runtime


class App:
    """Agents and where their runs are kept.

    `file` is a configuration whose models and agents are served too; `data` the folder that keeps the
    runs, by default the configuration's.
    """

    def __init__(self, file: Path | str | None = None, *, data: Path | str | None = None) -> None:
        self.config = config.Config() if file is None else config.load(Path(file))
        self.data = Path(data) if data is not None else self.config.folder / self.config.server.data
        self._runtimes: dict[str, Runtime] = {}
        self._mounted: Parts | None = None

    def agent(self, name: str, *, restarts: bool = False) -> Callable[[Function], Function]:
        """Make an async generator function an agent. With `restarts` it begins anew after a crash."""

        def add(function: Function) -> Function:
            self._add(name, GeneratorRuntime(name, function, restarts=restarts))
            return function

        return add

    def add(self, name: str, thing: object) -> None:
        """Serve somebody's agent, whatever its kind. Raises `ConfigError` for what is none."""
        self._add(name, runtime_for(thing, name))

    @property
    def names(self) -> Collection[str]:
        """The agents that were added in Python."""
        return self._runtimes.keys()

    def parts_over(self, store: Store) -> Parts:
        """The parts of this process alone, with its runs in `store`. May raise `ConfigError`."""
        return assembly.parts(self.config, store, self._runtimes)

    def parts(self, *, open: bool = True, wait: float = 0.0, role: Role = "all") -> Parts:
        """A server's parts; `open` as in `assembly.parts`, `wait` and `role` as for an engine. May raise
        `ConfigError`."""
        store, cluster = assembly_stores.engine(self.config, self.data, role=role, wait=wait)
        return assembly.parts(self.config, store, self._runtimes, open=open, cluster=cluster)

    def asgi(self) -> ASGIApp:
        """An ASGI application with all surfaces, to be served or mounted."""
        parts = self._mounted = self.parts()
        return _Mounted(assembly.application(self.config, parts), parts)

    def stream_routes(self, path: str = "/api/stream") -> list[Route]:
        """The routes of NDJSON sessions alone, for an app of one's own; `path` without parameters."""
        parts = self._mounted = self.parts()
        opened = _Opened(parts)
        routes = sessions.routes(parts, path)
        return [
            Route(route.path, opened.first(route.app), methods=list(route.methods or ()))
            for route in routes
        ]

    async def close(self) -> None:
        """For an app that mounts this one: hand over what runs, close what is open."""
        if self._mounted is not None:
            self._mounted.streams.stop()
            await self._mounted.supervisor.close()
            await self._mounted.let_go()

    def _add(self, name: str, runtime: Runtime) -> None:
        if not config.SLUG.fullmatch(name):
            raise ConfigError(f"{name!r} is no usable name: letters, digits, '.', '_' and '-' only")
        if name in self._runtimes or name in self.config.agents or name in self.config.models:
            raise ConfigError(f"there is an agent or a model named {name!r} already")
        self._runtimes[name] = runtime


class _Opened:
    """Opens the runs once, with the first request, where no lifespan does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._opening: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._parts.supervisor.open())
        await asyncio.shield(self._opening)

    def first(self, app: ASGIApp) -> ASGIApp:
        """An application that opens the runs before it answers."""
        return _First(self, app)


class _First:
    """An application behind `_Opened`; a class, so that a route takes it for an application."""

    def __init__(self, opened: _Opened, app: ASGIApp) -> None:
        self._opened = opened
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._opened()
        await self._app(scope, receive, send)


class _Mounted:
    """Opens the runs when nobody else does: an app that mounts another does not run its lifespan."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._opened = _Opened(parts)
        self._has_lifespan = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._has_lifespan = True
        elif not self._has_lifespan:
            await self._opened()
        await self._app(scope, receive, send)
