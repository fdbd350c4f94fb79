"""Thoughts that come as part of the answer's text, told apart from the answer.

Some bots have no field for what they think. They write a heading, a quotation, the answer
(official API sheet §3.6):

    *Thinking...*

    > The user greets me.
    > I shall greet back.

    Hello!

Or they write the heading alone, perhaps with the seconds so far, as a sign of life before the
answer: `Thinking... (3s elapsed)`.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, TypeAlias

from poe_proxy.chat import Reasoning, Text

Piece: TypeAlias = Text | Reasoning

_HEADINGS: Final = ("Thinking...", "Thinking…")

#: What may stand behind the word in a heading's line: seconds in brackets, closing marks.
_BEHIND: Final = re.compile(r" {0,2}(?:\([^()\n]{0,30}\)?)? ?[*_]{0,3}[ \t\r]*")


class _Place(Enum):
    """Where in the text of an answer we are."""

    #: Before anything but white space, or in a line that may be a heading.
    START = auto()
    #: Below a heading, at the beginning of a line.
    BELOW = auto()
    #: Inside a quoted line.
    QUOTE = auto()
    #: Behind the quotation, in the empty lines before the answer.
    BEHIND = auto()
    #: In the answer; there it stays.
    ANSWER = auto()


class Thinking:
    """An answer's text in, as it arrives; the same text out, as `Reasoning` and `Text`.

    Held back is only what may yet become a heading: of an answer that begins otherwise, the
    letters that it has in common with one.
    """

    def __init__(self) -> None:
        self._place = _Place.START
        self._held = ""
        #: Headings under which nothing was thought so far.
        self._headings = ""
        self._has_thought = False

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text; return what is clear by now."""
        if self._place is _Place.ANSWER:
            return [Text(text)] if text else []
        self._held += text
        pieces: list[Piece] = []
        while self._held and self._step(pieces):
            pass
        return pieces

    def flush(self) -> list[Piece]:
        """Return what is still held back, at the end of the text or before something else.

        What comes afterwards is the answer.
        """
        held = self._headings + self._held
        self._place, self._held, self._headings = _Place.ANSWER, "", ""
        # Behind a thought only marks and white space are held. A heading and nothing else is
        # no thought: it is all that the bot said.
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
            case _Place.BEHIND:
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
            # The space behind the mark belongs to the mark, and may come later.
            return False
        if line.startswith(">"):
            if self._has_thought:
                pieces.append(Reasoning("\n"))
            self._place = _Place.QUOTE
            self._held = line[1:].removeprefix(" ")
            self._has_thought, self._headings = True, ""
        elif self._has_thought:
            self._place = _Place.BEHIND
        elif line.startswith("\n"):
            self._headings += self._held.removesuffix(line[1:])
            self._held = line[1:]
        else:
            # Another heading, or the answer.
            self._place = _Place.START
        return True


def split(text: str) -> tuple[str, str]:
    """Return what was thought and what was answered in a *text* that is there as a whole.

    Headings alone count as thought: in a draft they stand for an answer that is to come.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(map(_is_heading, lines)):
        return text.strip(), ""
    thinking = Thinking()
    pieces = [*thinking.feed(text), *thinking.flush()]
    return (
        "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)),
        "".join(piece.text for piece in pieces if isinstance(piece, Text)),
    )


def _may_become_heading(line: str) -> bool:
    bare = line.lstrip("*_")
    if len(line) - len(bare) > 3:
        return False
    return any(
        heading.startswith(bare)
        or (bare.startswith(heading) and _BEHIND.fullmatch(bare, len(heading)) is not None)
        for heading in _HEADINGS
    )


def _is_heading(line: str) -> bool:
    line = line.strip()
    return line.lstrip("*_").startswith(_HEADINGS) and _may_become_heading(line)
