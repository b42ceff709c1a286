"""What a command is about: a configuration file, or an `App` in Python at `module:name`."""

from __future__ import annotations

from pathlib import Path

from tailrace import assembly, config
from tailrace.app import App
from tailrace.errors import ConfigError


def app_of(source: str) -> App:
    """The `App` at `module:name`, or one of a configuration file. Raises `ConfigError`."""
    if not config.PATH.fullmatch(source) or Path(source).exists():
        return App(source)
    assembly.import_from(Path())
    found = assembly.imported(source, source)
    if not isinstance(found, App):
        raise ConfigError(f"{source}: a {type(found).__name__} is no tailrace.App")
    return found
