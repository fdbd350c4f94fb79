"""Tools of the bot's own, if it has some and heeds the choice; otherwise they are taught."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    ToolChoice,
    Usage,
)
from poe_proxy.errors import ToolsRefused
from poe_proxy.shaping.pipeline import Ask
from poe_proxy.shaping.reask import Objection, judged
from poe_proxy.shaping.tools import taught_reply

log = logging.getLogger(__name__)


def native_reply(ask: Ask, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
    """Yield the reply of a bot that has tools of its own.

    A bot that refuses them after all, or does not call as the choice demands, is taught: see
    `taught_reply`. Its first answer is dropped.
    """
    choice = chat.tool_choice
    try:
        if choice is None or choice.mode != "required":
            yield from ask(chat)
            return
        if (yield from judged(ask(chat), _ChoiceJudge(choice), chat=chat)) is None:
            return
        log.info("a bot did not call as the tool choice demands; teaching it")
    except ToolsRefused:
        log.info("a bot takes no tools, or not this tool choice; teaching them")
    yield from taught_reply(ask, chat)


class _ChoiceJudge:
    """Passes on the answer of a bot with tools of its own once it calls as the choice demands.

    Until then text is held back: it would have to be unsaid if the bot does not call, or calls
    another tool, and is taught instead.
    """

    field = None

    def __init__(self, choice: ToolChoice) -> None:
        self.objection: Objection | None = None
        self._wanted = choice.name
        self._held: list[ReplyEvent] = []
        self._heeds = False

    def feed(self, event: ReplyEvent) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        if self._heeds:
            return (event,)
        match event:
            case Text() | Replaced() | Usage():
                self._held.append(event)
                return ()
            case ToolCallPart(name=name) if self._wanted not in (None, name):
                self.objection = Objection("it called another tool")
                return (Done(),)
            case Done("stop" | "tool_calls"):
                self.objection = Objection("there was no call")
            case ToolCallPart() | Refusal() | Done():
                self._heeds = True
                return *self._held, event
        return (event,)

    def give_up(self) -> Iterable[ReplyEvent]:
        """See `Stage`."""
        return ()
