"""A new engine, as small as one can be: memory behind the scheme `toy`."""

from __future__ import annotations

from urllib.parse import urlsplit

from tailrace.errors import ConfigError
from tailrace.log.stores.driver import StoreDriver, StoreParts, StoreSettings
from tailrace.log.stores.memory.driver import MemoryDriver
from tailrace.log.stores.memory.store import MemoryStore

STORES: dict[str, MemoryStore] = {}
"""By URL, so that the data is there when the same URL is opened again."""


class ToyDriver(MemoryDriver):
    """`StoreDriver` for `toy://name`."""

    def check(self, url: str) -> None:
        if not urlsplit(url).hostname:
            raise ConfigError("[engine] url: a toy needs a name")

    def parts(self, settings: StoreSettings) -> StoreParts:
        return StoreParts(STORES.setdefault(settings.url, MemoryStore()))


DRIVER: StoreDriver = ToyDriver()
