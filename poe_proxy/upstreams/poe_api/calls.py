"""The tool calls of one answer, whether it is whole or comes in deltas. Free of I/O.

Official API sheet §3.5 and §3.6.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from poe_proxy.chat import ToolCallPart
from poe_proxy.shaping.loose_json import Nesting
from poe_proxy.upstreams.halves import Halves, joined

#: The most calls of one answer; it ends where another one begins.
MAX_CALLS: Final = 1_000


@dataclass(slots=True)
class _Call:
    """A call so far. What comes before its name waits: clients want the name at its beginning."""

    #: As Poe has it, perhaps for several calls.
    id: str | None = None
    name: str | None = None
    #: In pieces, as they came.
    arguments: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    halves: Halves = field(default_factory=Halves)
    #: Whether there is nothing but white space in its arguments.
    is_blank: bool = True
    #: Whether its head has come again behind its arguments: what comes then is of another call.
    is_named_again: bool = False
    _nesting: Nesting = field(default_factory=Nesting)
    #: How many pieces have been looked at, and whether the value has ended in them.
    _looked_at: int = 0
    _is_complete: bool = False

    def add(self, arguments: str) -> None:
        """Add a piece of its arguments."""
        if arguments:
            self.arguments.append(arguments)
            self.is_blank = self.is_blank and arguments.isspace()

    def is_complete(self) -> bool:
        """Whether its arguments are a whole object or list."""
        while self._looked_at < len(self.arguments) and not self._is_complete:
            self._is_complete = self._nesting.end(self.arguments[self._looked_at]) is not None
            self._looked_at += 1
        return self._is_complete

    def is_another(self, identity: str | None, name: str | None, arguments: str) -> bool:
        """Whether these begin another call, although its number or id is that of this call.

        Some bots give all calls one number, or one id, or none. Others repeat name and id in each
        delta of a call, so a name begins another one only behind complete arguments.
        """
        if self.name is None:
            return bool(identity and name) and self.id not in (None, identity)
        if name is None:
            return self.is_named_again and bool(arguments.strip())
        if identity and (self.id not in (None, identity) or self.name != name):
            return True
        if name != self.name:
            return self.is_blank or self.is_complete()
        if not self.is_complete():
            return False
        self.is_named_again = True
        return bool(arguments.strip())

    def is_repeated(self, identity: str | None, name: str | None, arguments: str) -> bool:
        """Whether this is the whole call once more, by its id."""
        return (
            identity is not None
            and (identity, name) == (self.id, self.name)
            and len(arguments) == sum(map(len, self.arguments))
            and arguments == "".join(self.arguments)
        )


class Calls:
    """The tool calls of one answer, numbered in the order in which they begin.

    Google's models sometimes leave out `index` (§3.6); then the id says which call goes on, and
    without an id, too, a name says that another one begins.
    """

    def __init__(self) -> None:
        #: Whether the last call that an answer may have has begun another one.
        self.is_full = False
        self._calls: list[_Call] = []
        self._numbers: dict[int, int] = {}
        #: The first call that had an id, and the last one.
        self._owners: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, delta: Mapping[str, Any]) -> list[ToolCallPart]:
        """Return what *delta* adds to the call that it belongs to; nothing before its name."""
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        index = delta.get("index")
        identity = joined(_text(delta.get("id"))) or None
        name = joined(_text(function.get("name"))) or None
        arguments = _arguments(function.get("arguments"))
        extra = {
            key: value
            for key, value in delta.items()
            if key not in ("index", "id", "type", "function")
            and _written(value) not in ("", "null")
        }
        number = self._number(index, identity, name)
        if number is not None and self._calls[number].is_another(identity, name, arguments):
            if self._calls[number].is_repeated(identity, name, arguments):
                return []
            name = name or self._calls[number].name
            number = None
        if number is None:
            if len(self._calls) == MAX_CALLS:
                self.is_full = True
                return []
            number = len(self._calls)
            self._calls.append(_Call())
        if isinstance(index, int):
            self._numbers[index] = number
        call = self._calls[number]
        if identity is not None and call.id is None:
            call.id = identity
            self._owners.setdefault(identity, number)
            self._last[identity] = max(number, self._last.get(identity, 0))
        call.add(arguments)
        if call.name is not None:
            return [ToolCallPart(number, arguments=call.halves.feed(arguments), extra=extra)]
        call.name = name
        call.extra |= extra
        return [self._beginning(number)] if name else []

    def flush(self, *, is_cut: bool) -> list[ToolCallPart]:
        """Return what is left at the end of the answer: calls that never had a name, and `{}` for
        those that have no arguments, unless the answer *is_cut*."""
        parts = []
        for number, call in enumerate(self._calls):
            rest = "{}" if call.is_blank and not is_cut else ""
            if call.name is None:
                call.add(rest)
                parts.append(self._beginning(number))
                rest = ""
            if rest := rest + call.halves.flush():
                parts.append(ToolCallPart(number, arguments=rest))
        return parts

    def _beginning(self, number: int) -> ToolCallPart:
        call = self._calls[number]
        # Clients send results back by the id: each call needs one of its own.
        is_free = call.id is not None and self._owners[call.id] == number
        return ToolCallPart(
            number,
            id=call.id if is_free else f"call_{secrets.token_hex(12)}",
            name=call.name or "",
            arguments=call.halves.feed("".join(call.arguments)),
            extra=call.extra,
        )

    def _number(self, index: Any, identity: str | None, name: str | None) -> int | None:
        """Return the number of the call that goes on, or whose number or id this has; None if
        another one begins."""
        if isinstance(index, int):
            number = self._numbers.get(index)
        elif identity is not None:
            number = self._last.get(identity)
        else:
            number = len(self._calls) - 1 if self._calls else None
            if number is not None and name and self._calls[number].name is not None:
                return None
        return number


def _written(given: Any) -> str:
    """Return *given* as JSON; an empty text if it is nested so deeply that it cannot be sent on."""
    try:
        return orjson.dumps(given).decode()
    except orjson.JSONEncodeError:
        return ""


def _arguments(given: Any) -> str:
    """Return arguments as a text, also where they come as a value."""
    if not isinstance(given, dict | list):
        return _text(given)
    try:
        return orjson.dumps(given).decode()
    except orjson.JSONEncodeError as error:
        if "surrogate" not in str(error):
            return ""
        return joined(json.dumps(given, ensure_ascii=False))


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""
