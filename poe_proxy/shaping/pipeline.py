"""Stages of a reply, and the driver that sends its events through them.

A stage takes one event and returns what comes of it: the event itself, others, or nothing while
it holds something back. It has no source, so a test feeds it from a list; what all stages owe to
the reader of the reply is done once, in `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Protocol, TypeAlias

from poe_proxy.chat import ChatRequest, Done, Idle, ReplyEvent

#: Asks a bot, and yields what it replies.
Ask: TypeAlias = Callable[[ChatRequest], Generator[ReplyEvent, None, None]]


class Stage(Protocol):
    """Turns the events of one reply into others."""

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """Take the next event; return the events that come of it.

        Fed `Done`, a stage returns what it still holds back, and a `Done` as the last event. It may
        return one earlier: the reply ends there, and nothing more is fed to the stage.
        """


def run(
    events: Generator[ReplyEvent, None, None], *stages: Stage
) -> Generator[ReplyEvent, None, None]:
    """Yield what the *stages* make of *events*, the first of them fed first.

    `Idle` takes the place of an event that is held back, so that the reader of the reply gets its
    turn at each event. *events* is closed at the end, whatever ends it: if a stage ended the reply
    early, that stops the bot.
    """
    with closing(events):
        for event in events:
            if isinstance(event, Done):
                # It ends by itself: closing it would hang up on a bot that is done.
                let_end(events)
            made: Sequence[ReplyEvent] = (event,)
            for stage in stages:
                made = _through(stage, made)
            if not made:
                yield Idle()
                continue
            yield from made
            if isinstance(made[-1], Done):
                return


def _through(stage: Stage, events: Sequence[ReplyEvent]) -> Sequence[ReplyEvent]:
    """Return what *stage* makes of *events*, up to the `Done` with which it ends the reply."""
    made: list[ReplyEvent] = []
    for event in events:
        made += stage.feed(event)
        if made and isinstance(made[-1], Done):
            break
    return made


def let_end(events: Iterator[ReplyEvent]) -> None:
    """Read the rest of a reply that has said `Done`."""
    for _ in events:
        pass
