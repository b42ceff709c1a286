"""tailrace as a library: agents in Python, served by `tailrace serve module:app` or inside another ASGI app.

app = tailrace.App()

@app.agent("echo")
async def echo(run: tailrace.Run):
    yield run.text(run.input)

app.add("support", my_pydantic_ai_agent)          # any kind that recognise.py knows
fastapi = FastAPI(lifespan=app.lifespan)
fastapi.mount("/agents", app.asgi())

Whatever of an app is served, it is one application: one store, opened and closed once (`http/life.py`). Where
no lifespan opens it, the first request does.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace import assembly, assembly_stores, config
from tailrace.errors import ConfigError, LogError, Unavailable
from tailrace.http.app import come_again
from tailrace.http.edge import Instance
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
    runs, by default the configuration's.
    """

    def __init__(self, file: Path | str | None = None, *, data: Path | str | None = None) -> None:
        self.file = None if file is None else Path(file)
        self.config = config.Config() if self.file is None else config.load(self.file)
        self.data = Path(data) if data is not None else self.config.folder / self.config.server.data
        self._runtimes: dict[str, Runtime] = {}
        self._made: Instance | None = None

    def agent(self, name: str, *, restarts: bool = False) -> Callable[[Function], Function]:
        """Make an async generator function an agent. With `restarts` it begins anew after a crash. Raises
        `ConfigError` for a name or a function that cannot work."""
        self._check(name)

        def add(function: Function) -> Function:
            self._add(name, GeneratorRuntime(name, function, restarts=restarts))
            if restarts:  # also where a configuration names the function by `entry`
                setattr(function, RESTARTS, True)
            return function

        return add

    def add(self, name: str, thing: object) -> None:
        """Serve somebody's agent, whatever its kind. Raises `ConfigError` for what is none."""
        self._check(name)
        self._add(name, runtime_for(thing, name))

    @property
    def names(self) -> Collection[str]:
        """The agents that were added in Python."""
        return self._runtimes.keys()

    def instance_over(self, store: Store) -> Instance:
        """A server of this process alone, with its runs in `store`. May raise `ConfigError`."""
        return assembly.instance(self.config, store, self._runtimes)

    def instance(self, *, open: bool = True, wait: float = 0.0, role: Role = "all") -> Instance:
        """The server that serves this app; `open` as in `assembly.instance`, `wait` and `role` as
        for an engine. May raise `ConfigError`."""
        if self._is_served():
            raise ConfigError("this app is served already")
        store, cluster = assembly_stores.engine(self.config, self.data, role=role, wait=wait)
        made = assembly.instance(self.config, store, self._runtimes, open=open, cluster=cluster)
        self._made = made
        return made

    def asgi(self) -> ASGIApp:
        """An ASGI application with all surfaces, to be served or mounted. May raise `ConfigError`."""
        self._now()
        return _Served(self._now, lambda made: assembly.application(self.config, made))

    def stream_routes(self, path: str = "/api/stream") -> list[Route]:
        """The routes of NDJSON sessions alone, for an app of one's own; `path` without parameters. May raise
        `ConfigError`."""
        return [
            Route(route.path, self._session(path, place), methods=list(route.methods or ()))
            for place, route in enumerate(_sessions(self._now(), path))
        ]

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncGenerator[None, None]:
        """Open and close what this app serves: the lifespan for the app that mounts it."""
        life = self._now().edge.life
        await life.open()
        try:
            yield
        finally:
            await life.close()

    async def close(self) -> None:
        """For an app that mounts this one without its lifespan: hand over what runs, close what is open."""
        if self._made is not None:
            await self._made.edge.life.close()

    def _now(self) -> Instance:
        """The server that serves this app: made once, and anew after it was closed."""
        if self._made is None or self._made.edge.life.over:
            self._made = self.instance()
        return self._made

    def _session(self, path: str, place: int) -> ASGIApp:
        return _Served(self._now, lambda made: _sessions(made, path)[place].app)

    def _is_served(self) -> bool:
        return (
            self._made is not None and self._made.edge.life.begun and not self._made.edge.life.over
        )

    def _check(self, name: object) -> None:
        if not isinstance(name, str):
            raise ConfigError('an agent needs a name: @app.agent("poet")')
        if not config.SLUG.fullmatch(name):
            raise ConfigError(f"{name!r} is not a valid name: {config.NAMES}")
        known = (self._runtimes, self.config.agents, self.config.models, self.config.workflows)
        if any(name in each for each in known) or self._is_number(name):
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
        self._made = None  # what was made before knows nothing of it, and nobody was served by it


def _sessions(instance: Instance, path: str) -> list[Route]:
    return sessions.routes(instance.service, instance.edge, path)


class _Served:
    """An application over the server that serves an app at the time of a request; a class, so that a route
    takes it for an application."""

    def __init__(self, now: Callable[[], Instance], make: Callable[[Instance], ASGIApp]) -> None:
        self._now = now
        self._make = make
        self._made: tuple[Instance, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        instance = self._now()
        if self._made is None or self._made[0] is not instance:
            self._made = instance, self._make(instance)
        app = self._made[1]
        if scope["type"] != "lifespan":
            try:
                await instance.edge.life.open()
            except Unavailable as error:
                app = come_again(error.message, scope)
            except LogError as error:
                logger.error("the runs cannot be opened: %s", error)
                app = come_again("The server cannot open its runs; try again in a moment.", scope)
        await app(scope, receive, send)
