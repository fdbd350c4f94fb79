"""JSON as bots write it: its end is found in a growing text, and small slips are tolerated."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn


class Nesting:
    """Finds where a JSON object or list ends in a text that grows.

    Brackets within strings do not count. `<` outside a string ends the value too, because there
    it is never JSON, but the closing tag of a call that lacks a bracket.
    """

    _OUTSIDE: Final = re.compile(r'["{}\[\]<]')
    _INSIDE: Final = re.compile(r'["\\]')

    def __init__(self) -> None:
        self.in_string = False
        self._closers: list[str] = []
        self._read = 0

    @property
    def missing(self) -> str:
        """The brackets that would close what is open."""
        return "".join(reversed(self._closers))

    def end(self, text: str, start: int = 0) -> int | None:
        """Return the index after the value that begins at *start*, None while it is open.

        To go on, call it again with a *text* that has grown at its end.
        """
        at = max(self._read, start)
        while mark := (self._INSIDE if self.in_string else self._OUTSIDE).search(text, at):
            at = mark.end()
            match mark[0]:
                case "\\":
                    if at == len(text):  # what it escapes is yet to come
                        at -= 1
                        break
                    at += 1
                case '"':
                    self.in_string = not self.in_string
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
        else:
            at = len(text)
        self._read = at
        return None


def read(text: str) -> tuple[Any, bool]:
    """Return the value of a JSON *text*, and whether it is strict JSON.

    Newlines within strings, commas before a closing bracket and `\\'` are tolerated: their
    meaning is certain.

    Raises `ValueError` for everything else.
    """
    try:
        try:
            return json.loads(text, parse_constant=_refuse_constant), True
        except ValueError:
            mended = _LOOSE.sub(_mend, text)
            return json.loads(mended, strict=False, parse_constant=_refuse_constant), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


_LOOSE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*+[}\]])', re.DOTALL)


def _mend(found: re.Match[str]) -> str:
    if found[0] == ",":
        return ""
    return re.sub(r"\\(.)", lambda one: "'" if one[1] == "'" else one[0], found[0], flags=re.DOTALL)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def write(value: Any) -> str:
    """Return *value* as a JSON text that can be sent as UTF-8.

    Raises `ValueError` for numbers that JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a bot wrote as an escape
        return json.dumps(value)
    return text
