"""tailrace as a library: agents in Python, served by `tailrace serve module:app` or inside another ASGI app.

app = tailrace.App()

@app.agent("echo")
async def echo(run: tailrace.Run):
    yield run.text(run.input)

app.add("support", my_pydantic_ai_agent)          # any type that recognise.py knows
fastapi = FastAPI(lifespan=app.lifespan)
fastapi.mount("/agents", app.asgi())

All applications of one `App` share one store and one lifecycle (`service/lifecycle.py`). Without a lifespan
the first request opens it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace import config
from tailrace.assembly import stores
from tailrace.assembly.instance import application, assemble
from tailrace.errors import ConfigError, LogError, Unavailable
from tailrace.http.app import unavailable
from tailrace.http.instance import Instance
from tailrace.http.routes import sessions
from tailrace.log.contract import Store
from tailrace.runs.settings import Role
from tailrace.runtimes.adapters.generator.runtime import RESTARTS, Function, GeneratorRuntime
from tailrace.runtimes.adapters.recognise import runtime_for
from tailrace.runtimes.contract import Runtime

logger = logging.getLogger("tailrace.http")


class App:
    """Agents and where their runs are kept.

    `file` is a configuration whose models and agents are served too; `data` the folder that keeps the
    runs, by default the configuration's. `lifespan` is the application's start and stop: an async context
    manager function of the app (`@asynccontextmanager`), entered before any run works, left after the last.
    """

    def __init__(
        self,
        file: Path | str | None = None,
        *,
        data: Path | str | None = None,
        lifespan: Callable[[App], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self.file = None if file is None else Path(file)
        self.config = config.Config() if self.file is None else config.load(self.file)
        self.data = Path(data) if data is not None else self.config.folder / self.config.server.data
        self._runtimes: dict[str, Runtime] = {}
        self._instance: Instance | None = None
        self._lifespan = None if lifespan is None else partial(lifespan, self)

    def agent(self, name: str, *, restarts: bool = False) -> Callable[[Function], Function]:
        """Make an async generator function an agent. With `restarts` it starts again after a crash. Raises
        `ConfigError` for a name or a function that cannot work."""
        self._check(name)

        def add(function: Function) -> Function:
            self._add(name, GeneratorRuntime(name, function, restarts=restarts))
            if restarts:  # also if a configuration names the function by `entry`
                setattr(function, RESTARTS, True)
            return function

        return add

    def add(self, name: str, thing: object) -> None:
        """Serve an agent of any supported type. Raises `ConfigError` for another object."""
        self._check(name)
        self._add(name, runtime_for(thing, name))

    @property
    def names(self) -> Collection[str]:
        """The agents that were added in Python."""
        return self._runtimes.keys()

    def instance_over(self, store: Store) -> Instance:
        """A server of this process alone, with its runs in `store`. May raise `ConfigError`."""
        return assemble(self.config, store, self._runtimes, lifespan=self._lifespan)

    def instance(self, *, open: bool = True, wait: float = 0.0, role: Role = "all") -> Instance:
        """The server that serves this app; `open` as in `assembly.instance.assemble`, `wait` and `role` as
        for an engine. May raise `ConfigError`."""
        if self._is_served():
            raise ConfigError("this app is served already")
        store, cluster = stores.engine(self.config, self.data, role=role, wait=wait)
        self._instance = assemble(
            self.config,
            store,
            self._runtimes,
            open=open,
            cluster=cluster,
            lifespan=self._lifespan,
        )
        return self._instance

    def asgi(self) -> ASGIApp:
        """An ASGI application with all surfaces, to be served or mounted. May raise `ConfigError`."""
        self._current()
        return _ServedApp(self._current, lambda instance: application(self.config, instance))

    def stream_routes(self, path: str = "/api/stream") -> list[Route]:
        """The routes of NDJSON sessions alone, for an app of one's own; `path` without parameters. May raise
        `ConfigError`."""
        return [
            Route(route.path, self._session(path, place), methods=list(route.methods or ()))
            for place, route in enumerate(_sessions(self._current(), path))
        ]

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncGenerator[None, None]:
        """Open and close what this app serves: the lifespan for the app that mounts it."""
        async with self._current().lifecycle:
            yield

    async def close(self) -> None:
        """For an app that mounts this one without its lifespan: hand over live runs, close everything."""
        if self._instance is not None:
            await self._instance.lifecycle.close()

    def _current(self) -> Instance:
        """The server of this app: assembled once, and again after it was closed."""
        if self._instance is None or self._instance.lifecycle.closed:
            self._instance = self.instance()
        return self._instance

    def _session(self, path: str, place: int) -> ASGIApp:
        return _ServedApp(self._current, lambda instance: _sessions(instance, path)[place].app)

    def _is_served(self) -> bool:
        if self._instance is None:
            return False
        lifecycle = self._instance.lifecycle
        return lifecycle.started and not lifecycle.closed

    def _check(self, name: object) -> None:
        if not isinstance(name, str):
            raise ConfigError('an agent needs a name: @app.agent("poet")')
        if not config.SLUG.fullmatch(name):
            raise ConfigError(f"{name!r} is not a valid name: {config.NAMES}")
        name_spaces = (
            self._runtimes,
            self.config.agents,
            self.config.models,
            self.config.workflows,
        )
        if any(name in each for each in name_spaces) or self._is_number(name):
            raise ConfigError(f"there is something named {name!r} already")
        if self._is_served():
            raise ConfigError(f"{name!r} comes too late: this app is served already")

    def _is_number(self, name: str) -> bool:
        """Whether a name is another agent's second, numeric one."""
        numbers = [agent.id for agent in self.config.agents.values()]
        numbers += [workflow.id for workflow in self.config.workflows.values()]
        return name in {str(number) for number in numbers if number is not None}

    def _add(self, name: str, runtime: Runtime) -> None:
        self._runtimes[name] = runtime
        self._instance = None  # it was assembled without this agent, and has served no request


def _sessions(instance: Instance, path: str) -> list[Route]:
    return sessions.routes(instance.service, instance.edge, path)


class _ServedApp:
    """The ASGI application that serves an `App` at the time of a request. A class, because a Starlette route
    takes a function for an endpoint."""

    def __init__(
        self, current: Callable[[], Instance], make: Callable[[Instance], ASGIApp]
    ) -> None:
        self._current = current
        self._make = make
        self._cache: tuple[Instance, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        instance = self._current()
        if self._cache is None or self._cache[0] is not instance:
            self._cache = instance, self._make(instance)
        app = self._cache[1]
        if scope["type"] != "lifespan":
            try:
                await instance.lifecycle.open()
            except Unavailable as error:
                app = unavailable(error.message, scope)
            except LogError as error:
                logger.error("the runs cannot be opened: %s", error)
                app = unavailable("The server cannot open its runs; try again in a moment.", scope)
        await app(scope, receive, send)
