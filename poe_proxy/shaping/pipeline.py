"""Stages of a reply, and the driver that sends its events through them.

A stage takes one event and returns what comes of it: the event itself, others, or nothing while
it holds something back. It has no source, so a test feeds it from a list; what all stages owe to
the reader of the reply, and to all other requests, is done once, in `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final, Protocol, TypeAlias

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    Usage,
    Verbatim,
)
from poe_proxy.errors import ReplyTooLarge
from poe_proxy.waiting import Listener

#: Asks a bot, and yields what it replies.
Ask: TypeAlias = Callable[[ChatRequest], Generator[ReplyEvent, None, None]]

#: The most characters that a stage is fed at once. The worst that a bot can write takes a stage a
#: microsecond for each.
SLICE: Final = 4096
#: A text of so few characters is not counted: what its stages compute is about what it costs to
#: receive and to send it, and an honest answer may come in a hundred thousand of them.
SMALL: Final = 100


class Size:
    """How large a reply is so far: stages and answers hold much of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._text = self._besides = self._wide = 0
        #: The newest count of Poe's.
        self.usage: Usage | None = None

    @property
    def bytes(self) -> int:
        """About how many bytes of text there were: most signs that are not of ASCII have three."""
        return self._text + self._besides + 2 * self._wide

    def add(self, event: ReplyEvent) -> None:
        """Count *event*; raises `ReplyTooLarge`."""
        # Nearly all that comes is text, thousands of pieces in an answer: it is looked for first,
        # here and in what follows, and in a way that takes a third of the time of a pattern.
        if type(event) is Text:
            text = event.text
            self._text += len(text)
            if not text.isascii():
                self._wide += len(text)
        else:
            self._add(event)
        if self._text + self._besides > self._most:
            raise ReplyTooLarge(
                f"The reply is longer than {self._most / 1_000_000:g} million characters "
                "(MAX_REPLY_MB)."
            )

    def _add(self, event: ReplyEvent) -> None:
        match event:
            case Replaced(text):
                self._text = len(text)
            case Reasoning(text) | Refusal(text):
                self._besides += len(text)
            case ToolCallPart():
                self._besides += len(event.arguments)
            case Verbatim():
                self._besides += event.size
            case Usage():
                self.usage = event


class Stage(Protocol):
    """Turns the events of one reply into others."""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """Take the next event; return the events that come of it.

        `Replaced(a)` and then `Text(b)` mean the same to a stage as `Replaced(a + b)`, for that is
        how it is fed a long text. Fed `Done`, a stage returns what it still holds back, and a
        `Done` as the last event. It may return one earlier: the reply ends there, and nothing more
        is fed to the stage.

        May raise `OutOfBudget` where it computes for long; what it has taken then comes out of
        `give_up`, and an event that is no text is fed again.
        """

    @property
    def field(self) -> str | None:
        """The client's field that asks for this stage; None if none does."""

    def give_up(self) -> Iterable[ReplyEvent]:
        """Return what is held back, as it came, and let all text pass from now on.

        That is asked of it when the request has cost as much as it may, perhaps twice. A stage that
        computes next to nothing has nothing to give up.
        """


def run(
    events: Generator[ReplyEvent, None, None],
    *stages: Stage,
    budget: Budget,
    listener: Listener | None = None,
) -> Generator[ReplyEvent, None, None]:
    """Yield what the *stages* make of *events*, the first of them fed first.

    `Idle` takes the place of an event that is held back, so that the reader of the reply gets its
    turn at each event; what comes of one event is there together, for the *listener*. *events* is
    closed at the end, whatever ends it: if a stage ended the reply early, that stops the bot.

    What the stages compute counts towards the *budget*. Once that is spent, the rest of the reply
    passes as it comes, and `Budget.unchecked` names what was asked for and not done.

    Raises `ReplyTooLarge`.
    """
    row, listener = Row(stages, budget), listener or Listener()
    with closing(events):
        for event in events:
            try:
                made = row.feed(event) or (Idle(),)
                yield from listener.together(made) if len(made) > 1 else made
            finally:
                if isinstance(event, Done):
                    # It ends by itself: closing it would hang up on a bot that is done. But what
                    # was said does not wait for that.
                    let_end(events)
            if isinstance(made[-1], Done):
                return


