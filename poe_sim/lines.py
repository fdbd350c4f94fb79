"""Lines: the replies that a test has written for a bot, given one after the other.

Each face has its own. After the last line the bot answers by itself again. The prompts that it
got meanwhile are kept as they came, so that a test sees what reaches a bot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCall:
    """A call of a tool; its arguments as the answer has them, JSON or not."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer of the official API that is sent as it stands, whatever it means."""

    #: Its chunks: objects, or texts that are written as they are, line ends included.
    stream: Sequence[Mapping[str, Any] | str] | None = None
    #: The same answer, unstreamed.
    body: Mapping[str, Any] | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One reply."""

    text: str = ""
    calls: Sequence[LineCall] = ()
    raw: Raw | None = None


@dataclass(slots=True)
class _Part:
    """The lines that a bot has left, and what it was told since it got them."""

    left: deque[Line]
    told: list[Any] = field(default_factory=list)


class Lines:
    """The bots that have lines.

    *find* returns the proper name of a bot, or None if there is no such bot. Where bots have no
    tools, lines are texts only.
    """

    def __init__(self, find: Callable[[str], str | None], *, have_tools: bool) -> None:
        self._find = find
        self._have_tools = have_tools
        self._parts: dict[str, _Part] = {}

    def read(self, given: Any) -> Mapping[str, Sequence[Line]]:
        """Return the lines in a control request. Raises `ValueError` for invalid ones."""
        if not isinstance(given, dict):
            raise ValueError("lines takes an object of bots and lists of replies")
        written = {}
        for bot, lines in given.items():
            name = self._find(bot)
            if name is None:
                raise ValueError(f"unknown bot {bot}")
            if not isinstance(lines, list):
                raise ValueError("the lines of a bot are a list")
            written[name] = [self._line(line) for line in lines]
        return written

    def hand_out(self, written: Mapping[str, Sequence[Line]]) -> None:
        """Give each bot its lines, in place of those it had."""
        for name, lines in written.items():
            self._parts[name] = _Part(deque(lines))

    def next(self, bot: str, told: Any) -> Line | None:
        """Note what the bot was *told*; return its next line, or None if it has none left."""
        part = self._parts.get(bot)
        if part is None:
            return None
        part.told.append(told)
        return part.left.popleft() if part.left else None

    def state(self) -> dict[str, Any]:
        """Return for each bot how many lines are left, and what it was told."""
        return {
            bot: {"left": len(part.left), "told": part.told} for bot, part in self._parts.items()
        }

    def clear(self) -> None:
        """Take all lines away."""
        self._parts.clear()

    def _line(self, given: Any) -> Line:
        match given:
            case str():
                return Line(text=given)
            case {"calls": [*calls], **rest} if self._have_tools and not rest.keys() - {"text"}:
                text = rest.get("text", "")
                if isinstance(text, str):
                    return Line(text=text, calls=[_call(call) for call in calls])
            case dict() if self._have_tools and given and not given.keys() - {"stream", "body"}:
                return Line(raw=_raw(given))
        what = "a text"
        if self._have_tools:
            what += ", or an object with calls, or with a stream or a body"
        raise ValueError(f"a line is {what}")


def _call(given: Any) -> LineCall:
    match given:
        case {"name": str(name), "arguments": str(arguments)}:
            return LineCall(name=name, arguments=arguments)
        case {"name": str(name), "arguments": dict(arguments)}:
            return LineCall(name=name, arguments=orjson.dumps(arguments).decode())
    raise ValueError("a call has a name, and arguments that are an object or a text")


def _raw(given: Mapping[str, Any]) -> Raw:
    stream, body = given.get("stream"), given.get("body")
    if not isinstance(stream, list | None) or not isinstance(body, dict | str | None):
        raise ValueError("a stream is a list, and a body is an object or a text")
    if not all(isinstance(chunk, dict | str) for chunk in stream or ()):
        raise ValueError("a chunk of a stream is an object or a text")
    return Raw(stream=stream, body=body)
