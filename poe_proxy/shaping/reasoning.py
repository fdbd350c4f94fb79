"""The reasoning parser: finds the thoughts that come as part of an answer's text.

Some bots have no field for what they think. They write a heading, a quotation, the answer
(official API sheet §3.6):

    *Thinking...*

    > The user greets me.
    > I shall greet back.

    Hello!

Or they write the heading alone, perhaps with the seconds so far, as a sign of life before the
answer: `Thinking... (3s elapsed)`. In the web protocol the answer then replaces such a sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from itertools import takewhile
from typing import Final, TypeAlias

from poe_proxy.chat import Done, Reasoning, Replaced, ReplyEvent, Text, ToolCallPart

Piece: TypeAlias = Text | Reasoning

_HEADINGS: Final = ("Thinking...", "Thinking…")

#: What may follow the word in a heading's line: seconds in brackets, closing marks.
_REST: Final = re.compile(r" {0,2}(?:\([^()\n]{0,30}\)?)? ?[*_]{0,3}[ \t\r]{0,40}")


class _Place(Enum):
    """Where in the text of an answer we are."""

    #: Where nothing but white space has come, or in a line that may be a heading.
    START = auto()
    #: Below a heading, at the beginning of a line.
    BELOW = auto()
    #: Inside a quoted line.
    QUOTE = auto()
    #: After the quotation, in the empty lines before the answer.
    AFTER = auto()
    #: In the answer, to its end.
    ANSWER = auto()


class InlineReasoning:
    """An answer's text in, as it arrives; the same text out, as `Reasoning` and `Text`.

    Only what may still become a heading is held back: of any other answer, the first letters
    that it has in common with one.
    """

    def __init__(self) -> None:
        self._place = _Place.START
        self._held = ""
        #: White space that came after what is held and decides nothing.
        self._gap: list[str] = []
        #: Headings without a thought beneath them so far.
        self._headings = ""
        self._has_thought = False

    @property
    def heading(self) -> str:
        """The text so far, if it is a heading and nothing else; otherwise an empty string."""
        text = "" if self._has_thought else (self._headings + self._held).strip()
        return text if all(map(_is_heading, filter(str.strip, text.splitlines()))) else ""

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text; return what is clear by now."""
        if self._place is _Place.ANSWER:
            return [Text(text)] if text else []
        if self._held and self._is_gap(text) and (self._gap or self._is_gap(self._held)):
            # Reading all of it anew at each blank would take for ever.
            self._gap.append(text)
            return []
        self._held = "".join((self._held, *self._gap, text))
        self._gap.clear()
        pieces: list[Piece] = []
        while self._held and self._step(pieces):
            pass
        return pieces

    def _is_gap(self, text: str) -> bool:
        """Whether *text* decides nothing here; below a heading, an empty line does."""
        match self._place:
            case _Place.START:
                return not text.strip()
            case _Place.BELOW:
                return not text.strip(" \t\r")
        return False

    def flush(self) -> list[Piece]:
        """Return what is still held back, at the end of the text or before something else.

        What comes afterwards is the answer.
        """
        held = "".join((self._headings, self._held, *self._gap))
        self._place, self._held, self._headings = _Place.ANSWER, "", ""
        self._gap.clear()
        # After a thought only marks and white space are held. A heading and nothing else is
        # not a thought: it is all that the bot said.
        return [Text(held)] if held and not self._has_thought else []

    def _step(self, pieces: list[Piece]) -> bool:
        """Take the next bit of what is held; return False if that needs more text."""
        match self._place:
            case _Place.START:
                return self._start(pieces)
            case _Place.BELOW:
                return self._below(pieces)
            case _Place.QUOTE:
                thought, end, self._held = self._held.partition("\n")
                if thought:
                    pieces.append(Reasoning(thought))
                if end:
                    self._place = _Place.BELOW
                return True
            case _Place.AFTER:
                self._held = self._held.lstrip("\r\n")
                if self._held:
                    self._place = _Place.ANSWER
                return True
            case _Place.ANSWER:
                pieces.append(Text(self._held))
                self._held = ""
                return True

    def _start(self, pieces: list[Piece]) -> bool:
        line, end, below = self._held.lstrip().partition("\n")
        if not _may_become_heading(line) or (end and not _is_heading(line)):
            self._place = _Place.ANSWER
            if self._headings:
                # They were signs of life; no thought followed, but the answer.
                pieces.append(Reasoning(self._headings.strip()))
                self._headings = ""
            return True
        if end:
            self._place = _Place.BELOW
            self._headings += self._held.removesuffix(below)
            self._held = below
        return bool(end)

    def _below(self, pieces: list[Piece]) -> bool:
        line = self._held.lstrip(" \t\r")
        if line in ("", ">"):
            # The space after the mark belongs to the mark, and may come later.
            return False
        if line.startswith(">"):
            if self._has_thought:
                pieces.append(Reasoning("\n"))
            self._place = _Place.QUOTE
            self._held = line[1:].removeprefix(" ")
            self._has_thought, self._headings = True, ""
        elif self._has_thought:
            self._place = _Place.AFTER
        elif line.startswith("\n"):
            self._headings += self._held.removesuffix(line[1:])
            self._held = line[1:]
        else:
            # Another heading, or the answer.
            self._place = _Place.START
        return True


