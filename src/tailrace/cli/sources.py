"""What a command is about: a configuration file, or an `App` in Python at `module:name`.

A command that only looks where runs are kept does not load the server's world for a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tailrace import config
from tailrace.errors import ConfigError

if TYPE_CHECKING:
    from tailrace.app import App


class Place(NamedTuple):
    """A configuration, and the folder that keeps its runs where no engine does."""

    config: config.Config
    data: Path


def place_of(source: str) -> Place:
    """Where the runs of a source are kept. Raises `ConfigError`."""
    if _is_module(source):
        made = app_of(source)
        return Place(made.config, made.data)
    found = config.load(Path(source))
    return Place(found, found.folder / found.server.data)


def app_of(source: str) -> App:
    """The `App` at `module:name`, or one of a configuration file. Raises `ConfigError`."""
    from tailrace.app import App
    from tailrace.assembly import tools

    if not _is_module(source):
        return App(source)
    tools.import_from(Path())
    found = tools.import_object(source, source)
    if not isinstance(found, App):
        raise ConfigError(f"{source}: a {type(found).__name__} is not a tailrace.App")
    return found


def file_of(source: str) -> Path | None:
    """The configuration file of a source; None where an `App` has none. Raises `ConfigError`."""
    return app_of(source).file if _is_module(source) else Path(source)


def _is_module(source: str) -> bool:
    """Whether a source is `module:name`. Raises `ConfigError` for a Python file: it is no configuration."""
    if Path(source).suffix == ".py":
        name = Path(source).stem
        raise ConfigError(f"{source} is Python: name the App in it, for instance {name}:app")
    return config.PATH.fullmatch(source) is not None and not Path(source).exists()
