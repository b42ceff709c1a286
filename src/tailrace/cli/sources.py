"""The source of a command: a configuration file, or an `App` in Python at `module:name`.

A command that only needs the place of the runs does not import the server for a configuration file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tailrace import config
from tailrace.errors import ConfigError

if TYPE_CHECKING:
    from tailrace.app import App


class Place(NamedTuple):
    """A configuration, and the folder of its runs if they are in no engine."""

    config: config.Config
    data: Path


def place_of(source: str) -> Place:
    """The place of a source's runs. Raises `ConfigError`."""
    if _is_module(source):
        app = app_of(source)
        return Place(app.config, app.data)
    settings = config.load(Path(source))
    return Place(settings, settings.folder / settings.server.data)


def app_of(source: str) -> App:
    """The `App` at `module:name`, or one of a configuration file. Raises `ConfigError`."""
    from tailrace.app import App
    from tailrace.assembly import tools

    if not _is_module(source):
        return App(source)
    tools.import_from(Path())
    app = tools.import_object(source, source)
    if not isinstance(app, App):
        raise ConfigError(f"{source}: a {type(app).__name__} is not a tailrace.App")
    return app


def file_of(source: str) -> Path | None:
    """The configuration file of a source; None for an `App` without one. Raises `ConfigError`."""
    return app_of(source).file if _is_module(source) else Path(source)


def _is_module(source: str) -> bool:
    """Whether a source is `module:name`. Raises `ConfigError` for the path of a Python file."""
    if Path(source).suffix == ".py":
        name = Path(source).stem
        raise ConfigError(f"{source} is Python: name the App in it, for instance {name}:app")
    return config.PATH.fullmatch(source) is not None and not Path(source).exists()
