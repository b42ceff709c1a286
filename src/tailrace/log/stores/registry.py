"""The engines, by the scheme of their URL: the one place that names them all.

A new engine is a folder and a line in `ENGINES`. The driver is imported when a URL needs it, so that a
process loads one engine at most; for that reason this is a table of names, not of imported objects. Import
contracts do not see such imports; they forbid all other modules to import an engine.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

from tailrace.errors import ConfigError
from tailrace.log.stores.driver import StoreDriver


class Engine(NamedTuple):
    """`module` has the engine's `DRIVER`. `form` shows how an operator writes its address, empty where
    `[engine] url` cannot choose it."""

    module: str
    form: str = ""


ENGINES: dict[str, Engine] = {
    "memory": Engine("tailrace.log.stores.memory.driver"),
    "sqlite": Engine("tailrace.log.stores.sqlite.driver"),
    "nats": Engine("tailrace.log.stores.nats.driver", "nats://host:port"),
    "tls": Engine("tailrace.log.stores.nats.driver", "tls://…"),
}

MEMORY = "memory:"
DEFAULT = "sqlite:"
"""The engine of a configuration without an address: it keeps runs in the data folder."""


def driver(url: str) -> StoreDriver:
    """The engine behind a URL, or behind a list of them separated by commas. Raises `ConfigError`."""
    scheme = _scheme(url)
    if scheme not in ENGINES:
        raise _unknown(url)
    engine_driver: StoreDriver = importlib.import_module(ENGINES[scheme].module).DRIVER
    return engine_driver


def check(url: str) -> None:
    """Raises `ConfigError` for a URL that cannot select an engine. The message repeats no address that may
    have a password: an unreadable part may belong to one."""
    if not (_scheme(url) in ENGINES and ENGINES[_scheme(url)].form):
        raise _unknown(url)
    driver(url).check(url)


def _scheme(url: str) -> str:
    return url.lstrip().partition(":")[0].lower()


def shared_forms() -> str:
    """How an operator writes the addresses of engines that processes share."""
    return " or ".join(engine.form for engine in ENGINES.values() if engine.form)


def _unknown(url: str) -> ConfigError:
    first = url.split(",")[0].strip()
    which = "address 1" if "@" in url else repr(first)
    return ConfigError(f"[engine] url: {which} is not {shared_forms()}")
