"""The reasoning parser: finds the thoughts that come as part of an answer's text.

Some bots have no field for what they think. They write a heading, a quotation, the answer
(official API sheet §3.6):

    *Thinking...*

    > The user greets me.
    > I shall greet back.

    Hello!

Or they write the heading alone, perhaps with the seconds so far, as a sign of life before the
answer: `Thinking... (3s elapsed)`. In the web protocol the answer then replaces such a sign.

Or the text begins with the model's own tags, `<think>` and others: see `thought_tags`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, TypeAlias

from poe_proxy.chat import Done, Reasoning, Refusal, Replaced, ReplyEvent, Text, ToolCallPart
from poe_proxy.shaping import thought_tags
from poe_proxy.shaping.prefix import common_length
from poe_proxy.shaping.thought_tags import Tagged

Piece: TypeAlias = Text | Reasoning

_WORD: Final = "Thinking"
#: What may stand before the word in a heading's line: marks, also those of a quotation.
_MARKS: Final = re.compile(r"(?:> ?)?[*_]{0,3}")
#: What follows the word: dots, seconds in brackets, or both; marks may be closed before the seconds
#: or behind them.
_REST: Final = re.compile(
    r"(?:(?:\.{3}|…)[*_]{0,3}(?: {0,2}\([^()\n]{0,30}\))?"
    r"|[*_]{0,3} {0,2}\(\d{1,6}(?:\.\d{1,3})? {0,2}[a-z][a-z ]{0,15}\))"
    r" ?[*_]{0,3}[ \t\r]{0,40}"
)
#: What may still become that.
_BEGINNING: Final = re.compile(
    r"(?:\.{0,3}|…)[*_]{0,3} {0,2}(?:\([^()\n]{0,30}\)?)? ?[*_]{0,3}[ \t\r]{0,40}"
)
#: The most characters of a heading: more than these patterns take.
_LONGEST: Final = 200


class _Place(Enum):
    """Where in the text of an answer we are."""

    #: Where nothing but white space has come, or in a line that may be a heading.
    START = auto()
    #: Below a heading, at the beginning of a line.
    BELOW = auto()
    #: Behind the mark of a quoted line: a space that comes now belongs to the mark.
    MARK = auto()
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

    _BLANK: Final = re.compile(r"\s*+")
    _INDENT: Final = re.compile(r"[ \t\r]*+")
    _LINE_ENDS: Final = re.compile(r"[\r\n]*+")

    def __init__(self) -> None:
        self._place = _Place.START
        #: What is held back, in pieces: first the headings without a thought beneath them so far,
        #: then what may become another one, or the answer.
        self._headings: list[str] = []
        self._held: list[str] = []
        #: The line that may become a heading, as far as it has come. It is held back as well.
        self._line = ""
        self._has_thought = False
        #: What has been thought in the piece that is read.
        self._thought: list[str] = []
        self._tagged: Tagged | None = None
        #: Whether thoughts between tags have ended: white space behind them is dropped.
        self._is_behind_tag = False

    @property
    def is_over(self) -> bool:
        """Whether all that comes is the answer."""
        return self._place is _Place.ANSWER

    @property
    def heading(self) -> str:
        """The text so far, if it is a heading and nothing else; otherwise an empty string."""
        if self._has_thought or self._is_behind_tag or self._tagged:
            return ""
        text = "".join((*self._headings, *self._held)).strip()
        return text if all(map(_is_heading, filter(str.strip, text.splitlines()))) else ""

    def feed(self, text: str) -> list[Piece]:
        """Take more of the text; return what is clear by now."""
        if self.is_over:
            return [Text(text)] if text else []
        at = 0
        while at < len(text) and not self.is_over:
            at = self._step(text, at)
        pieces: list[Piece] = []
        if self._thought:
            pieces.append(Reasoning("".join(self._thought)))
            self._thought = []
        if self.is_over and (answer := "".join((*self._held, text[at:]))):
            pieces.append(Text(answer))
            self._held = []
        return pieces

    def flush(self) -> list[Piece]:
        """Return what is still held back, at the end of the text or before something else.

        What comes afterwards is the answer.
        """
        if self._tagged:
            rest = self._tagged.rest()
            self._place, self._tagged = _Place.ANSWER, None
            return [Reasoning(rest)] if rest else []
        held = "".join((*self._headings, *self._held))
        self._place, self._held, self._headings = _Place.ANSWER, [], []
        # After a thought only marks and white space are held. A heading and nothing else is
        # not a thought: it is all that the bot said.
        return [Text(held)] if held and not self._has_thought else []

    def _step(self, text: str, at: int) -> int:
        """Take the next bit of *text*, which begins at *at*; return where it ends."""
        match self._place:
            case _ if self._tagged:
                end = self._tagged.read(text, at, self._thought)
                if self._tagged.is_closed:
                    self._tagged, self._is_behind_tag = None, True
                return end
            case _Place.START:
                return self._start(text, at)
            case _Place.BELOW:
                return self._below(text, at)
            case _Place.MARK:
                return self._mark(text, at)
            case _Place.QUOTE:
                end = text.find("\n", at)
                if end < 0:
                    end = len(text)
                else:
                    self._place = _Place.BELOW
                if end > at:
                    self._thought.append(text[at:end])
                return end + 1
            case _:
                end = _end(self._LINE_ENDS, text, at)
                if end < len(text):
                    self._place = _Place.ANSWER
                return end

    def _start(self, text: str, at: int) -> int:
        if not self._line and (end := _end(self._BLANK, text, at)) > at:
            if not self._is_behind_tag:
                self._held.append(text[at:end])
            return end
        if tag := thought_tags.of(self._line + text[at : at + thought_tags.LONGEST]):
            end = at + len(tag) - len(self._line)
            self._open(tag)
            return end
        end = text.find("\n", at, at + _LONGEST)
        is_whole = end >= 0
        if not is_whole:
            end = min(len(text), at + _LONGEST)
        self._line += text[at:end]
        if not is_whole and thought_tags.may_come(self._line):
            self._held.append(text[at:end])
            return end
        if not _may_become_heading(self._line) or (is_whole and not _is_heading(self._line)):
            self._answer()
            return at
        if is_whole:
            end += 1
            self._place, self._line = _Place.BELOW, ""
            self._headings += (*self._held, text[at:end])
            self._held = []
        else:
            self._held.append(text[at:end])
        return end

    def _open(self, tag: str) -> None:
        thinks_on = self._is_behind_tag
        if self._headings:
            # They were signs of life.
            self._thought.append("".join(self._headings).strip())
            self._headings, thinks_on = [], True
        self._line, self._held = "", []
        self._tagged = Tagged(tag, lead="\n" if thinks_on else "")

    def _answer(self) -> None:
        self._place, self._line = _Place.ANSWER, ""
        if self._headings:
            # They were signs of life; no thought followed, but the answer.
            self._thought.append("".join(self._headings).strip())
            self._headings = []

    def _below(self, text: str, at: int) -> int:
        end = _end(self._INDENT, text, at)
        if end > at:
            self._held.append(text[at:end])
        if end == len(text):
            return end
        if text[end] == ">":
            self._held.append(">")
            self._place = _Place.MARK
            return end + 1
        if self._has_thought:
            # Of an indented line only the ends of lines before it go.
            self._held = ["".join(self._held).lstrip("\r")]
            self._place = _Place.ANSWER if self._held[0] else _Place.AFTER
        elif text[end] == "\n":
            self._headings += (*self._held, "\n")
            self._held = []
            return end + 1
        else:
            # Another heading, or the answer.
            self._place = _Place.START
        return end

    def _mark(self, text: str, at: int) -> int:
        if self._has_thought or self._is_behind_tag:
            self._thought.append("\n")
        self._has_thought = True
        self._headings, self._held = [], []
        self._place = _Place.QUOTE
        return at + (text[at] == " ")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where what *pattern* finds at this place, if only nothing, ends."""
    found = pattern.match(text, at)
    assert found is not None
    return found.end()


