"""Hooks: what we use of other packages beyond what they promise, looked for before it is used.

Where one of them is gone, an agent would run with nobody listening, and a stream would be written by a path
that is not there. So the import that needs it fails, in one sentence, with the release that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tailrace.errors import TailraceError


class MissingHook(TailraceError, ImportError):
    """A package is installed in a release that does not have what we rely on."""


def require(package: str, least: str, owner: type, *names: str) -> None:
    """Fail unless a class of `package` has these attributes, as from release `least` on. Raises
    `MissingHook`."""
    _fail_for(package, least, owner, [name for name in names if not hasattr(owner, name)])


def require_fields(package: str, least: str, owner: type, *names: str) -> None:
    """The same for what the class's `__init__` sets. Raises `MissingHook`."""
    known = vars(owner)["__init__"].__code__.co_names
    _fail_for(package, least, owner, [name for name in names if name not in known])


def wrap(package: str, least: str, owner: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    """Put `wrapper` of a class's method in its place, for everybody in this process. Raises `MissingHook`."""
    require(package, least, owner, name)
    setattr(owner, name, wrapper(getattr(owner, name)))


def _fail_for(package: str, least: str, owner: type, missing: list[str]) -> None:
    if missing:
        raise MissingHook(
            f"{owner.__qualname__} of {package} {version(package)} has no {', '.join(missing)}:"
            f" {package}>={least} is needed"
        )
