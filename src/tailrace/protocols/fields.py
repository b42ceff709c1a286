"""Reads fields of a client's JSON: a value of the right type, absence, or a `BadRequest` that names the
position."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

import msgspec

from tailrace.errors import BadRequest
from tailrace.events.items import Json
from tailrace.protocols.framing.surrogates import half_character

Object = dict[str, Json]
Kind = TypeVar("Kind", str, bool, int)
Default = TypeVar("Default")

MAX_DEPTH = 100
"""Maximum nesting: a stored value must be readable again from any stack depth."""

_LARGE = 2**63 - 1
"""JSON has no limit for numbers, but the log and other servers do."""

_BOUNDS: Mapping[str, tuple[float, float]] = {
    "frequency_penalty": (-2, 2),
    "max_completion_tokens": (1, _LARGE),
    "max_output_tokens": (1, _LARGE),
    "max_tool_calls": (1, _LARGE),
    "presence_penalty": (-2, 2),
    "temperature": (0, 2),
    "top_logprobs": (0, 20),
    "top_p": (0, 1),
}
"""Allowed values of a parameter of this name, on every surface. `max_tokens` is not among them: for
Messages, 0 fills a cache without a reply."""

_NAMES: Mapping[type[Any], str] = {str: "a string", bool: "a boolean", int: "a whole number"}


def body_object(body: bytes) -> Object:
    """A request body that must be a JSON object."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if (place := half_character(body)) is not None:
            raise BadRequest(
                f"{place.place or 'The request body'} has half of a character, a lone surrogate"
                f" (\\u{place.code:04x}); it must come with its other half.",
                param=place.place,
            ) from None
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    fields = cast("Object", value)
    if _deeper_than(fields, MAX_DEPTH):
        raise BadRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")
    return fields


def _deeper_than(value: Object, depth: int) -> bool:
    level: list[Object | list[Json]] = [value]
    for _ in range(depth):
        level = [
            cast("Object | list[Json]", inner)
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def as_object(value: Json, where: str) -> Object:
    """An object."""
    if not isinstance(value, dict):
        raise BadRequest(f"{where} must be an object.", param=where)
    return cast("Object", value)


def any_object(value: Json) -> Object:
    """The value if it is an object, else an empty one."""
    return cast("Object", value) if isinstance(value, dict) else {}


def object_in(text: str) -> Object | None:
    """A call's arguments as a JSON object: `{}` for an empty text, None for anything else."""
    try:
        value: Json = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    return cast("Object", value) if isinstance(value, dict) else None


def objects(value: Json) -> list[Object]:
    """The objects in a value: those of a list, or the value itself."""
    if isinstance(value, dict):
        return [any_object(value)] if value else []
    entries = cast("list[Json]", value) if isinstance(value, list) else ()
    return [any_object(entry) for entry in entries if isinstance(entry, dict)]


def as_list(value: Json, where: str) -> list[Json]:
    """A list."""
    if not isinstance(value, list):
        raise BadRequest(f"{where} must be a list.", param=where)
    return cast("list[Json]", value)


def only(fields: Object, names: Collection[str], where: str) -> None:
    """Refuse an answer with keys that are not supported: a person who changed the amount must not find that
    the original amount was paid. Null counts as absent. Raises `BadRequest`."""
    for name, value in fields.items():
        if name not in names and value is not None:
            raise unsupported_field(f"{where}.{name}" if where else name)


def unsupported_field(place: str) -> BadRequest:
    """The error for a key that an answer must not have."""
    return BadRequest(
        f"{place} is not supported in an answer, so nothing was answered.", param=place
    )


def text(fields: Object, name: str, where: str) -> str:
    """A required string of the object at `where`."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{where}.{name} must be a string.", param=f"{where}.{name}")
    return value


def optional(
    fields: Object, name: str, kind: type[Kind], *, default: Default, where: str = ""
) -> Kind | Default:
    """A parameter of one type; `default` where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not kind or (kind is int and abs(cast("int", value)) > _LARGE):
        place = f"{where}.{name}" if where else name
        raise BadRequest(f"{place} must be {_NAMES[kind]}.", param=place)
    if kind is int and not where:
        _check_bounds(name, cast("int", value))
    return cast("Kind", value)


def number(fields: Object, name: str) -> float | None:
    """A number; None where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > _LARGE:
        raise BadRequest(f"{name} must be a number.", param=name)
    _check_bounds(name, value)
    return float(value)


def _check_bounds(name: str, value: float) -> None:
    low, high = _BOUNDS.get(name, (-_LARGE, _LARGE))
    if not low <= value <= high:
        allowed = f"at least {low}" if high == _LARGE else f"from {low} to {high}"
        raise BadRequest(f"{name} must be {allowed}, not {value}.", param=name)


def nested(fields: Object, name: str) -> Object:
    """A nested object; empty where it is absent or null."""
    value = fields.get(name)
    return {} if value is None else as_object(value, name)


def strings(fields: Object, name: str) -> tuple[str, ...]:
    """A list of strings; empty where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return ()
    values = as_list(value, name)
    if not all(isinstance(entry, str) for entry in values):
        raise BadRequest(f"{name} must be a list of strings.", param=name)
    return tuple(values)


def metadata(fields: Object) -> dict[str, str]:
    """`metadata` within OpenAI's limits: 16 strings of 512 characters, keys of 64."""
    value = nested(fields, "metadata")
    fits = all(isinstance(v, str) and len(v) <= 512 and len(k) <= 64 for k, v in value.items())
    if not fits or len(value) > 16:
        raise BadRequest(
            "metadata must be at most 16 strings of up to 512 characters, keys up to 64.",
            param="metadata",
        )
    return value


def texts_of(metadata: Object) -> dict[str, str]:
    """The entries of another surface's metadata that are within OpenAI's limits."""
    fits = {
        name: value
        for name, value in metadata.items()
        if isinstance(value, str) and len(value) <= 512 and len(name) <= 64
    }
    return fits if len(fits) <= 16 else {}


def without_empty(fields: Mapping[str, Json]) -> Object:
    """The fields that are neither None nor empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", (), {}, [])}
