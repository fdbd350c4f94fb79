"""The tool call parser: splits a bot's text into content and calls as it arrives.

A call is a tag with one JSON object in it:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

It ends where the JSON object ends, whatever its strings contain, so arguments may hold anything,
even the tag, and a forgotten closing tag or fence does no harm. In a text the tag counts only at
the beginning of a line or before an object, and never in backticks (`<tool_call>`). It does not
matter whether a fence is open further up: a call lost to a miscounted fence would be worse than
an example taken for a call. A call that is open at the end of the text is incomplete, unless it
lacks only its own last brace: nothing more is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from poe_proxy.shaping.loose_json import Nesting


@dataclass(frozen=True, slots=True)
class RawCall:
    """The JSON text of a call as the bot wrote it; empty if there was none between the tags."""

    text: str = field(repr=False)
    #: Whether all values in it are texts, because the notation of the bot has nothing else.
    is_untyped: bool = False


class CallParser:
    """Takes a bot's text piece by piece; yields content as `str`, and each call as `RawCall`.

    An open call is held back, and so is what may become one: white space, the beginning of
    a fence, the beginning of a tag. Content ends where the first call begins.

    What may become a call is short: in each gap of it there are 40 characters of white space at
    most. So what is held back can be looked at anew with each piece.
    """

    #: What may stand directly before a call and belongs to it.
    _LEAD: Final = re.compile(r"\s{0,40}+(?:```([\w-]{0,40}+)\s{0,40}+(?!\s))?+")
    _GAP: Final = 40
    #: The form that is taught has no attributes, but bots write some, such as the tool's name.
    _TAG: Final = re.compile(
        r"<tool_calls?(?: [^<>\n]{0,100}+)?+>"
        r"\s{0,40}+(?:```[\w-]{0,40}+\s{0,40}+)?+(?:\[\s{0,40}+)?+(?=(.?))",
        re.IGNORECASE,
    )
    _OPEN_TAG: Final = re.compile(r"<tool_calls?(?: [^<>\n]{0,100}+)?+", re.IGNORECASE)
    #: White space, or none, and then what is a fence or a tag, or may become one: here, and
    #: further on, where white space counts from its beginning.
    _HERE: Final = re.compile(r"\s*+(?=```|`{0,2}\Z|<(?:t|\Z))", re.IGNORECASE)
    _START: Final = re.compile(rf"(?<!\s){_HERE.pattern}", re.IGNORECASE)
    #: Between two objects in one tag.
    _BETWEEN: Final = re.compile(r"[\s,}\]]*+")
    _TAGS: Final = ("<tool_call>", "<tool_calls>")
    _RESULT: Final = "<tool_result"

    def __init__(self) -> None:
        #: The bot went on to invent the results: nothing after it counts.
        self.is_over = False
        #: The text at hand: what was held back, and the new piece. *_at* is how far it is read.
        self._held = ""
        self._at = 0
        #: The last character of the content, and how many backticks its last line has: they show
        #: whether a tag is quoted.
        self._last = ""
        self._ticks = 0
        #: How many fences the content has; after an odd number a code block is open.
        self._fences = 0
        self._call: Nesting | None = None
        #: What stood before the open call, and the call so far, in pieces.
        self._opening = ""
        self._body: list[str] = []
        self._called = False
        self._after_object = False

    @property
    def is_open(self) -> bool:
        """Whether the text ends within a call."""
        return self._call is not None

    def feed(self, text: str) -> Iterator[str | RawCall]:
        """Take more of the text; yield what is certain now."""
        self._held += text
        while self._at < len(self._held) and not self.is_over:
            if self._call is None:
                before, broken = self._next_call()
                if before and not self._called:
                    yield before
                if broken:
                    yield RawCall("")
                    return
                if self._call is None:
                    break
            end = self._call.end(self._held, self._at)
            self._body.append(self._held[self._at : end])
            self._at = len(self._held) if end is None else end
            if end is not None:
                yield self._close()
        self._held = self._held[self._at :]
        self._at = 0

    def finish(self, whole: bool) -> Iterator[str | RawCall]:
        """Yield the rest at the end of the text; if it is not *whole*, an open call is dropped."""
        last = self._last_part(whole)
        self._held = ""
        if last is not None:
            yield last

    def _last_part(self, whole: bool) -> str | RawCall | None:
        if self._call is not None:
            if not whole:
                return None
            # If more than that is open, it was truncated, whatever reason the bot gives.
            ends = "".join(self._body).rstrip().endswith("}")
            return self._close(mend=self._call.missing == "}" and ends)
        if self._called or not self._held:
            return None
        lead = self._LEAD.match(self._held)
        assert lead is not None
        tag = self._TAG.match(self._held, lead.end())
        if whole and tag and self._begins_line(lead):
            return RawCall("")
        if whole or not (tag or self._ends_in_tag(lead)):
            return self._held
        return self._held[: self._end_of_content(lead)]

    def rest(self) -> str:
        """Return what is held back, as it came."""
        return self._held if self._call is None else "".join((self._opening, *self._body))

    def _ends_in_tag(self, lead: re.Match[str]) -> bool:
        """Whether what is held ends within a tag; a mere `<` is one at the beginning of a line."""
        rest = self._held[lead.end() :].lower()
        if rest in ("", "<"):
            return rest == "<" and self._begins_line(lead)
        return self._TAGS[-1].startswith(rest) or bool(self._OPEN_TAG.fullmatch(rest))

    def _close(self, *, mend: bool = True) -> RawCall:
        assert self._call is not None
        if mend and not self._call.in_string:
            self._body.append(self._call.missing)
        self._last, self._ticks = "}", 0
        self._call = None
        self._called = self._after_object = True
        return RawCall("".join(self._body))

    def _next_call(self) -> tuple[str, bool]:
        """Go to the next call, or to what may become one; return the text before it, and whether
        it is a call that cannot be read."""
        if self._after_object and (between := self._BETWEEN.match(self._held, self._at)):
            if between.end() == len(self._held):
                return self._skip(between.end()), False
            self._after_object = False
            if self._held[between.end()] == "{":
                return self._begin(self._at, between.end()), False
        at = counted = self._at
        ticks = self._ticks
        while start := self._find_start(at):
            lead = self._LEAD.match(self._held, max(start.start(), start.end() - self._GAP))
            assert lead is not None
            at = lead.end()
            if not lead[0] and self._held[at : at + 1] == "<" and self._before(lead) == "`":
                ticks = _ticks(ticks, self._held[counted:at])
                counted = at
                # After an even number the code before it is closed, and this is not quoted.
                if ticks % 2:
                    at += 1
                    continue
            if self._may_become_call(at):
                return self._skip(lead.start()), False
            tag = self._TAG.match(self._held, at)
            if tag and tag[1] == "{":
                return self._begin(self._end_of_content(lead), tag.end()), False
            if tag and self._begins_line(lead) and not self._called:
                return self._skip(self._end_of_content(lead)), True
            if (lead[1] or "").lower() in ("tool_call", "tool_calls") and self._held[at] == "{":
                return self._begin(lead.start(), at), False
            if self._called and self._held[at : at + len(self._RESULT)].lower() == self._RESULT:
                self.is_over = True
                return "", False
            # Another fence may follow this one, and the space in between belongs to that one.
            at = lead.end(1) if lead[1] is not None else at + (not lead[0])
        return self._skip(len(self._held)), False

    def _find_start(self, at: int) -> re.Match[str] | None:
        # White space that stands directly before what is unread was part of a call.
        here = self._HERE.match(self._held, at) if at == self._at else None
        return here or self._START.search(self._held, at)

    def _may_become_call(self, at: int) -> bool:
        """Whether what is held from *at* on is the beginning of a call, or empty."""
        # A slice of bounded length: this runs at every word of a long text.
        rest = self._held[at : at + len(self._RESULT) + 1].lower()
        if rest in ("", "`", "``"):
            return True
        if rest[0] != "<":
            return False
        tags = (*self._TAGS, self._RESULT) if self._called else self._TAGS
        if any(len(rest) < len(tag) and tag.startswith(rest) for tag in tags):
            return True
        if self._OPEN_TAG.fullmatch(self._held, at):
            return True
        tag = self._TAG.match(self._held, at)
        return tag is not None and (
            tag.end() == len(self._held)
            or (len(self._held) - tag.end() < 3 and self._held[tag.end() :] in ("`", "``"))
        )

    def _before(self, lead: re.Match[str]) -> str:
        return self._held[lead.start() - 1] if lead.start() > self._at else self._last

    def _begins_line(self, lead: re.Match[str]) -> bool:
        return "\n" in lead[0] or "`" in lead[0] or self._before(lead) in ("", "\n")

    def _end_of_content(self, lead: re.Match[str]) -> int:
        """Return where the content ends: before the fence of a call, after that of a code block."""
        fences = self._fences + self._held.count("```", self._at, lead.start())
        closes = lead[1] == "" and fences % 2 == 1
        return lead.end(1) if closes else lead.start()

    def _begin(self, end_of_content: int, start: int) -> str:
        content = self._held[self._at : end_of_content]
        self._opening = self._held[end_of_content:start]
        self._at = start
        self._call = Nesting()
        self._body = []
        return content

    def _skip(self, end: int) -> str:
        content = self._held[self._at : end]
        self._at = end
        self._last = content[-1:] or self._last
        self._ticks = _ticks(self._ticks, content)
        self._fences += content.count("```")
        return content


def _ticks(before: int, text: str) -> int:
    """Return how many backticks the last line of *text* has; its first line had some *before*."""
    newline = text.rfind("\n")
    return text.count("`", newline + 1) + (before if newline < 0 else 0)
