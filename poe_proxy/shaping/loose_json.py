"""JSON as bots write it: its end is found in a growing text, and small slips are tolerated."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from poe_proxy.budget import OutOfBudget
from poe_proxy.json_pieces import has_more

#: The most characters that are read at once, and values and names in them, about: the parser
#: holds the interpreter until it is done, for three hundredths of a second in the worst case.
MAX_LENGTH: Final = 1_000_000
MAX_VALUES: Final = 100_000
MAX_NAMES: Final = 50_000
#: The most slips that are mended. A bot that makes more of them does not write JSON.
MAX_SLIPS: Final = 10_000


class Nesting:
    """Finds where a JSON object or list ends in a text that comes in pieces.

    Brackets within strings do not count. `<` outside a string ends the value too, because there
    it is never JSON, but the closing tag of a call that lacks a bracket.
    """

    _OUTSIDE: Final = re.compile(r'["{}\[\]<]')
    #: The rest of a string up to its end, or to a backslash at the end of the piece.
    _INSIDE: Final = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

    def __init__(self) -> None:
        self.in_string = False
        self._closers: list[str] = []
        #: The last piece ended in a backslash; what it escapes comes with the next one.
        self._is_escaped = False

    @property
    def missing(self) -> str:
        """The brackets that would close what is open."""
        return "".join(reversed(self._closers))

    def end(self, piece: str, start: int = 0) -> int | None:
        """Return the index in *piece* after the end of the value, None if it ends further on.

        The value goes on, or begins, at *start*.
        """
        at = start
        while at < len(piece):
            if self.in_string:
                at = self._end_of_string(piece, at)
                continue
            mark = self._OUTSIDE.search(piece, at)
            if mark is None:
                return None
            at = mark.end()
            match mark[0]:
                case '"':
                    self.in_string = True
                case "{":
                    self._closers.append("}")
                case "[":
                    self._closers.append("]")
                case "<":
                    return at - 1
                case _:
                    if self._closers:
                        self._closers.pop()
                    if not self._closers:
                        return at
        return None

    def _end_of_string(self, piece: str, at: int) -> int:
        """Return where the string that is open ends in *piece*, or the length of *piece*."""
        if self._is_escaped:
            self._is_escaped = False
            at += 1
        inside = self._INSIDE.match(piece, at)
        assert inside is not None
        at = inside.end()
        if at == len(piece):
            return at
        if piece[at] == '"':
            self.in_string = False
        else:
            self._is_escaped = True
        return at + 1


def read(text: str) -> tuple[Any, bool]:
    """Return the value of a JSON *text*, and whether it is strict JSON.

    Newlines within strings, commas before a closing bracket and `\\'` are tolerated: their
    meaning is certain.

    Raises `ValueError` for everything else, and `OutOfBudget` for a text that is too long, or of
    too many pieces.
    """
    if len(text) > MAX_LENGTH or has_more(text, values=MAX_VALUES, names=MAX_NAMES):
        raise OutOfBudget
    try:
        try:
            return json.loads(text, parse_constant=_refuse_constant), True
        except ValueError:
            mended = _mended(text)
            return json.loads(mended, strict=False, parse_constant=_refuse_constant), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


#: Text without a slip outside of strings, with whole strings without a slip in between.
_CLEAN: Final = re.compile(
    r'(?:[^",]++|"[^"\\]*+(?:\\[^\'][^"\\]*+)*+"|,(?!\s*+[}\]]))*+',
)
#: The text of a string up to its end, or to its next slip.
_CLEAN_INSIDE: Final = re.compile(r'[^"\\]*+(?:\\[^\'][^"\\]*+)*+')


def _mended(text: str) -> str:
    """Return *text* without commas before a closing bracket, and with `'` for `\\'`."""
    kept: list[str] = []
    at = slips = 0
    in_string = False
    while at < len(text):
        clean = (_CLEAN_INSIDE if in_string else _CLEAN).match(text, at)
        assert clean is not None
        kept.append(clean[0])
        at = clean.end()
        if at == len(text):
            break
        if text[at] == '"':
            kept.append('"')
            in_string = not in_string
        else:  # the slip is one character that is left out
            slips += 1
        if slips > MAX_SLIPS:
            raise ValueError("it has too many slips")
        at += 1
    return "".join(kept)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def write(value: Any) -> str:
    """Return *value* as a JSON text that can be sent as UTF-8.

    Raises `ValueError` for numbers that JSON does not have, and for a value that is nested too
    deeply.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a bot wrote as an escape
        return json.dumps(value)
    return text
