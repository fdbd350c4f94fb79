"""Values that satisfy a JSON schema: arguments of tool calls, structured answers."""

from __future__ import annotations

import contextlib
import importlib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

Schema = Mapping[str, Any]

# Python's own parser of regular expressions; it has no public name.
_regex = importlib.import_module("re._parser")

# The depth at which optional members end, and the one at which a schema counts as endless.
_DEEPEST = 6
_BOTTOM = 50
_MOST = 10_000
_FORMATS: Mapping[str, str] = {
    "date": "2026-01-31",
    "time": "12:30:00Z",
    "date-time": "2026-01-31T12:30:00Z",
    "duration": "PT5M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


class BadSchemaError(ValueError):
    """An invalid schema, or one that no value satisfies."""


def instance(schema: object, hints: Mapping[str, str] | None = None) -> Any:
    """Return a value that *schema* allows; strings named in *hints* take their value from there.

    The same schema always gives the same value. Optional members are there too, except deep down
    in a schema that contains itself. Raises `BadSchemaError` if there is no such value.
    """
    try:
        made = _Maker(schema, hints or {}).make(schema, "value", 0)
        # Numbers may be too large for JSON.
        orjson.dumps(made)
        return made
    except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as exc:
        raise BadSchemaError(str(exc)) from exc


class _Maker:
    def __init__(self, root: object, hints: Mapping[str, str]) -> None:
        self._root = root
        self._hints = hints

    def make(self, schema: object, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return f"some {name}"
        if depth > _BOTTOM:
            raise BadSchemaError("it has no end")
        schema = self._resolved(schema)
        for chosen in ("const", "default"):
            if chosen in schema:
                return schema[chosen]
        for choices in ("enum", "examples"):
            if schema.get(choices):
                return schema[choices][0]
        for branches in ("anyOf", "oneOf"):
            if schema.get(branches):
                rest = {key: value for key, value in schema.items() if key != branches}
                branch = self._shallowest(schema[branches], depth)
                return self.make(_merged([rest, self._resolved(branch)]), name, depth)
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(_number(schema, 1))
            case "number":
                value = _number(schema, 1)
                return value if value % 1 else int(value)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolved(self, schema: Schema) -> Schema:
        """Follow references, and merge the parts of `allOf`."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged([self._referred(str(schema["$ref"])), rest])
            elif schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = _merged([rest, *(self._resolved(part) for part in schema["allOf"])])
            else:
                break
        return schema

    def _referred(self, reference: str) -> Schema:
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if not step:
                continue
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return target if isinstance(target, Mapping) else {}

    def _shallowest(self, branches: Sequence[Any], depth: int) -> Schema:
        """Return the first branch, or deep down one that ends the nesting."""
        if depth >= _DEEPEST:
            for branch in branches:
                kind = self._type(self._resolved(branch))
                if kind not in ("object", "array"):
                    return dict(branch)
        return dict(branches[0]) if isinstance(branches[0], Mapping) else {}

    @staticmethod
    def _type(schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            if "properties" in schema:
                return "object"
            if "items" in schema or "prefixItems" in schema:
                return "array"
            if "minimum" in schema or "maximum" in schema:
                return "number"
            return "string"
        return str(kind)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = list(schema.get("required") or ())
        names = [name for name in properties if name in required or depth < _DEEPEST - 2]
        names += [name for name in required if name not in properties]
        made = {name: self.make(properties.get(name, {}), name, depth + 1) for name in names}
        extra = schema.get("additionalProperties")
        index = 0
        while len(made) < _least(schema, "minProperties"):
            index += 1
            made[f"key{index}"] = self.make(extra or {}, f"key{index}", depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        made = [self.make(item, name, depth + 1) for item in schema.get("prefixItems") or ()]
        items = schema.get("items")
        least = _least(schema, "minItems")
        wanted = max(least, 1 if items and depth < _DEEPEST else 0)
        wanted = min(wanted, int(schema.get("maxItems", max(wanted, len(made)))))
        while len(made) < wanted:
            value = self.make(items or {}, name, depth + 1)
            if schema.get("uniqueItems") and value in made:
                value = self._another(items, made, value)
            made.append(value)
        return made

    def _another(self, items: Any, made: Sequence[Any], value: Any) -> Any:
        resolved = self._resolved(items) if isinstance(items, Mapping) else {}
        for choice in resolved.get("enum") or ():
            if choice not in made:
                return choice
        if isinstance(value, str):
            return f"{value} {len(made) + 1}"
        if isinstance(value, int | float):
            return value + len(made) * resolved.get("multipleOf", 1)
        return value

    def _string(self, schema: Schema, name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if schema.get("pattern"):
            return _matching(str(schema["pattern"]), _least(schema, "minLength"))
        text = self._hints.get(name) or f"some {name.replace('_', ' ')}"
        text = text.ljust(_least(schema, "minLength"), ".")
        return text[: int(schema.get("maxLength", len(text)))]


def _least(schema: Schema, name: str) -> int:
    """Return a least length. Raises `BadSchemaError` if it is absurd."""
    least = int(schema.get(name, 0))
    if least > _MOST:
        raise BadSchemaError(f"{name} is more than {_MOST}")
    return least


def _merged(parts: Sequence[Schema]) -> Schema:
    """Merge schemas that must all hold."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged


def _number(schema: Schema, usual: float) -> float:
    is_integer = schema.get("type") == "integer"
    step = schema.get("multipleOf") or (1 if is_integer else 0)
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    gap = step or 0.5
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = max(low, above + gap)
    if (below := schema.get("exclusiveMaximum")) is not None:
        high = min(high, below - gap)
        if low > high and not is_integer:
            # The middle of two bounds that lie close together.
            return (
                float(schema.get("exclusiveMinimum", schema.get("minimum", below - 1)) + below) / 2
            )
    value = min(max(usual, low), high)
    if step:
        value = math.ceil(value / step) * step
        if value > high:
            value -= step
    return float(value)


def _matching(pattern: str, least: int) -> str:
    """Return a text in which *pattern* is found, the shortest that is easy to make."""
    with warnings.catch_warnings(), contextlib.suppress(re.error, ValueError, StopIteration):
        # Patterns are written for JavaScript: Python warns of some.
        warnings.simplefilter("ignore", FutureWarning)
        text = _sample(_regex.parse(pattern), 1)
        if len(text) < least:
            text = _sample(_regex.parse(pattern), least)
        if re.search(pattern, text):
            return text
    return "a" * least


_CATEGORIES: Mapping[str, str] = {
    "CATEGORY_DIGIT": "1",
    "CATEGORY_NOT_DIGIT": "a",
    "CATEGORY_WORD": "a",
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": "a",
}


_CLASSES: Mapping[str, str] = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
}


def _sample(parsed: Any, repeat: int) -> str:
    parts: list[str] = []
    for operator, argument in parsed:
        match str(operator):
            case "LITERAL":
                parts.append(chr(argument))
            case "NOT_LITERAL":
                parts.append("a" if argument != ord("a") else "b")
            case "ANY":
                parts.append("a")
            case "IN":
                parts.append(_one_of(argument))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, what = argument
                count = min(max(least, repeat), int(most), _MOST)
                parts.append(_sample(what, 1) * count)
            case "SUBPATTERN":
                parts.append(_sample(argument[3], repeat))
            case "BRANCH":
                parts.append(_sample(argument[1][0], repeat))
            case "AT" | "ASSERT" | "ASSERT_NOT":
                pass
            case other:
                raise ValueError(f"no sample for {other}")
    return "".join(parts)


def _one_of(choices: Any) -> str:
    first, argument = choices[0]
    match str(first):
        case "NEGATE":
            return next(c for c in "aA1-_ .zZ9" if not any(_holds(one, c) for one in choices[1:]))
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case _:
            return _CATEGORIES[str(argument)]


def _holds(choice: Any, character: str) -> bool:
    """Return whether a part of a character class holds a character."""
    kind, argument = choice
    match str(kind):
        case "LITERAL":
            return bool(ord(character) == argument)
        case "RANGE":
            return bool(argument[0] <= ord(character) <= argument[1])
        case _:
            return bool(re.match(_CLASSES[str(argument)], character))
