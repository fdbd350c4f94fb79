"""The JSON that a client wants for an answer, in every form in which clients say so.

OpenAI's chat completions have the schema in `json_schema`, its Responses API and other vendors
beside the type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from poe_proxy.apis.fields import refusal
from poe_proxy.chat import JsonWanted

#: A schema must have a name for Poe.
_ANSWER: Final = "answer"
#: What shows that an object is a schema, and not what is told about one.
_OF_SCHEMAS: Final = frozenset({"type", "properties", "anyOf", "oneOf", "allOf", "$ref", "enum"})


def json_wanted(given: Any, path: str) -> JsonWanted | None:
    """Return what the field at *path* asks for, None for plain text. Raises `InvalidRequest`."""
    match given:
        case None | "text" | {"type": "text"}:
            return None
        case "json_object":
            return JsonWanted(path=path)
        case {"type": "json_object", "schema": dict(schema), **beside} if schema:
            return _by_schema(schema, {"name": _ANSWER}, beside, path, f"{path}.schema")
        case {"type": "json_object", **beside}:
            return JsonWanted(path=path, beside=_named(beside))
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), **rest}, **beside}:
            return _by_schema(schema, rest, beside, path, f"{path}.json_schema.schema")
        case {"type": "json_schema", "json_schema": dict(schema), **beside} if (
            not _OF_SCHEMAS.isdisjoint(schema) and "schema" not in schema
        ):
            return _by_schema(schema, {"name": _ANSWER}, beside, path, f"{path}.json_schema")
        case {"type": "json_schema", "schema": dict(schema), **flat} if "json_schema" not in flat:
            about = {name: one for name, one in flat.items() if one is not None}
            return _by_schema(schema, {"name": _ANSWER, **about}, {}, path, f"{path}.schema")
        case {"type": "json_schema"}:
            raise refusal(
                f"{path}.json_schema", f"{path}.json_schema must be an object with a schema."
            )
        case dict():
            raise refusal(
                f"{path}.type", f'{path}.type must be "text", "json_object" or "json_schema".'
            )
    raise refusal(path, f"{path} must be an object.")


def _by_schema(
    schema: Mapping[str, Any],
    about: Mapping[Any, Any],
    beside: Mapping[Any, Any],
    path: str,
    schema_path: str,
) -> JsonWanted:
    description = about.get("description")
    return JsonWanted(
        schema=schema,
        description=None if description is None else str(description),
        path=path,
        schema_path=schema_path,
        extra={name: one for name, one in _named(about).items() if name != "description"},
        beside=_named(beside),
    )


def _named(fields: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): one for name, one in fields.items()}
