"""Asking an upstream, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Message,
    Reasoning,
    ReplyEvent,
    Text,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.poe_api import PoeApi
from tests.fakes import AtOnce
from tests.with_sim import official

BOT = "GPT-5.1"

#: Makes an upstream, whose connections are gone in the end.
Key: TypeAlias = Callable[..., PoeApi]


def tool(given: Any) -> Tool:
    """A tool in OpenAI's JSON, as the upstream takes it."""
    function = given["function"]
    return Tool(
        name=function["name"],
        description=function.get("description"),
        schema=function["parameters"],
    )


WEATHER, CLOCK = tool(official.WEATHER), tool(official.CLOCK)


@dataclass
class Reply:
    """What events leave behind."""

    events: list[ReplyEvent] = field(default_factory=list)
    #: How many requests were sent for it.
    sendings: int = 0
    #: How many of them arrived, as far as is known.
    arrivals: int = 0
    failure: UpstreamError | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def thought(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Reasoning))

    @property
    def usage(self) -> Usage | None:
        return next((event for event in self.events if isinstance(event, Usage)), None)

    @property
    def idle(self) -> int:
        return self.events.count(Idle())

    @property
    def end(self) -> str | None:
        last = self.events[-1] if self.events else None
        return last.finish_reason if isinstance(last, Done) else None

    @property
    def calls(self) -> list[ToolCall]:
        """The calls, put together as a client does it."""
        parts: dict[int, list[ToolCallPart]] = {}
        for event in self.events:
            if isinstance(event, ToolCallPart):
                parts.setdefault(event.index, []).append(event)
        assert list(range(len(parts))) == list(parts)
        return [
            ToolCall(
                first[0].id or "",
                first[0].name or "",
                "".join(part.arguments for part in first),
                {key: value for part in first for key, value in part.extra.items()},
            )
            for first in parts.values()
        ]


def user(text: str, *parts: Any) -> Message:
    return Message(role="user", content=(TextPart(text), *parts))


def ask(
    api: PoeApi,
    said: str | list[Message],
    bot: str = BOT,
    *,
    when_idle: Callable[[], object] = lambda: None,
    **fields: Any,
) -> Reply:
    """The reply to a prompt or a conversation, as far as it came.

    *when_idle* is called at each sign of life: the clock may go on there.
    """
    messages = [user(said)] if isinstance(said, str) else said
    reply, turn = Reply(), AtOnce()
    try:
        chat = ChatRequest(model=bot, messages=tuple(messages), **fields)
        for event in api.reply(chat, bot, turn):
            reply.events.append(event)
            if event == Idle():
                when_idle()
    except UpstreamError as failure:
        reply.failure = failure
    reply.sendings = turn.granted
    reply.arrivals = turn.arrivals
    return reply
