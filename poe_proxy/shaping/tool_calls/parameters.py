"""A call as a name and parameters between tags: the body of XML-like forms.

The text between two tags is the value, and nothing in it is escaped: no house's template escapes
anything, so `&lt;` means these four characters. (One public parser of Qwen's form unescapes
entities all the same; code that contains some would not survive that.) A value may contain what
looks like tags:

- a closing tag ends it only where another parameter, or the end of the call, comes next;
- an opening tag within it is closed by the next closing tag, so a whole example in a value stays.

What remains doubtful, such as a closing tag too few in the midst of a call, makes the call
unreadable: nothing is guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.shaping.loose_json import read, write
from poe_proxy.shaping.tool_calls.base import RawCall
from poe_proxy.shaping.tool_calls.forms import MORE, NO, Form, Found


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one form."""

    #: Of a parameter: its group `key` is the name; `string` says whether the value is a text,
    #: where the form says so.
    opening: Form
    closing: Form
    #: Of the call, and what shows as well that it is over.
    end: Form
    next: Form
    #: Whether the template puts each value on lines of its own.
    has_lines: bool = False


#: Behind the end of a call there may be other closing tags.
_CLOSING: Final = re.compile(r"(?:\s|</[^<>]{1,60}>)*+\Z")
#: How far from the end of a text its closing tags are looked for.
_TAIL: Final = 200
_BETWEEN_TAGS: Final = re.compile(r"\s*+")


class Parameters:
    """Reads parameters up to the end of the call."""

    is_certain = True

    def __init__(self, name: str, tags: Tags) -> None:
        self.is_over = False
        self._name = name
        self._tags = tags
        self._values: dict[str, Any] = {}
        self._is_broken = False
        #: Whether each value so far said that it is a text, or that it is JSON.
        self._is_typed = True
        #: The name of the parameter whose value is being read, or was if it is closed; None before
        #: the first one.
        self._key: str | None = None
        self._is_string: str | None = None
        self._value: list[str] = []
        #: How many opening tags in the value are not closed.
        self._depth = 0
        #: The closing tag and what follows it, while that may be the end of the value.
        self._closed: list[str] | None = None

    def read(self, text: str, at: int) -> int:
        """See `Reader`."""
        while at < len(text) and not self.is_over:
            between = self._key is None or self._closed is not None
            then = self._go_on(text, at) if between else self._read_value(text, at)
            if then is None:
                return at
            at = then
        return at

    def _go_on(self, text: str, at: int) -> int | None:
        """Read what stands between parameters; None: more text is needed."""
        space = _BETWEEN_TAGS.match(text, at)
        assert space is not None
        if space.end() > at:
            if self._closed is not None:
                self._closed.append(space[0])
            return space.end()
        opening = self._tags.opening.match(text, at)
        end = self._tags.end.match(text, at)
        over = self._tags.next.match(text, at)
        if isinstance(opening, Found):
            self._keep()
            self._key = opening.groups["key"].strip()
            self._is_string = opening.groups.get("string")
            self._value, self._depth = [], 0
            return opening.end
        if isinstance(end, Found) or isinstance(over, Found):
            self._keep()
            self.is_over = True
            return end.end if isinstance(end, Found) else at
        if MORE in (opening, end, over):
            return None
        if self._closed is None:
            self._is_broken = self.is_over = True
            return at
        # The closing tag was part of the value.
        self._value += self._closed
        self._closed = None
        return at

    def _read_value(self, text: str, at: int) -> int | None:
        """Read up to a closing tag, or as far as the text goes; None: more text is needed."""
        begin = at
        while (mark := text.find("<", at)) >= 0:
            closing = self._tags.closing.match(text, mark)
            if isinstance(closing, Found):
                if self._depth == 0:
                    self._value.append(text[begin:mark])
                    self._closed = [text[mark : closing.end]]
                    return closing.end
                self._depth -= 1
                at = closing.end
                continue
            opening = self._tags.opening.match(text, mark)
            if MORE in (closing, opening):
                if mark == begin:
                    return None
                self._value.append(text[begin:mark])
                return mark
            if isinstance(opening, Found):
                self._depth += 1
            at = opening.end if isinstance(opening, Found) else mark + 1
        self._value.append(text[begin:])
        return len(text)

    def _keep(self) -> None:
        """Keep the value that was read."""
        if self._key is None:
            return
        value: Any = "".join(self._value)
        if self._is_string == "false":
            try:
                value = read(value, loosely=True)[0]
            except (ValueError, OutOfBudget):
                self._is_typed = False
        elif self._is_string != "true":
            value = _without_layout(value, has_lines=self._tags.has_lines)
            self._is_typed = False
        # Of two values for one name neither is certain.
        self._is_broken = self._is_broken or self._key in self._values or not self._key
        self._values[self._key] = value
        self._key, self._value, self._closed = None, [], None

    def calls(self, opening: str, body: str) -> Sequence[RawCall]:
        """See `Reader`."""
        source = opening + body
        if self._is_broken:
            return [RawCall("", source)]
        try:
            text = write({"name": self._name, "arguments": self._values})
        except ValueError:
            return [RawCall("", source)]
        return [RawCall(text, source, is_untyped=bool(self._values) and not self._is_typed)]

    def unfinished(self, opening: str, body: str, rest: str) -> Sequence[RawCall]:
        """See `Reader`. What is missing of a call is its last tags at most."""
        if self._key is not None and self._closed is None:
            self._end_without_closing("".join((*self._value, rest)))
            return self.calls(opening, body + rest)
        self._keep()
        if rest and (self._tags.end.match(rest, 0), self._tags.opening.match(rest, 0)) != (
            MORE,
            NO,
        ):
            self._is_broken = True
        return self.calls(opening, body + rest)

    def _end_without_closing(self, value: str) -> None:
        """Take *value* up to the end of the call, if that is where the text ends."""
        start = 0
        while self._depth == 0 and (start := value.find("<", start)) >= 0:
            end = self._tags.end.match(value, start, is_all=True)
            if isinstance(end, Found):
                is_last = end.end > len(value) - _TAIL and _CLOSING.match(value, end.end)
                self._is_broken = not is_last
                # The newline before the last tag is layout.
                self._value = [value[:start].removesuffix("\n")]
                self._keep()
                return
            if isinstance(self._tags.next.match(value, start, is_all=True), Found):
                break
            start += 1
        self._is_broken = True

    def another(self) -> None:
        """See `Reader`."""


def _without_layout(value: str, *, has_lines: bool) -> str:
    """Return *value* without the newlines around it that belong to the form.

    Where the template has none, a bot may put some: both, then. A newline at the end alone is that
    of a file.
    """
    if has_lines:
        return value.removeprefix("\n").removesuffix("\n")
    if len(value) > 1 and value[0] == value[-1] == "\n":
        return value[1:-1]
    return value
