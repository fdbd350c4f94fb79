"""The words of a signature: names, descriptions, limits.

All of them come from strangers, and none can break the form: see `signatures`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from poe_proxy.shaping.loose_json import write

#: The most characters of a format.
_LONG: Final = 100
#: A bound of so much is that of the numbers that JavaScript knows.
_BOUNDLESS: Final = 2**53 - 1
#: What stands before all lines of a description but the first.
_NEXT_LINE: Final = "\n    "

_WORD: Final = re.compile(r"[^\W\d][\w.$-]{0,127}")
_TAG: Final = re.compile(r"<(?=/?tool_)", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_UNPRINTABLE_OR_TAG: Final = re.compile(rf"\n|{_UNPRINTABLE.pattern}|{_TAG.pattern}", re.IGNORECASE)
#: What JSON lets stand in a string, and breaks a line.
_BREAK: Final = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def in_json(text: str) -> str:
    """Return a JSON *text* that means the same, in one line and without a tag of a call."""
    return _BREAK.sub(lambda char: f"\\u{ord(char[0]):04x}", _TAG.sub(r"\\u003c", text))


def word(name: str) -> str:
    """Return *name* as it is if it is one word, otherwise as a JSON string without a tag."""
    return name if _WORD.fullmatch(name) else in_json(write(name))


def prose(text: str, most: int) -> str:
    """Return *text* in lines of which all but the first are indented, cut if it is too long."""
    given = text[: most + 1].strip()
    if len(given) > most:
        # At the end of a word, if there is one near.
        given = given[
            : max(given.rfind(" ", most - 100, most), given.rfind("\n", most - 100, most))
        ]
        given = f"{given[:most]} [...]"
    plain = _TAG.sub(r"<\\", _UNPRINTABLE.sub(" ", given)).split("\n")
    return _NEXT_LINE.join(line.rstrip() for line in plain if line.strip())


def limits_of_text(node: Mapping[str, Any]) -> Iterable[str]:
    """Yield the limits of a string; empty words for those that it has not."""
    yield between(node, "Length", "characters")
    if isinstance(pattern := node.get("pattern"), str):
        yield in_json(write(pattern)) if _UNPRINTABLE_OR_TAG.search(pattern) else f"/{pattern}/"
    for key in ("format", "contentEncoding", "contentMediaType"):
        if isinstance(form := node.get(key), str):
            yield form if _WORD.fullmatch(form) else word(form[:_LONG])


def between(node: Mapping[str, Any], what: str, unit: str) -> str:
    """Return how many *unit* there may be, by the keywords about *what*; empty if any number."""
    text = _range(node.get(f"min{what}") or None, node.get(f"max{what}"))
    return f"{text} {unit}" if text else ""


def bounds(node: Mapping[str, Any]) -> str:
    """Return the bounds of a number; in draft 4, whether one is excluded is a flag beside it."""
    least, most = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if above is True:
        least, above = None, least
    if below is True:
        most, below = None, most
    parts = [_range(least, most)]
    parts += [f"{sign}{write(one)}" for sign, one in ((">", above), ("<", below)) if _is_near(one)]
    return ", ".join(filter(None, parts))


def _range(least: Any, most: Any) -> str:
    if _is_near(least) and _is_near(most):
        return f"{write(least)}..{write(most)}"
    if _is_near(least):
        return f">={write(least)}"
    return f"<={write(most)}" if _is_near(most) else ""


def is_number(value: Any) -> bool:
    """Whether *value* is a number to JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_near(value: Any) -> bool:
    return is_number(value) and abs(value) < _BOUNDLESS
