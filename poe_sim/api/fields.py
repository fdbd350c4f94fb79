"""Readers of a body's fields: they return a value, or raise `Refused` with the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import errors
from .catalogue import Json, Model

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def number_between(body: Json, name: str, low: float, high: float) -> float | None:
    """Return a number within bounds; None if the field is null or missing."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.wrong_type(name, "a number")
    if not low <= value <= high:
        raise errors.unsupported_value(name, value, f"{low:g} to {high:g}")
    return value


def whole_number(body: Json, name: str) -> int | None:
    """Return a whole number from 1 on; None if the field is null or missing."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.wrong_type(name, "an integer")
    if value < 1:
        raise errors.unsupported_value(name, value, "1 and more")
    return value


def flag(body: Json, name: str, default: bool) -> bool:
    """Return a boolean; *default* if the field is null or missing."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise errors.wrong_type(name, "a boolean")
    return value


def listed(body: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list; an empty one if the field is null or missing."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise errors.wrong_type(name, "a list")
    return value


def stop_strings(value: object) -> list[str]:
    """Return the stop strings, four at most; none for null."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise errors.wrong_type("stop", "a string or up to 4 strings")
    if len(value) > 4:
        raise errors.unsupported_value("stop", f"{len(value)} strings", "up to 4 strings")
    return value


def check_declared(body: Mapping[str, Any], model: Model) -> None:
    """Check the model's own parameters (§6) against their schemas."""
    for name, schema in model.parameters.items():
        if name in body and body[name] is not None:
            _check(name, body[name], schema)


def _check(name: str, value: Any, schema: Json) -> None:
    kind = _TYPES[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise errors.unsupported_value(name, value, f"{schema['type']} values")
    choices = schema.get("enum")
    if choices is not None and value not in choices:
        raise errors.unsupported_value(name, value, ", ".join(f"'{one}'" for one in choices))
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        raise errors.unsupported_value(name, value, f"{low} to {high}")


def reasons(body: Mapping[str, Any], model: Model) -> bool:
    """Return whether the parameters ask the model to reason before it answers."""
    names = model.parameters.keys() & body.keys()
    wanted = model.reasoning_required
    for name in ("reasoning_effort", "output_effort", "thinking_level"):
        if name in names:
            wanted = body[name] not in (None, "none", "minimal")
    if "thinking_budget" in names:
        wanted = bool(body["thinking_budget"])
    if "enable_thinking" in names:
        wanted = bool(body["enable_thinking"])
    return wanted


def check_prompt_length(tokens: int, model: Model) -> None:
    """Raise `Refused` for a prompt beyond the model's context window."""
    most = model.context_length
    # Media bots have tiny windows in the list; there is no sign that Poe enforces them.
    if most is not None and model.kind == "text" and tokens > most:
        raise errors.too_large(f"prompt is too long: {tokens} tokens > {most} maximum")
