"""The words in a prompt that steer the stand-in: ``!chunks=3``, ``!echo``.

A directive is a word of its own: it begins with ``!`` and ends at white space. ``Hello!`` and
``!=`` are text; ``!important`` is a directive without effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .percent import decoded

_DIRECTIVE = re.compile(r"(?<!\S)!([a-z][a-z0-9-]*)(?:=(\S*))?(?:\s|\Z)")


def parse(prompt: str) -> tuple[Mapping[str, str], str]:
    """Split *prompt* into its directives, of which later ones win, and the text without them.

    A directive without ``=`` has the empty value. With each directive goes one white-space
    character, the one behind it or, at the very end, the one before it.
    """
    found: dict[str, str] = {}
    kept: list[str] = []
    position = 0
    for match in _DIRECTIVE.finditer(prompt):
        kept.append(prompt[position : match.start()])
        position = match.end()
        found[match[1]] = match[2] or ""
    text = "".join(kept) + prompt[position:]
    ends_with_directive = bool(found) and position == len(prompt) and not prompt[-1].isspace()
    if ends_with_directive and text and text[-1].isspace():
        text = text[:-1]
    return found, text


def spoken(value: str) -> str:
    """Return the text in the value of a word: spaces are underscores, and `%0A` is a line break."""
    return decoded(value.replace("_", " ")).decode(errors="replace")


def number(words: Mapping[str, str], name: str, default: float) -> float:
    """Return the number given with *name*, or *default* if it is missing or invalid."""
    try:
        return float(words[name])
    except (KeyError, ValueError):
        return default
