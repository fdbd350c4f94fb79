"""Finds JSON among other text, where any bracket may begin a value and most do not.

The text is read once, from left to right. Where it ceases to be JSON, all that is open there is
none, whichever bracket it began at; what was complete within stays. Only brackets in the last
string are read again: a quotation mark too many further up may have made a string of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: What is nested more deeply than this is not looked for; `json` itself reads about a thousand.
MAX_DEPTH: Final = 500
#: Tokens between two turns for others: about a millisecond.
_TURN: Final = 1000

_BRACKET: Final = re.compile(r"[\[{]")
_WHITE: Final = re.compile(r"[ \t\r\n]*+")
#: A string as `loose_json` reads it, up to its end or to where it ceases to be one.
_BEGUN_STRING: Final = re.compile(
    r'"[^"\\]*+(?:\\(?:["\\/bfnrt\']|u[0-9a-fA-F]{4})[^"\\]*+)*+',
)
#: A string with a colon behind it is a key.
_TOKEN: Final = re.compile(
    rf"{_WHITE.pattern}(?:"
    r"(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|"
    rf'(?P<string>{_BEGUN_STRING.pattern}")(?P<key>{_WHITE.pattern}:)?+|'
    r"(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null))"
)

#: The kinds of token that may come: after a key, after a value, and first in what ends with this
#: bracket. There they may come after a comma too, for `loose_json` puts up with one too many.
_VALUE: Final = ("open", "string", "scalar")
_AFTER: Final = ("comma", "close")
_FIRST: Final = {"}": ("key", "close"), "]": (*_VALUE, "close")}


def find_values(text: str, breathe: Callable[[], None]) -> list[str]:
    """Return the objects and lists in *text* that are in no other, in their order.

    Nearly all of them are JSON as `loose_json` reads it. *breathe* is called every now and then.
    """
    search = _Search(text, breathe)
    at = 0
    while bracket := _BRACKET.search(text, at):
        at = search.read(bracket.start())
    return [text[start:end] for start, end in search.found]


class _Search:
    def __init__(self, text: str, breathe: Callable[[], None]) -> None:
        #: Where the values begin and end.
        self.found: list[tuple[int, int]] = []
        self._text = text
        self._breathe = breathe
        self._tokens = 0

    def read(self, start: int) -> int:
        """Read what begins with the bracket at *start*; return where to go on."""
        text = self._text
        closers: list[str] = []
        #: Of the outermost that are open: where each begins, and how much was found before it.
        opened: list[tuple[int, int]] = []
        last_string: int | None = None
        comes: tuple[str, ...] = _VALUE
        at = start
        while (token := _TOKEN.match(text, at)) and (kind := token.lastgroup) in comes:
            self._count()
            at = token.end()
            match kind:
                case "open":
                    if len(closers) < MAX_DEPTH:
                        opened.append((at - 1, len(self.found)))
                    closers.append("}" if text[at - 1] == "{" else "]")
                    comes = _FIRST[closers[-1]]
                case "close":
                    if text[at - 1] != closers.pop():
                        break
                    if len(opened) > len(closers):
                        begin, before = opened.pop()
                        # What is inside a value is not one of its own.
                        del self.found[before:]
                        self.found.append((begin, at))
                    if not closers:
                        return at
                    comes = _AFTER
                case "comma":
                    comes = _FIRST[closers[-1]]
                case "key":
                    last_string = token.start("string")
                    comes = _VALUE
                case "string":
                    last_string = token.start("string")
                    comes = _AFTER
                case _:
                    comes = _AFTER
        return self._go_on(at, last_string)

    def _count(self) -> None:
        self._tokens += 1
        if self._tokens % _TURN == 0:
            self._breathe()

    def _go_on(self, at: int, last_string: int | None) -> int:
        """Return where to go on after what is no JSON from *at* on."""
        space = _WHITE.match(self._text, at)
        assert space is not None
        at = space.end()
        if begun := _BEGUN_STRING.match(self._text, at):
            last_string, at = at, begun.end()
        if last_string is not None and (hidden := _BRACKET.search(self._text, last_string, at)):
            return hidden.start()
        return at
