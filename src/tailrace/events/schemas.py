"""Whether a value fits a JSON schema, in words for whoever made the value. Pure: nothing is fetched."""

from __future__ import annotations

from typing import Any, cast


def mismatch(value: object, schema: object) -> str:
    """Why a JSON value does not fit, or `""`; what is no schema that can be read fits everything."""
    if not isinstance(schema, dict) or not schema:
        return ""
    # Imported here: it takes longer to load than the rest of the agents, and few values have a schema.
    from jsonschema import Draft202012Validator
    from referencing import Registry

    try:
        # An empty registry: by default the library would fetch what a client's schema refers to.
        registry = cast("Any", Registry)()
        validator: Any = Draft202012Validator(cast("dict[str, Any]", schema), registry=registry)
        wrong = next(iter(validator.iter_errors(value)), None)
    except (
        Exception
    ):  # a bad type, a bad pattern, a reference to nowhere or to itself: the library's own
        return ""
    return "" if wrong is None else f"{wrong.message} at {wrong.json_path}"[:500]