class ReasoningParser:
    """A stage that turns the thoughts in an answer's text into `Reasoning`.

    A text that replaces another is parsed anew; of its thoughts and its answer only what is new
    is passed on. A lone heading that is replaced stood for an answer to come, so it is a thought:
    of several such headings only the first, because the others just count the seconds.
    """

    def __init__(self) -> None:
        self._inline = InlineReasoning()
        #: What has been passed on of the text that is there now.
        self._said: list[Piece] = []

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        match event:
            case Text(text):
                pieces = self._inline.feed(text)
                self._said += pieces
                return pieces
            case Replaced(text):
                return self._replace(text)
            case Done() | ToolCallPart():
                return *self._inline.flush(), event
        return (event,)

    def _replace(self, text: str) -> list[ReplyEvent]:
        thought, answer = _split(self._said)
        draft = "" if thought else self._inline.heading
        self._inline = InlineReasoning()
        new_thought, new_answer = _split(self._inline.feed(text))
        if draft:
            new_thought = f"{draft}\n{new_thought}" if new_thought else draft
        news: list[ReplyEvent] = []
        if more := _added(thought, new_thought):
            news.append(Reasoning(more))
            thought = new_thought
        if not new_answer.startswith(answer):
            news.append(Replaced(new_answer))
        elif new_answer != answer:
            news.append(Text(new_answer[len(answer) :]))
        self._said = [Reasoning(thought), Text(new_answer)]
        return news


def _split(pieces: Iterable[Piece]) -> tuple[str, str]:
    """Return what was thought, and what was answered."""
    thought: list[str] = []
    answer: list[str] = []
    for piece in pieces:
        (thought if isinstance(piece, Reasoning) else answer).append(piece.text)
    return "".join(thought), "".join(answer)


def _added(old: str, new: str) -> str:
    """Return what *new* adds to *old*, on a new line if *old* went on differently."""
    same = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(old, new, strict=False)))
    return new[same:] if same == len(old) else f"\n{new[same:]}" if new[same:] else ""


def _may_become_heading(line: str) -> bool:
    bare = line.lstrip("*_")
    if len(line) - len(bare) > 3:
        return False
    return any(
        heading.startswith(bare)
        or (bare.startswith(heading) and _REST.fullmatch(bare, len(heading)) is not None)
        for heading in _HEADINGS
    )


def _is_heading(line: str) -> bool:
    line = line.strip()
    return line.lstrip("*_").startswith(_HEADINGS) and _may_become_heading(line)
