"""What the tests of stages share: a source of events, and what events leave behind."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import count

from poe_proxy.budget import Budget, Processor
from poe_proxy.chat import Replaced, ReplyEvent, Text
from poe_proxy.shaping.pipeline import Stage, run


def stream(events: Iterable[ReplyEvent]) -> Generator[ReplyEvent, None, None]:
    """The events as an upstream yields them."""
    yield from events


def through(events: Iterable[ReplyEvent], *stages: Stage) -> list[ReplyEvent]:
    """What the stages make of the events."""
    return list(run(stream(events), *stages, budget=Budget()))


def content(events: Iterable[ReplyEvent]) -> str:
    """The text that the events leave behind."""
    text = ""
    for event in events:
        match event:
            case Text(more):
                text += more
            case Replaced(whole):
                text = whole
    return text


def pieces(text: str, size: int) -> list[Text]:
    """The text in pieces of *size* characters."""
    return [Text(text[at : at + size]) for at in range(0, len(text), size)]


def affording(seconds: float, turns: list[int] | None = None) -> Budget:
    """A budget for which each look at the clock takes a millisecond, and so much may be spent.

    *turns* gets an item for each turn of the others."""
    ticks = count()
    taken = [] if turns is None else turns
    return Budget(
        seconds,
        processor=Processor(
            clock=lambda: next(ticks) / 1000, sleep=lambda _: taken.append(len(taken))
        ),
    )
