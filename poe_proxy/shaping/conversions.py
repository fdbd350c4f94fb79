"""What a single value may be taken for: only what it evidently is.

`yes` and `no` are answers where a boolean is wanted; 1 and 0 may be anything. A list or an object
is no text: how it should be written cannot be told.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.shaping.loose_json import read

_WRITTEN_NUMBER: Final = re.compile(
    r"\s*+[+-]?\d{1,30}+(\.\d{1,30}+)?+([eE][+-]?\d{1,3}+)?+\s*+", re.ASCII
)
_PLAIN_NUMBER: Final = re.compile(
    r"-?(?:0|[1-9]\d{0,29}+)(?:\.\d{1,30}+)?+(?:[eE][+-]?\d{1,3}+)?+", re.ASCII
)
_FLAGS: Final = {"true": True, "false": False, "yes": True, "no": False}
_LITERALS: Final = {"true": True, "false": False, "null": None}
_NULLS: Final = ("null", "none", "")

#: What a value cannot be taken for.
NOT: Final = object()


def is_any(given: Any, kinds: Collection[str]) -> bool:
    """Whether *given* is of one of these *kinds*."""
    match given:
        case None:
            return "null" in kinds
        case bool():
            return "boolean" in kinds
        case int():
            return "integer" in kinds or "number" in kinds
        case float():
            return "number" in kinds or ("integer" in kinds and given.is_integer())
        case str():
            return "string" in kinds
        case list():
            return "array" in kinds
    return "object" in kinds


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, in which no number is a boolean."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def one_of(given: Any, values: list[Any]) -> Any:
    """Return the one of *values* that is meant, `NOT` if that is unclear."""
    if any(is_same(given, value) for value in values):
        return given
    if isinstance(given, str):
        plain = given.strip().casefold()
        like = [value for value in values if _text(value).strip().casefold() == plain]
    else:
        plain = _text(given)
        like = [value for value in values if isinstance(value, str) and value == plain]
    return like[0] if len(like) == 1 else NOT


def _text(value: Any) -> str:
    """Return a value as it would be written in a text; nothing that is written for a container."""
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    return "\0"


def _as_null(given: Any) -> Any:
    return None if isinstance(given, str) and given.strip().lower() in _NULLS else NOT


def _as_boolean(given: Any) -> Any:
    return _FLAGS.get(given.strip().lower(), NOT) if isinstance(given, str) else NOT


def _as_integer(given: Any) -> Any:
    number = _as_number(given)
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number if isinstance(number, int) else NOT


def _as_number(given: Any) -> Any:
    found = _WRITTEN_NUMBER.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        return NOT
    if found[1] is None and found[2] is None:
        return int(found[0])
    number = float(found[0])
    return number if math.isfinite(number) else NOT


def _as_object(given: Any) -> Any:
    return _within(given, "{", dict)


def _as_array(given: Any) -> Any:
    return _within(given, "[", list)


def _within(given: Any, opening: str, kind: type) -> Any:
    """Return what a text holds, if that is JSON of this *kind*."""
    if not isinstance(given, str) or given.lstrip()[:1] != opening:
        return NOT
    try:
        value = read(given)[0]
    except (ValueError, OutOfBudget):
        return NOT
    return value if isinstance(value, kind) else NOT


def _as_string(given: Any) -> Any:
    return _text(given) if isinstance(given, bool | int | float) else NOT


#: In which order a value is taken for something else: what is the most certain comes first.
_AS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "null": _as_null,
    "boolean": _as_boolean,
    "integer": _as_integer,
    "number": _as_number,
    "object": _as_object,
    "array": _as_array,
    "string": _as_string,
}


def taken(given: Any, kinds: Collection[str]) -> Any:
    """Return what *given* means where one of these *kinds* is wanted, `NOT` if that is unclear."""
    for kind, read_as in _AS.items():
        if kind in kinds and (meant := read_as(given)) is not NOT:
            return meant
    return NOT


def read_plainly(given: Any) -> Any:
    """Return what a text plainly is, where nothing is said of it."""
    if not isinstance(given, str):
        return given
    text = given.strip()
    if text in _LITERALS:
        return _LITERALS[text]
    if _PLAIN_NUMBER.fullmatch(text):
        return _as_number(text) if _as_number(text) is not NOT else given
    for meant in (_as_object(text), _as_array(text)):
        if meant is not NOT:
            return meant
    return given
