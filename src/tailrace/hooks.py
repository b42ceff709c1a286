"""Hooks: private attributes of other packages that we use, checked before use.

Without one of them an agent would run without being observed, or a stream would take a path that does not
exist. So the import that needs it fails, in one sentence, with the release that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tailrace.errors import TailraceError


class MissingHook(TailraceError, ImportError):
    """The installed release of a package lacks an attribute that we rely on."""


def require(package: str, least: str, owner: type, *names: str) -> None:
    """Check that a class of `package` has these attributes, as from release `least` on. Raises
    `MissingHook`."""
    _fail_for(package, least, owner, [name for name in names if not hasattr(owner, name)])


def require_fields(package: str, least: str, owner: type, *names: str) -> None:
    """The same for attributes that the class's `__init__` sets. Raises `MissingHook`."""
    attributes = vars(owner)["__init__"].__code__.co_names
    _fail_for(package, least, owner, [name for name in names if name not in attributes])


def wrap(package: str, least: str, owner: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    """Replace a class's method by `wrapper(method)` in this process. Raises `MissingHook`."""
    require(package, least, owner, name)
    setattr(owner, name, wrapper(getattr(owner, name)))


def _fail_for(package: str, least: str, owner: type, missing: list[str]) -> None:
    if missing:
        raise MissingHook(
            f"{owner.__qualname__} of {package} {version(package)} has no {', '.join(missing)}:"
            f" {package}>={least} is needed"
        )