class Row:
    """Stages, one behind the other, for a driver that has more to do than `run`."""

    def __init__(self, stages: Sequence[Stage], budget: Budget) -> None:
        self._stages = stages
        self._budget = budget
        self._size = Size(budget.max_reply)
        self._has_given_up = False

    def feed(self, event: ReplyEvent) -> Sequence[ReplyEvent]:
        """Return what the stages make of *event*, up to the `Done` with which one ends the reply.

        Others have their turns while a long text is read.
        """
        self._size.add(event)
        if self._has_given_up or not _is_costly(event):
            return self._through((event,))
        made: list[ReplyEvent] = []
        parts = _parts(event)
        try:
            with self._budget.work("shaping a reply"):
                for part in parts:
                    made += self._through((part,))
                    if made and isinstance(made[-1], Done):
                        break
                    self._budget.breathe()
        except OutOfBudget:
            made += self._give_up()
            for part in parts:
                made += self._through((part,))
        return joined(made)

    def _through(self, events: Sequence[ReplyEvent]) -> Sequence[ReplyEvent]:
        for stage in self._stages:
            if len(events) == 1:
                events = self._fed(stage, events[0])
                continue
            made: list[ReplyEvent] = []
            for event in events:
                made += self._fed(stage, event)
                if made and isinstance(made[-1], Done):
                    break
            events = made
        return events

    def _fed(self, stage: Stage, event: ReplyEvent) -> Sequence[ReplyEvent]:
        made: list[ReplyEvent] = []
        try:
            found = stage.feed(event)
            if type(found) is tuple:
                return found
            for one in found:
                made.append(one)
        except OutOfBudget:
            made += self._let_go(stage)
            if not isinstance(event, Text | Replaced):
                made += stage.feed(event)
        return made

    def _give_up(self) -> list[ReplyEvent]:
        self._has_given_up = True
        # What the last stage holds back came first.
        return [event for stage in reversed(self._stages) for event in self._let_go(stage)]

    def _let_go(self, stage: Stage) -> Iterable[ReplyEvent]:
        unchecked = self._budget.unchecked
        if stage.field is not None and stage.field not in unchecked:
            unchecked.append(stage.field)
        return stage.give_up()


def _is_costly(event: ReplyEvent) -> bool:
    if type(event) is Text or type(event) is Replaced:
        return len(event.text) > SMALL
    return type(event) is Done


def _parts(event: ReplyEvent) -> Iterator[ReplyEvent]:
    """Yield *event* in parts that mean the same, none of them with a long text."""
    if not isinstance(event, Text | Replaced) or len(event.text) <= SLICE:
        yield event
        return
    yield type(event)(event.text[:SLICE])
    for start in range(SLICE, len(event.text), SLICE):
        yield Text(event.text[start : start + SLICE])


def joined(events: Sequence[ReplyEvent]) -> Sequence[ReplyEvent]:
    """Return *events* with the text between two others in one piece, and before it the thoughts."""
    joined: list[ReplyEvent] = []
    thoughts: list[str] = []
    texts: list[str] = []
    kind: type[Text] | type[Replaced] = Text
    for event in (*events, None):
        match event:
            case Reasoning(thought):
                thoughts.append(thought)
                continue
            case Text(text):
                texts.append(text)
                continue
            case Replaced(text):
                kind, texts = Replaced, [text]
                continue
        if thoughts:
            joined.append(Reasoning("".join(thoughts)))
        if texts:
            joined.append(kind("".join(texts)))
        if event is not None:
            joined.append(event)
        thoughts, texts, kind = [], [], Text
    return joined


def let_end(events: Iterator[ReplyEvent]) -> None:
    """Read the rest of a reply that has said `Done`."""
    for _ in events:
        pass
