"""Fields of an item that only this dialect has: kept when the item is decoded, put back when it is encoded.

The module keeps the fields that the canonical form does not reproduce (`id`, `namespace`, `status`, unknown
ones), with their original values. Keys with a `$` are tailrace's own: `$form` says whether a content that
could be either was a `string` or a `list`, `$parts` has the additional fields of the parts of a content. For
a server's item `$summary` has those of the parts of a summary, and `$others` and `$other_summary` have the
parts without a canonical form, by their index among all parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tailrace.events import ids
from tailrace.events.items import Json
from tailrace.protocols.attribution import item_number
from tailrace.protocols.fields import Object, any_object, as_list

FORM, PARTS, SUMMARY = "$form", "$parts", "$summary"
OTHERS: Mapping[str, str] = {"content": "$others", "summary": "$other_summary"}
"""By field: the key under which the parts of a server's item without a canonical form are kept."""
CONTENTS = ("content", "output")
"""Fields that hold a text, or a list of parts."""
_ABSENT = object()


def details_of(item: Object, plain: Object) -> Object:
    """The fields of `item` that are missing or different in `plain`, its canonical form encoded."""
    details: Object = {}
    for name, value in item.items():
        if name in ("type", "id") and _said_otherwise(name, value, plain):
            continue
        if name in CONTENTS and item.get("type") != "reasoning":
            details |= _content(value, plain.get(name))
        elif plain.get(name, _ABSENT) != value:
            details[name] = value
    return details


def restore(plain: Object, details: Mapping[str, Json]) -> Object:
    """Restore the original item: its canonical form with the details that were kept."""
    if not details:
        return plain
    item = {**plain, **{name: value for name, value in details.items() if not name.startswith("$")}}
    if is_ours(item.get("id")):
        del item["id"]
    for name in CONTENTS:
        if name in plain and plain["type"] != "reasoning":
            item[name] = _restored_content(plain[name], details)
    return (
        with_parts(item, details) if plain["type"] == "reasoning" else _with_others(item, details)
    )


def with_parts(item: Object, details: Mapping[str, Json]) -> Object:
    """A server's item with the additional fields of its parts."""
    result = dict(item)
    for field, name in (("content", PARTS), ("summary", SUMMARY)):
        more = any_object(details.get(name))
        if more and isinstance(item.get(field), list):
            result[field] = _merge(_parts(item[field]), more)
    return _with_others(result, details)


def _with_others(item: Object, details: Mapping[str, Json]) -> Object:
    """An item with the parts that have no canonical form, each at its original index."""
    for field, name in OTHERS.items():
        others = any_object(details.get(name))
        if others:
            parts = _parts(item.get(field) or [])
            for place in sorted(others, key=int):
                parts = [*parts[: int(place)], others[place], *parts[int(place) :]]
            item = {**item, field: parts}
    return item


def _merge(parts: list[Json], more: Object) -> list[Json]:
    return [{**any_object(part), **any_object(more.get(str(n)))} for n, part in enumerate(parts)]


def is_ours(id: Json) -> bool:
    """Whether tailrace generated the id of an item. The server that produced the item knows it by another id,
    and does not need one."""
    if not isinstance(id, str):
        return False
    return ids.item_position(id) is not None or item_number(id) is not None


def _said_otherwise(name: str, value: Json, plain: Object) -> bool:
    return is_ours(value) if name == "id" else value == plain["type"]


def _content(value: Json, plain: Json) -> Object:
    """The details of a content: its form, and the additional fields of its parts."""
    if isinstance(value, str):
        return {} if value == plain else {FORM: "string"}
    parts = as_list(value, "content")
    encoded_parts = _parts(plain)
    details: Object = {} if isinstance(plain, list) else {FORM: "list"}
    more: Object = {}
    for n, (part, encoded_part) in enumerate(zip(parts, encoded_parts, strict=True)):
        part_fields = any_object(encoded_part)
        fields = {k: v for k, v in any_object(part).items() if part_fields.get(k, _ABSENT) != v}
        if fields:
            more[str(n)] = fields
    return {**details, PARTS: more} if more else details


def _restored_content(plain: Json, details: Mapping[str, Json]) -> Json:
    form, more = details.get(FORM), any_object(details.get(PARTS))
    parts = _parts(plain)
    if form == "string" and len(parts) == 1:
        return any_object(parts[0]).get("text")
    if form != "list" and isinstance(plain, str):
        return plain
    return _merge(parts, more)


def _parts(plain: Json) -> list[Json]:
    """A content as a list of parts; a text becomes one part."""
    if isinstance(plain, list):
        return cast("list[Json]", plain)
    return [{"type": "input_text", "text": plain}]
