"""Converts tables to structs, and collects their faults with their lines in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from tailrace.config.shapes import NAMES, SLUG, ConfigPart, Dialect

Part = TypeVar("Part", bound=Struct)
HEADER = re.compile(r"""\s*\[\[?[\w\s.'"-]+\]\]?\s*(#.*)?$""")
LONG_TEXT = re.compile(r'''"""(?:[^\\]|\\.)*?"""''' + r"|'''.*?'''", re.DOTALL)
"""A multi-line string, whose content may look like a table."""


class ConfigReader:
    """Turns tables into structs, and collects faults with their lines."""

    def __init__(self, text: str, name: str) -> None:
        self._lines = LONG_TEXT.sub(lambda match: "\n" * match[0].count("\n"), text).split("\n")
        self._name = name
        self._faults: dict[str, int] = {}
        self.names: dict[str, AbstractSet[str]] = {}
        """The names of the tables of each kind in the text, including those that cannot be read."""

    def fault(self, message: str, table: str = "", key: str = "", near: str = "") -> None:
        """Report a fault of a table, or of its key, at the line of `near`."""
        line = self.line(table, key, near)
        place = f"{self._name}:{line}" if line else self._name
        self._faults.setdefault(f"{place}: {message}", line)

    @property
    def faults(self) -> list[str]:
        """All faults, in the order of their lines; those without a line last."""
        return sorted(self._faults, key=lambda fault: self._faults[fault] or len(self._lines) + 1)

    def check_keys(self, table: Mapping[str, Any], names: Iterable[str], where: str) -> None:
        """Report every key of a table that is not one of `names`."""
        for key in table:
            if key not in names:
                inside = f" in [{where}]" if where else ""
                self.fault(f"unknown key {key!r}{inside}{nearest(key, names)}", where, key)

    def check_table_below(self, value: Any, where: str, key: str, kind: type[Struct]) -> None:
        """The same for the table under `key` of one table."""
        inner = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
        if isinstance(inner, dict):
            names = kind.__struct_fields__
            self.check_keys(cast("dict[str, Any]", inner), names, f"{where}.{key}")

    def check_tables_inside(self, value: Any, key: str, kind: type[ConfigPart], where: str) -> None:
        """The same for the tables listed under `key` of each table."""
        tables = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        for name, table in tables.items():
            entries = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else None
            for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
                if isinstance(entry, dict):
                    names = kind.__struct_fields__
                    self.check_keys(cast("dict[str, Any]", entry), names, f"{where}.{name}")

    def tables(self, value: Any, kind: type[Part], where: str) -> dict[str, Part]:
        """The readable tables by name."""
        self.names[where] = frozenset()
        if not isinstance(value, dict):
            self.fault(f"{where} must be a table of tables", key=where)
            return {}
        tables = cast("dict[str, Any]", value)
        self.names[where] = tables.keys()
        for name in tables:
            if not SLUG.fullmatch(name):
                self.fault(f"{name!r} is not a valid name: {NAMES}", f"{where}.{name}")
        parts = {name: self.part(table, kind, f"{where}.{name}") for name, table in tables.items()}
        return {name: part for name, part in parts.items() if part is not None}

    def table(self, value: Any, kind: type[Part], where: str) -> Part:
        """A table without required keys."""
        return self.part(value, kind, where) or kind()

    def part(self, value: Any, kind: type[Part], where: str) -> Part | None:
        """A table with its readable keys; None if a required one is missing."""
        if not isinstance(value, dict):
            self.fault(f"[{where}] must be a table", key=where)
            return None
        keys = cast("dict[str, Any]", value)
        self.check_keys(keys, kind.__struct_fields__, where)
        fields: dict[str, Any] = {}
        for field in structs.fields(kind):
            if field.name not in keys:
                if field.required:
                    self.fault(f"[{where}] Object missing required field `{field.name}`", where)
            elif (part_value := self._value(keys[field.name], field, where)) is not msgspec.UNSET:
                fields[field.name] = part_value
        return (
            kind(**fields)
            if all(f.name in fields or not f.required for f in structs.fields(kind))
            else None
        )

    def _value(self, value: Any, field: structs.FieldInfo, where: str) -> Any:
        """The value of a key, or `UNSET`; of a list of tables the readable ones."""
        inner = get_args(field.type)
        if get_origin(field.type) is tuple and isinstance(value, list) and _is_part(inner[0]):
            each = enumerate(cast("list[Any]", value))
            items = [self._convert(one, inner[0], f"{field.name}[{n}]", where) for n, one in each]
            return tuple(one for one in items if one is not msgspec.UNSET)
        return self._convert(value, field.type, field.name, where)

    def _convert(self, value: Any, kind: Any, at: str, where: str) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            if message.startswith("Object contains unknown field"):
                return msgspec.UNSET  # `known` has reported it
            key = re.split(r"[.\[]", at)[0]
            if key == "dialect":
                message += nearest(str(value), get_args(Dialect))
            self.fault(f"[{where}] {at}{path.rstrip('`')}: {message}", where, key)
            return msgspec.UNSET

    def line(self, table: str, key: str = "", near: str = "") -> int:
        """The line of a table, of its key, or of the text `near` in it; 0 if there is none."""
        start, end = self._place(table)
        if start < 0:
            return 0
        line = start + 1 if table else 0
        if key:
            pattern = re.compile(
                rf"\s*\[?\s*['\"]?{re.escape(key)}['\"]?\s*[=.\]]|.*[{{,]\s*{re.escape(key)}\s*="
            )
            lines = (n + 1 for n in range(start, end) if pattern.match(self._lines[n]))
            line = next(lines, line)
        if near:
            lines = (n + 1 for n in range(max(line - 1, start), end) if near in self._lines[n])
            line = next(lines, line)
        return line

    def _place(self, table: str) -> tuple[int, int]:
        """The lines of a table: from its header, or the line of its parent that names it, to the next
        table."""
        if not table:
            return 0, len(self._lines)
        name = re.escape(table).replace(r"\.", r"['\"]?\s*\.\s*['\"]?")
        header = re.compile(rf"\s*\[\[?\s*['\"]?{name}['\"]?\s*\]")
        below = re.compile(rf"\s*\[\[?\s*['\"]?{name}['\"]?\s*\.")
        start = next((n for n, line in enumerate(self._lines) if header.match(line)), -1)
        if start < 0:
            start = next((n for n, line in enumerate(self._lines) if below.match(line)), -1)
        if start < 0:
            parent, _, last = table.rpartition(".")
            line = self.line(parent, last)
            return (line - 1, self._end(line, r"(?!)")) if line else (-1, -1)
        return start, self._end(start + 1, below.pattern)

    def _end(self, start: int, below: str) -> int:
        """The line of the next table that is not one of those `below`."""
        headers = (n for n in range(start, len(self._lines)) if HEADER.match(self._lines[n]))
        return next((n for n in headers if not re.match(below, self._lines[n])), len(self._lines))


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint to append: the nearest valid name, or all of them when none is near."""
    valid = list(names)
    close = get_close_matches(name, valid, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(valid))}" if valid else ""
