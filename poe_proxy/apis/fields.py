"""Reading a client's JSON: a field of it, or a refusal that names the field by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson

from poe_proxy.budget import Budget
from poe_proxy.errors import InvalidRequest

T = TypeVar("T")

#: The most values that a body may have, lists and objects included. Each becomes an object of some
#: hundred bytes, so three bytes of body can cost a hundred times as much.
MAX_VALUES: Final = 100_000

#: With more brackets than this, a JSON text may be deeper than can be written again.
_MAY_BE_TOO_DEEP: Final = 200
#: How much deeper its values may stand where they are written again: in an event, or for Poe.
_DEEPER: Final = 8
#: Bytes that are looked at before others get their turn.
_SLICE: Final = 32_768
_BACKSLASHES: Final = re.compile(rb"\\*+")

#: What numbers are written with where they come as texts, and the most characters of one.
_DIGITS: Final = frozenset("0123456789.+-eE")
_MAX_DIGITS: Final = 32
#: The whole numbers that orjson writes.
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1
_KIND_NAMES: Final[Mapping[type, str]] = {
    str: "a string", dict: "an object", list: "a list",
}  # fmt: skip


def refusal(param: str, message: str, *, missing: bool = False) -> InvalidRequest:
    """Return the refusal of the field at *param*, to be raised."""
    return InvalidRequest(
        message, param=param, code="missing_required_parameter" if missing else None
    )


def json_object(body: bytes | bytearray, budget: Budget) -> dict[str, Any]:
    """Return the JSON object in *body*, all of which can be written again, some levels deeper, too.

    Raises `InvalidRequest` for anything else.
    """
    if _has_too_many_values(body, budget):
        raise too_many("body", f"The body may hold {MAX_VALUES:,} values at most.")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        where = f"line {bad.lineno}, column {bad.colno}" if body else "the body is empty"
        raise refusal("body", f"The body is not JSON ({where}).") from None
    if not isinstance(data, dict):
        raise refusal("body", "The body must be a JSON object.")
    if body.count(b"[") + body.count(b"{") > _MAY_BE_TOO_DEEP:
        try:
            # orjson reads deeper than it writes.
            orjson.dumps(_within(data, _DEEPER))
        except TypeError:
            raise refusal("body", "The body is nested too deeply.") from None
    return data


def _within(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def _has_too_many_values(body: bytes | bytearray, budget: Budget) -> bool:
    """Whether the JSON text *body* has more than `MAX_VALUES` values.

    Known before it is parsed: parsing holds the worker, and memory for all of them.
    """
    if len(body) <= MAX_VALUES or marks(body) <= MAX_VALUES:
        return False
    # Texts have commas and brackets, too. Those are not counted: what is outside of strings is
    # found slice by slice. A slice ends behind what its last backslash escapes.
    found = at = 0
    in_string = False
    while at < len(body) and found <= MAX_VALUES:
        end = at + _SLICE
        if run := _BACKSLASHES.match(body, end - 1):
            end = run.end() + 1
        piece = body[at:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = piece.split(b'"')
        found += marks(b"".join(pieces[in_string::2]))
        in_string ^= len(pieces) % 2 == 0
        at = end
        budget.breathe()
    return found > MAX_VALUES


def marks(text: bytes | bytearray) -> int:
    """Return how many values the JSON text *text* has at most: the marks that one stands behind."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def too_many(param: str, message: str) -> InvalidRequest:
    """Return the refusal of a field with too many items in it."""
    return InvalidRequest(message, param=param, code="array_above_max_length")


def limit_items(given: list[Any], most: int, path: str) -> None:
    """Refuse the list *given* if it has more than *most* items."""
    limit_number(len(given), most, path)


def limit_number(items: int, most: int, path: str) -> None:
    """Refuse so many *items*, which stand in more than one list, if they are more than *most*."""
    if items > most:
        raise too_many(path, f"{path} may have {most:,} items at most.")


def limit_length(given: str, most: int, path: str) -> None:
    """Refuse the string *given* if it has more than *most* characters."""
    if len(given) > most:
        raise InvalidRequest(
            f"{path} may have {most:,} characters at most.",
            param=path,
            code="string_above_max_length",
        )


def field(data: Mapping[str, Any], name: str, kind: type[T], path: str = "") -> T | None:
    """Return the value of *name*, None where it is absent or null; refuse another type.

    *path* is the place of *data* in the request, such as `messages[0].`.
    """
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, kind):
        raise refusal(path + name, f"{path}{name} must be {_KIND_NAMES[kind]}.")
    return value


def flag(data: Mapping[str, Any], name: str, path: str = "") -> bool | None:
    """Return whether *name* is true, None where it is absent or null; *path* as for `field`.

    Clients that are put together from forms send "true" as a text, others 1.
    """
    value = data.get(name)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise refusal(path + name, f"{path}{name} must be true or false.")


def number(data: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    """Return the value of *name*, a number from *low* to *high*; None where absent or null."""
    value = data.get(name)
    if value is None:
        return None
    found = _number(value)
    if found is None or not low <= found <= high:
        raise refusal(name, f"{name} must be a number from {low} to {high}.")
    return found


def whole(data: Mapping[str, Any], name: str) -> int | None:
    """Return the value of *name*, a whole number that can be written again; None where absent or
    null."""
    value = data.get(name)
    if value is None:
        return None
    found = _number(value)
    if found is None or found != found // 1:
        raise refusal(name, f"{name} must be an integer.")
    if not _SMALLEST <= found <= _LARGEST:
        raise refusal(name, f"{name} must be an integer of 64 bits.")
    return int(found)


def integer(value: Any) -> int | None:
    """Return *value* if it is an integer. To Python true is one, to JSON it is not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    """Return the number that *value* is or says, as settings in a form do; None for any other."""
    if isinstance(value, str):
        # Not all that Python reads as a number: neither "nan" nor "1_000".
        written = value.strip()
        if len(written) > _MAX_DIGITS or not _DIGITS.issuperset(written):
            return None
        try:
            return float(written)
        except ValueError:
            return None
    # To Python true is an integer; to a client it is a mistake.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