class ReasoningParser:
    """A stage that turns the thoughts in an answer's text into `Reasoning`.

    A text that replaces another is parsed anew; of its thoughts and its answer only what is new
    is passed on. A lone heading that is replaced stood for an answer to come, so it is a thought:
    of several such headings only the first, because the others just count the seconds.
    """

    field = None

    def __init__(self) -> None:
        self._inline = InlineReasoning()
        self._has_given_up = False
        #: What has been passed on of the text that is there now.
        self._thought: list[str] = []
        self._answer: list[str] = []
        #: While the thoughts of the text that was replaced come again: how much of them has come.
        self._repeated: int | None = None
        #: Whether a heading has been passed on as a thought, and what comes before the next one.
        self._has_drafted = False
        self._lead = ""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._has_given_up:
            return (event,)
        if type(event) is Text and self._inline.is_over and event.text:
            # The rest of any answer, at a quarter of the cost.
            self._answer.append(event.text)
            return (event,)
        match event:
            case Text(text):
                thought, answer = self._read(text)
                if answer:
                    self._answer.append(answer)
                return [*_reasoning(thought), *([Text(answer)] if answer else [])]
            case Replaced(text):
                return self._replace(text)
            case Done() | ToolCallPart() | Refusal():
                return *self._inline.flush(), event
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        self._has_given_up = True
        return self._inline.flush()

    def _read(self, text: str) -> tuple[str, str]:
        """Return what is new of the thoughts in *text*, and the answer in it."""
        thought = answer = ""
        for piece in self._inline.feed(text):
            if isinstance(piece, Reasoning):
                thought = self._news(piece.text)
            else:
                answer = piece.text
        return thought, answer

    def _news(self, thought: str) -> str:
        """Return what of *thought* is passed on: on a new line if the old ones went on
        differently, and nothing as long as they come again."""
        if self._has_drafted and all(map(_is_heading, filter(str.strip, thought.splitlines()))):
            return ""
        if self._repeated is not None:
            old, at = "".join(self._thought), self._repeated
            same = common_length(old[at : at + len(thought)], thought)
            self._repeated += same
            if same == len(thought):
                return ""
            if self._repeated < len(old):
                self._lead = "\n"
            self._thought = [old[: self._repeated]]
            self._repeated = None
            thought = thought[same:]
        self._thought.append(thought)
        lead, self._lead = self._lead, ""
        return lead + thought

    def _replace(self, text: str) -> list[ReplyEvent]:
        draft = "" if self._thought or self._has_drafted else self._inline.heading
        self._inline = InlineReasoning()
        self._thought = ["".join(self._thought)] if self._thought else []
        self._repeated = 0 if self._thought else None
        if draft:
            self._has_drafted = True
            self._lead = "\n"
        thought, new = self._read(text)
        answer = "".join(self._answer)
        self._answer = [new] if new else []
        news: list[ReplyEvent] = _reasoning(draft + thought)
        if not new.startswith(answer):
            news.append(Replaced(new))
        elif new != answer:
            news.append(Text(new[len(answer) :]))
        return news


def _reasoning(thought: str) -> list[ReplyEvent]:
    return [Reasoning(thought)] if thought else []


def _may_become_heading(line: str) -> bool:
    rest = _without_marks(line)
    if not rest.startswith(_WORD):
        return _WORD.startswith(rest)
    return _BEGINNING.fullmatch(rest, len(_WORD)) is not None


def _is_heading(line: str) -> bool:
    rest = _without_marks(line.strip())
    return rest.startswith(_WORD) and _REST.fullmatch(rest, len(_WORD)) is not None


def _without_marks(line: str) -> str:
    return line[_end(_MARKS, line, 0) :]
