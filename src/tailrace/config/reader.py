"""Tables to structs, and where in the text a fault lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, cast, get_args

import msgspec
from msgspec import Struct

from tailrace.config.shapes import NAMES, SLUG, ConfigPart, Dialect
from tailrace.errors import ConfigError

Part = TypeVar("Part", bound=Struct)


class Reader:
    """Turns tables into structs and knows where in the text a fault lies."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = text.splitlines()
        self._name = name

    def fault(self, message: str, table: str = "", key: str = "") -> ConfigError:
        line = self._line(table, key)
        place = f"{self._name}:{line}" if line else self._name
        return ConfigError(f"{place}: {message}")

    def known(self, table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
        for key in table:
            if key not in names:
                inside = f" in [{where}]" if where else ""
                raise self.fault(f"unknown key {key!r}{inside}{nearest(key, names)}", where, key)

    def known_below(self, value: Any, where: str, key: str, kind: type[Struct]) -> None:
        """The same for the table under `key` of one table."""
        inner = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
        if isinstance(inner, dict):
            names = kind.__struct_fields__
            self.known(cast("dict[str, Any]", inner), names, f"{where}.{key}")

    def known_inside(self, value: Any, key: str, kind: type[ConfigPart], where: str) -> None:
        """The same for the tables listed under `key` of each table."""
        tables = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        for name, table in tables.items():
            listed = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else None
            for entry in cast("list[Any]", listed) if isinstance(listed, list) else []:
                if isinstance(entry, dict):
                    names = kind.__struct_fields__
                    self.known(cast("dict[str, Any]", entry), names, f"{where}.{name}")

    def tables(self, value: Any, kind: type[Part], where: str) -> dict[str, Part]:
        if not isinstance(value, dict):
            raise self.fault(f"{where} must be a table of tables", key=where)
        tables = cast("dict[str, Any]", value)
        for name in tables:
            if not SLUG.fullmatch(name):
                raise self.fault(
                    f"{name!r} is no usable name: {NAMES}",
                    f"{where}.{name}",
                )
        return {name: self.table(table, kind, f"{where}.{name}") for name, table in tables.items()}

    def table(self, value: Any, kind: type[Part], where: str) -> Part:
        if not isinstance(value, dict):
            raise self.fault(f"[{where}] must be a table", key=where)
        keys = cast("dict[str, Any]", value)
        self.known(keys, kind.__struct_fields__, where)
        try:
            return msgspec.convert(keys, kind)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$.")
            key = path.rstrip("`")
            if key == "dialect":
                message += nearest(str(keys["dialect"]), get_args(Dialect))
            detail = f"{key}: {message}" if key else message
            raise self.fault(f"[{where}] {detail}", where, re.split(r"[.\[]", key)[0]) from None

    def _line(self, table: str, key: str) -> int:
        """The line a key stands on: the first `key =` after its table's header."""
        start = 0
        if table:
            header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]")
            start = next((n for n, line in enumerate(self._lines) if header.match(line)), -1)
            if start < 0:
                return 0
            if not key:
                return start + 1
        wanted = re.compile(rf"\s*\[?\s*['\"]?{re.escape(key)}['\"]?\s*[=.\]]")
        return next(
            (n + 1 for n in range(start, len(self._lines)) if wanted.match(self._lines[n])),
            start + 1 if table else 0,
        )


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint to append: the nearest valid name, or all of them when none is near."""
    valid = list(names)
    close = get_close_matches(name, valid, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(valid))}" if valid else ""
