"""The tool call parser: splits a bot's text into content and calls as it arrives.

Where a call begins and in which form, it asks the dialects; the reader of a dialect then reads the
call. In a text the form that is taught counts only at the beginning of a line or before an object,
and never in backticks (`<tool_call>`). It does not matter whether a fence is open further up: a
call lost to a miscounted fence would be worse than an example taken for a call. All other forms
count where a call may stand (`Place`): not in the midst of a sentence, in inline code, or in a code
block that shows something else.

A call that is open at the end of the text is incomplete, unless it lacks only its own last brace,
or its last tags: nothing more is made up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from poe_proxy.shaping.tool_calls import bare, harmony
from poe_proxy.shaping.tool_calls.base import Dialect, Place, RawCall, Reader
from poe_proxy.shaping.tool_calls.forms import MORE, NO, Form, Found, OneOf, Verdict
from poe_proxy.shaping.tool_calls.glm import GLM
from poe_proxy.shaping.tool_calls.hermes import HERMES, TAG
from poe_proxy.shaping.tool_calls.invoke import INVOKE
from poe_proxy.shaping.tool_calls.json_body import JsonBody
from poe_proxy.shaping.tool_calls.qwen_coder import QWEN_CODER
from poe_proxy.shaping.tool_calls.tokens import MISTRAL, TOKENS

#: The dialects by their first character. Where one may still begin, none behind it is tried.
_DIALECTS: Final[Mapping[str, tuple[Dialect, ...]]] = {
    "<": (
        HERMES, QWEN_CODER, INVOKE, *GLM, *TOKENS,
        harmony.CALL, harmony.MESSAGE, harmony.END, *bare.IN_TAGS,
    ),
    "[": (*MISTRAL, bare.BARE),
    "{": (bare.BARE,),
}  # fmt: skip
#: What a bot reads that was taught no tools.
_TAUGHT: Final[Mapping[str, tuple[Dialect, ...]]] = {"<": (HERMES,)}

#: What bots invent the results of their calls with.
_RESULT: Final = Form(
    OneOf(
        "<tool_result", "<tool_response", "<tool_output", "<function_result",
        "<function_response", "<｜tool▁output", "<|start|>functions", "Observation:",
    )
)  # fmt: skip

#: White space in each gap of a call, at most.
_GAP: Final = 40
#: What may stand directly before a call and belongs to it.
_LEAD: Final = re.compile(r"\s{0,40}+(?:```([\w-]{0,40}+)\s{0,40}+(?!\s))?+")
#: What any form begins with, or may: a fence, a bracket.
_MARK: Final = re.compile(
    r"<(?=[|｜]|to|fu|an|in|mi|[tfaim]?\Z)|\[(?=[t{\s]|\Z)|(?<!\S)\{|```|`{1,2}\Z",
    re.IGNORECASE,
)
#: The first characters of all that is looked for behind a mark.
_FIRST: Final = "<[{oO"
#: Behind a call a result may be invented as well.
_MARK_BEHIND: Final = re.compile(rf"{_MARK.pattern}|(?<!.)o(?=b|\Z)", re.IGNORECASE)
#: Between two objects in one tag.
_BETWEEN: Final = re.compile(r"[\s,;}\]]*+")


class CallParser:
    """Takes a bot's text piece by piece; yields content as `str`, and each call as `RawCall`.

    *names* are those of the tools; without any, only the form that is taught is read.

    An open call is held back, and so is what may become one: white space, the beginning of
    a fence, of a tag, of an object. Content ends where the first call begins.

    What may become a call is short: in each gap of it there are 40 characters of white space at
    most. So what is held back can be looked at anew with each piece.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        #: The bot went on to invent the results, or a call cannot be read: nothing after it counts.
        self.is_over = False
        self._names = names
        self._dialects = _DIALECTS if names else _TAUGHT
        #: The text at hand: what was held back, and the new piece. *_at* is how far it is read.
        self._held = ""
        self._at = 0
        #: Of the content up to *_counted*: its last character but white space, and its very last
        #: one; how many backticks its last line has, which show whether a tag is quoted; how many
        #: fences it has: after an odd number a code block is open.
        self._counted = 0
        self._before = self._last = ""
        self._ticks = 0
        self._fences = 0
        #: The open call, what stood before it, and the call so far, in pieces.
        self._reader: Reader | None = None
        self._opening = ""
        self._body: list[str] = []
        self._called = False
        #: Reads an object that directly follows a call.
        self._another: Reader | None = None
        self._is_in_channels = False

    @property
    def is_open(self) -> bool:
        """Whether the text ends within a call."""
        return self._reader is not None and self._reader.is_certain

    def feed(self, text: str) -> Iterator[str | RawCall]:
        """Take more of the text; yield what is certain now."""
        self._held += text
        while self._at < len(self._held) and not self.is_over:
            if self._reader is None:
                before, broken = self._next_call()
                if before and not self._called:
                    yield before
                if broken is not None:
                    self.is_over = self._called = True
                    yield RawCall("", broken)
                    return
                if self._reader is None:
                    break
            at = self._reader.read(self._held, self._at)
            self._body.append(self._held[self._at : at])
            self._at = self._counted = at
            if not self._reader.is_over:
                break
            body = "".join(self._body)
            made = self._reader.calls(self._opening.lstrip(), body)
            yield from self._close(self._reader, body, made)
        self._held = self._held[self._at :]
        self._at = self._counted = 0

    def finish(self, whole: bool) -> Iterator[str | RawCall]:
        """Yield the rest at the end of the text; if it is not *whole*, an open call is dropped."""
        rest, self._held = self._held, ""
        if self._reader is None:
            last = self._last_part(rest, whole)
            if last is not None:
                yield last
        elif whole or not self._reader.is_certain:
            body = "".join(self._body)
            opening = self._opening.lstrip()
            made = self._reader.unfinished(opening, body, rest) if whole else None
            yield from self._close(self._reader, body + rest, made)

    def _last_part(self, rest: str, whole: bool) -> str | RawCall | None:
        if self._called or not rest:
            return None
        lead = _LEAD.match(rest)
        assert lead is not None
        tag = isinstance(TAG.match(rest, lead.end()), Found)
        if whole and tag and self._begins_line(lead):
            return RawCall("", rest)
        if whole or not (tag or self._ends_in_tag(rest, lead)):
            return rest
        return rest[: self._end_of_content(lead)]

    def rest(self) -> str:
        """Return what is held back, as it came."""
        if self._reader is None:
            return self._held
        return "".join((self._opening, *self._body, self._held))

    def _ends_in_tag(self, rest: str, lead: re.Match[str]) -> bool:
        """Whether *rest* ends within a tag; a mere `<` is one at the beginning of a line."""
        at = lead.end()
        if rest[at:] in ("", "<"):
            return rest[at:] == "<" and self._begins_line(lead)
        return rest[at] == "<" and self._look(rest, at, self._place(lead)) is MORE

    def _close(
        self, reader: Reader, body: str, made: Collection[RawCall] | None
    ) -> Iterator[str | RawCall]:
        """End the open call, of which *made* came; if that is None, it was text."""
        self._reader = None
        if made is None:
            text = self._opening + body
            self._count(text)
            if not self._called:
                yield text
            return
        # Behind the marks of a channel its text begins, as if on a line of its own.
        self._before = self._last = "}" if made else "\n"
        self._ticks = 0
        self._called = self._called or bool(made)
        self._another = reader.another() if made else None
        yield from made

    # ---- where the next call begins

    def _next_call(self) -> tuple[str, str | None]:
        """Go to the next call, or to what may become one; return the text before it, and what is
        a call that cannot be read."""
        another, self._another = self._another, None
        if another and (between := _BETWEEN.match(self._held, self._at)):
            if between.end() == len(self._held):
                self._another = another
                return self._skip(between.end()), None
            if self._held[between.end()] == "{":
                self._skip(between.end())
                return self._begin(another, self._at, self._at), None
        at = self._at
        while mark := (_MARK_BEHIND if self._called else _MARK).search(self._held, at):
            lead = _LEAD.match(self._held, self._start_of_gap(at, mark.start()))
            assert lead is not None
            if self._held[lead.end() : lead.end() + 3] in ("", "`", "``"):
                return self._skip(lead.start()), None
            found = self._at_mark(lead)
            if found is not None:
                return found
            # Another fence may follow this one, and the space in between belongs to that one.
            at = lead.end(1) if lead[1] is not None else mark.start() + 1
        return self._skip(self._start_of_gap(at, len(self._held))), None

    def _start_of_gap(self, at: int, end: int) -> int:
        """Return where the white space before *end* begins."""
        start = max(at, end - _GAP)
        return start + len(self._held[start:end].rstrip())

    def _at_mark(self, lead: re.Match[str]) -> tuple[str, str | None] | None:
        """Look at what stands behind *lead*; return what `_next_call` does, None to go on."""
        at = lead.end()
        if self._held[at] not in _FIRST or self._is_within_line(lead):
            return None
        place = self._place(lead)
        if not lead[0] and place.is_quoted and self._last == "`":
            return None
        if self._called:
            result = _RESULT.match(self._held, at)
            if isinstance(result, Found) and (place.begins_line or self._held[at] == "<"):
                self.is_over = True
                return "", None
            if result is MORE:
                return self._skip(lead.start()), None
        if (lead[1] or "").lower() in ("tool_call", "tool_calls") and self._held[at] == "{":
            return self._begin(JsonBody(), lead.start(), at), None
        found = self._look(self._held, at, place)
        if found is MORE:
            return self._skip(lead.start()), None
        if not isinstance(found, Verdict):
            reader, end = found
            return self._begin(reader, self._end_of_content(lead), end), None
        tag = TAG.match(self._held, at)
        if isinstance(tag, Found) and self._begins_line(lead) and not self._called:
            end = self._end_of_content(lead)
            source = self._held[end : tag.end]
            return self._skip(end), source
        return None

    def _is_within_line(self, lead: re.Match[str]) -> bool:
        """Whether what is behind *lead* is a mere bracket that certainly begins no line."""
        first = self._held[lead.end() : lead.end() + 2]
        if first[0] not in "[{" or first[1:] in ("", "t", "T") or lead.start() == self._at:
            return False
        return not ("\n" in lead[0] or "`" in lead[0] or self._held[lead.start() - 1] == "\n")

    def _look(self, text: str, at: int, place: Place) -> tuple[Reader, int] | Verdict:
        """Return who reads the call that begins *at* in *text*, and where it goes on there."""
        for dialect in self._dialects.get(text[at], ()):
            found = dialect.opening.match(text, at)
            if found is NO or not dialect.stands(place):
                continue
            if not isinstance(found, Found):
                return MORE
            reader = dialect.reader(found.groups, place)
            if reader is not None:
                self._is_in_channels = self._is_in_channels or isinstance(reader, harmony.Marks)
                return reader, found.end
        return NO

    def _place(self, lead: re.Match[str]) -> Place:
        """Return where the thing behind *lead* stands."""
        self._count(self._held[self._counted : lead.start()])
        self._counted = max(self._counted, lead.start())
        # Behind a call there is no content, and fences belong to calls.
        is_in_code = self._fences % 2 == 1 and not self._called
        return Place(
            names=self._names,
            begins_line=self._begins_line(lead),
            before=self._before,
            has_gap=bool(lead[0]) or self._last.isspace(),
            # A fence that follows code closes it.
            fence=None if is_in_code else lead[1],
            is_in_code=is_in_code and lead[1] is None,
            is_quoted=self._ticks % 2 == 1 and "\n" not in lead[0] and lead[1] is None,
            is_in_channels=self._is_in_channels,
        )

    def _begins_line(self, lead: re.Match[str]) -> bool:
        return "\n" in lead[0] or "`" in lead[0] or self._last in ("", "\n")

    def _end_of_content(self, lead: re.Match[str]) -> int:
        """Return where the content ends: before the fence of a call, after that of a code block."""
        closes = lead[1] == "" and self._fences % 2 == 1
        return lead.end(1) if closes else lead.start()

    def _begin(self, reader: Reader, end_of_content: int, start: int) -> str:
        content = self._held[self._at : end_of_content]
        self._opening = self._held[end_of_content:start]
        self._at = start
        self._reader = reader
        self._body = []
        return content

    def _skip(self, end: int) -> str:
        content = self._held[self._at : end]
        self._count(self._held[self._counted : end])
        self._at = self._counted = end
        return content

    def _count(self, content: str) -> None:
        """Keep what is to be known of *content* that was read."""
        if not content:
            return
        self._last = content[-1]
        # Of a long gap only its end is looked at.
        self._before = content[-_GAP:].rstrip()[-1:] or self._before
        newline = content.rfind("\n")
        self._ticks = content.count("`", newline + 1) + (self._ticks if newline < 0 else 0)
        self._fences += content.count("```")
