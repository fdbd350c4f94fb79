"""Re-ask: ask a bot, judge its answer, say what is wrong with it, ask once more.

It is the one way in which a bot is brought to a form that it does not know by itself. `tools`
and `json_answers` know what the form is: they write the instruction, and supply the judge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from poe_proxy.chat import ChatRequest, Done, Idle, Message, ReplyEvent, TextPart, Usage
from poe_proxy.errors import AnswerUnusable
from poe_proxy.shaping.pipeline import Ask, Stage, run

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an answer cannot be used."""

    #: For the client and the log: nothing in it comes from the conversation.
    reason: str
    #: What the bot had answered when that became clear.
    answer: str = field(default="", repr=False)
    #: What is sent to the bot about its answer.
    correction: str = field(default="", repr=False)


class Judge(Stage, Protocol):
    """A stage that reads one answer, and passes on what can be used of it.

    As soon as the answer cannot be used, the judge has an objection, and returns a `Done` that is
    not passed on: it only ends the reading.
    """

    @property
    def objection(self) -> Objection | None:
        """What is wrong with the answer; None while nothing is."""


def reask(
    ask: Ask,
    chat: ChatRequest,
    judge: Callable[[], Judge],
    unusable: Callable[[Objection], AnswerUnusable],
) -> Generator[ReplyEvent, None, None]:
    """Yield the reply to *chat* as far as it can be used; after an objection, ask once more.

    Each answer gets a *judge* of its own. The usage of both comes as one sum, before `Done`.
    The first reply is over, or was stopped, before the second is asked for.

    Raises what *unusable* returns if there is an objection to the second answer too.
    """
    usage = UsageTotal()
    first = yield from judged(ask(chat), judge(), usage, chat=chat)
    if first is None:
        return
    log.info("the bot's answer cannot be used (%s); asking once more", first.reason)
    again = replace(chat, messages=corrected(chat.messages, first.answer, first.correction))
    second = yield from judged(ask(again), judge(), usage, chat=again)
    if second is not None:
        raise unusable(second)


def judged(
    events: Generator[ReplyEvent, None, None], judge: Judge, *stages: Stage, chat: ChatRequest
) -> Generator[ReplyEvent, None, Objection | None]:
    """Yield what *judge*, and the *stages* after it, let through of the reply to *chat*; return the
    judge's objection.

    After an objection neither `Usage` nor `Done` comes: the reply is not at its end. What was said
    before them must not wait for another reply, so an `Idle` comes behind it.
    """
    last: ReplyEvent = Idle()
    passed_on = run(events, judge, *stages, budget=chat.budget, listener=chat.listener)
    with closing(passed_on) as passed:
        for event in passed:
            if judge.objection is None or not isinstance(event, Usage | Done):
                yield event
                last = event
            elif isinstance(event, Done) and not isinstance(last, Idle):
                yield Idle()
    return judge.objection


class UsageTotal:
    """A stage that sums what a reply cost, over all its tries; the sum comes before `Done`."""

    field = None

    def __init__(self) -> None:
        self._sum: Usage | None = None
        #: The last figures of this try.
        self._last: Usage | None = None

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        match event:
            case Usage():
                self._last = event
                return ()
            case Done():
                if self._last is not None:
                    self._sum = _sum(self._sum, self._last)
                    self._last = None
                return (event,) if self._sum is None else (self._sum, event)
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        return ()


def _sum(before: Usage | None, last: Usage) -> Usage:
    """Return the figures of both tries; the details are those of the *last* one."""
    if before is None:
        return last
    both = (before, last)
    return Usage(
        sum(one.prompt_tokens for one in both),
        sum(one.completion_tokens for one in both),
        last.details,
        sum(one.total for one in both),
    )


def instructed(messages: tuple[Message, ...], instruction: str) -> tuple[Message, ...]:
    """Return *messages* with *instruction* at the end of the system message, or as a new one."""
    for place, one in enumerate(messages):
        if one.role in ("system", "developer"):
            part = TextPart(f"\n{instruction}", "instruction")
            grown = replace(one, content=(*one.content, part))
            return (*messages[:place], grown, *messages[place + 1 :])
    part = TextPart(instruction, "instruction")
    return (Message(role="system", content=(part,)), *messages)


def corrected(messages: tuple[Message, ...], wrong: str, correction: str) -> tuple[Message, ...]:
    """Return *messages* with the bot's *wrong* answer, and the *correction* of it."""
    said = (Message(role="assistant", content=(TextPart(wrong),)),) if wrong.strip() else ()
    return (*messages, *said, Message(role="user", content=(TextPart(correction),)))
