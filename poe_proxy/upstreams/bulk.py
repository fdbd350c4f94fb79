"""Megabytes that others sent, worked on in bits: in between, the other requests have their turn.

All of it is linear, and holds little more than what it returns. *rest* is called in between; it is
that of threads that belong to no request, unless a request's own is given.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from poe_proxy.budget import Budget
from poe_proxy.json_pieces import has_more
from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.halves import joined

#: Characters, and bytes, of one bit of work: a few milliseconds.
_SLICE: Final = 65_536
_BYTES_AT_ONCE: Final = 4_000_000

#: The most values and names in one JSON text, about: parsing them takes a tenth of a second.
MAX_VALUES: Final = 200_000
MAX_NAMES: Final = 100_000

#: Characters that a pattern is searched in at a time, and those beyond, for a match that begins
#: near their end: even one that is quadratic takes a few hundredths of a second for so many.
_WINDOW: Final = 1024
_BEYOND: Final = 1024


class TooMuch(ValueError):
    """A text is of more pieces than anything that makes sense."""


def digest(algorithm: str, *pieces: bytes) -> bytes:
    """Return the hash of *pieces*, joined."""
    hashing = getattr(hashlib, algorithm)()
    for piece in pieces:
        if len(piece) < _BYTES_AT_ONCE:
            hashing.update(piece)
            continue
        whole = memoryview(piece)
        for start in range(0, len(whole), _BYTES_AT_ONCE):
            hashing.update(whole[start : start + _BYTES_AT_ONCE])
            breathe()
    found: bytes = hashing.digest()
    return found


def loads(text: str | bytes | bytearray, *, keep_halves: bool = False) -> Any:
    """Return the value of a JSON text, which is parsed in one go.

    Halves of surrogate pairs are U+FFFD in it; with *keep_halves* they are in its strings as they
    came, for `Halves`.

    Raises ValueError: `TooMuch` if it is of too many pieces, however short it is.
    """
    if has_more(text, values=MAX_VALUES, names=MAX_NAMES):
        raise TooMuch("it is of too many pieces")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # orjson says so of an escape, and of UTF-8 that encodes a half.
        if "surrogate" not in str(error):
            raise
    if not isinstance(text, str):
        text = text.decode("utf-8", "surrogatepass")
    try:
        value = json.loads(text, parse_constant=_refused, parse_int=_number)
        if keep_halves:
            return value
        return orjson.loads(joined(json.dumps(value, ensure_ascii=False)))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _number(digits: str) -> int | float:
    """Return a whole number as orjson does: a float if it has more than 64 bits."""
    number: int | float = orjson.loads(digits)
    return number


def percent_decoded(text: str, start: int = 0, rest: Callable[[], None] = breathe) -> bytes:
    """Return the bytes of a percent-encoded *text* from *start* on."""
    decoded = bytearray()
    for piece in _pieces(text, start):
        decoded += _unescaped(piece)
        rest()
    return bytes(decoded)


#: Many at once: each by itself would be an object of its own.
_ESCAPES: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")


def _unescaped(piece: str) -> bytes:
    return _ESCAPES.sub(_bytes_of, piece.encode()) if "%" in piece else piece.encode()


def _bytes_of(escapes: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escapes[0].replace(b"%", b"").decode())


def base64_decoded(text: str, start: int = 0, rest: Callable[[], None] = breathe) -> bytes:
    """Return the bytes of *text* from *start* on, in base64; it may be broken into lines, and
    percent-encoded. Raises ValueError."""
    decoded = bytearray()
    held = ""
    is_over = False
    for piece in _pieces(text, start):
        held += "".join(_unescaped(piece).decode("utf-8", "replace").split())
        whole = len(held) // 4 * 4
        if is_over and held:
            raise ValueError("base64 that goes on behind its end")
        try:
            decoded += base64.b64decode(held[:whole], validate=True)
        except ValueError:
            raise ValueError("no base64") from None
        is_over = held.endswith("=", 0, whole)
        held = held[whole:]
        rest()
    if held:
        raise ValueError("base64 without an end")
    return bytes(decoded)


def _pieces(text: str, start: int) -> Iterator[str]:
    """Yield *text* from *start* on in slices, none of which ends within an escape."""
    while start < len(text):
        end = min(start + _SLICE, len(text))
        if end < len(text) and (escape := text.rfind("%", end - 2, end)) > start:
            end = escape
        yield text[start:end]
        start = end


def search(pattern: re.Pattern[str], text: str, budget: Budget) -> re.Match[str] | None:
    """Return the first match of *pattern* in *text*, if it has a thousand characters at most.

    In windows, because nobody can say what a pattern costs on megabytes. Raises `OutOfBudget`.
    """
    for start in range(0, len(text), _WINDOW):
        end = start + _WINDOW + _BEYOND
        if found := pattern.search(text, start, end):
            # One that the window has cut off may go on.
            whole = pattern.match(text, found.start(), found.start() + _WINDOW + _BEYOND)
            return whole or found
        budget.breathe()
    return None


def matches(pattern: re.Pattern[str], text: str, budget: Budget) -> Iterator[re.Match[str]]:
    """Yield the matches of *pattern* in *text*, as `finditer` does.

    For patterns of our own: linear, and with matches of a thousand characters at most. Raises
    `OutOfBudget`.
    """
    at = 0
    while at < len(text):
        end = at + _SLICE
        found = pattern.search(text, at, end + _BEYOND)
        budget.breathe()
        if found is None or found.start() >= end:
            at = end
        else:
            yield found
            at = max(found.end(), at + 1)
