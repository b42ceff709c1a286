"""TypeScript declarations from msgspec structs: what a client of a surface imports.

Knows what the published events are made of: tagged structs, unions, tuples, literals, plain values.
"""

from __future__ import annotations

from typing import Any, get_args

from msgspec import NODEFAULT, inspect

PLAIN = {
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.AnyType: "unknown",
    inspect.NoneType: "null",
}


class Declarations:
    """Interfaces and unions, each written once, in the order in which they are first needed."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}

    def union(self, name: str, members: Any) -> None:
        """A named union of structs and of unions declared before."""
        names = [self.declare(inspect.type_info(each)) for each in get_args(members)]
        self._written[name] = f"export type {name} =\n  | " + "\n  | ".join(names) + ";\n"

    def alias(self, name: str, *others: str) -> None:
        """A union of unions."""
        self._written[name] = f"export type {name} = {' | '.join(others)};\n"

    def text(self) -> str:
        """The file."""
        return "\n".join(self._written.values())

    def declare(self, kind: inspect.Type) -> str:
        """The TypeScript of a type; structs are declared on the way."""
        match kind:
            case inspect.StructType():
                return self._struct(kind)
            case inspect.UnionType():
                return " | ".join(self.declare(each) for each in kind.types)
            case inspect.LiteralType():
                return " | ".join(f'"{value}"' for value in kind.values)
            case inspect.VarTupleType() | inspect.ListType():
                inner = self.declare(kind.item_type)
                return f"({inner})[]" if " | " in inner else f"{inner}[]"
            case inspect.DictType():
                return f"Record<{self.declare(kind.key_type)}, {self.declare(kind.value_type)}>"
            case _:
                return PLAIN[type(kind)]

    def _struct(self, kind: inspect.StructType) -> str:
        name = kind.cls.__name__
        if name in self._written:
            return name
        self._written[name] = ""  # it keeps its place before what it needs
        lines = [
            f"/** {' '.join((kind.cls.__doc__ or '').split())} */",
            f"export interface {name} {{",
        ]
        if kind.tag_field is not None:
            lines.append(f'  {kind.tag_field}: "{kind.tag}";')
        for field in kind.fields:
            left_out = kind.cls.__struct_config__.omit_defaults and not field.required
            mark = "?" if left_out and field.default is not NODEFAULT else ""
            lines.append(f"  {field.encode_name}{mark}: {self.declare(field.type)};")
        self._written[name] = "\n".join([*lines, "}\n"])
        return name
