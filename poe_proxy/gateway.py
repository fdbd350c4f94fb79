"""The one place where token, upstream and second try meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent, Sending, Waiting
from poe_proxy.errors import (
    BotNotFound,
    NoTokenFree,
    NoTokenLeft,
    ParameterRefused,
    TokenLimited,
    TokenRejected,
    UpstreamError,
)
from poe_proxy.models import Models
from poe_proxy.pool.rotator import Lease, Token, TokenRotator
from poe_proxy.shaping import json_answers, tools, truncation
from poe_proxy.shaping.tokenizer import count_text
from poe_proxy.upstreams.base import TICK, Upstream

log = logging.getLogger(__name__)

#: Second tries by tokens of one kind, after a failure that was not the token's own: what fails
#: for three of them fails for all, and each try costs the client time.
MAX_MOVES: Final = 2


class Gateway:
    """Answers chat requests with whichever token is free."""

    def __init__(
        self,
        tokens: TokenRotator[Upstream],
        models: Models,
        *,
        catalogue: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        self._tokens = tokens
        self._models = models
        self._catalogue = catalogue
        #: Bots of the official API that refused tools.
        self._toolless: set[str] = set()

    def reply(self, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        """Yield the reply to *chat*, moving to another token only while nothing has been said.

        Closing the generator hangs up and gives the token back.

        Raises `BotNotFound`, `NoTokenFree`, `NoTokenLeft`, or the `UpstreamError` that the
        last token met.
        """
        bot, kinds = self._route(chat)
        deadline = self._tokens.now() + self._tokens.patience
        tried: set[Token[Upstream]] = set()
        moves = 0
        failure: UpstreamError | None = None
        while True:
            said = False
            token: Token[Upstream] | None = None
            try:
                with self._tokens.lease(kinds=kinds, avoid=tried, deadline=deadline) as lease:
                    while (token := lease.wait(TICK)) is None:
                        yield Waiting()
                    with closing(self._ask(lease, token, chat, bot)) as events:
                        for event in events:
                            said = said or not isinstance(event, Idle)
                            yield event
                return
            except (NoTokenFree, NoTokenLeft) as none:
                # That a second token was not to be had says less than why the first one failed,
                # unless the first one was merely tired.
                if failure is None or isinstance(failure, TokenLimited):
                    raise none from failure
                raise failure from None
            except UpstreamError as exc:
                # Words already sent cannot be unsaid; a second try would repeat them.
                if said or token is None:
                    raise
                if exc.another_kind:
                    kinds = kinds - {token.kind}
                elif exc.another_token:
                    # A limited token rests by itself, and may do better once it has rested.
                    if not isinstance(exc, TokenLimited):
                        tried.add(token)
                    # What is the token's own fault says nothing about the next one.
                    moves += not isinstance(exc, TokenRejected | TokenLimited)
                else:
                    raise
                if moves > MAX_MOVES:
                    # What no key can do, a cookie perhaps can.
                    kinds, moves = kinds - {token.kind}, 0
                if not kinds & self._tokens.kinds:
                    raise
                failure = exc
                log.info("%s: %s; trying another token", token.label, exc.code)

    def _ask(
        self, lease: Lease[Upstream], token: Token[Upstream], chat: ChatRequest, bot: str
    ) -> Generator[ReplyEvent, None, None]:
        """Yield the reply in the one shape that leaves us, whatever *token*'s way can say.

        What Poe does not do is done here: tools and JSON are taught in the prompt, stop words
        and lengths are cut. Lengths are about what the bot writes, stop words about what the
        client reads: not about the form in which a bot was taught to write it.
        """
        if token.kind == "key":
            # The official API has never heard of the inner names.
            bot = self._models.handle(bot)

        def ask(asked: ChatRequest) -> Generator[ReplyEvent, None, None]:
            if token.kind == "key":
                # Some of its bots heed it; what the others say is checked all the same.
                asked = replace(asked, response_format=chat.response_format)
            with closing(token.upstream.reply(asked, bot)) as events:
                yield from _cut(_paced(events, lease), asked, token.kind)

        def taught(asked: ChatRequest) -> Generator[ReplyEvent, None, None]:
            return tools.reply(ask, asked)

        def called(asked: ChatRequest) -> Generator[ReplyEvent, None, None]:
            """Poe's own tools, where the bot has them."""
            try:
                if (yield from tools.native(ask(asked), asked)):
                    return
                log.info("a bot did not call as tool_choice demands; teaching it")
            except ParameterRefused as refusal:
                if refusal.param not in ("tools", "tool_choice"):
                    raise
                if refusal.param == "tools":
                    log.info("a bot has no tools of its own; teaching them")
                    self._toolless.add(bot.lower())
            yield from taught(asked)

        has_own_tools = token.kind == "key" and bot.lower() not in self._toolless
        with closing(json_answers.reply(called if has_own_tools else taught, chat)) as events:
            yield from truncation.at_words(events, chat.stop) if chat.stop else events

    def _route(self, chat: ChatRequest) -> tuple[str, frozenset[str]]:
        """The bot that *chat* is for, and the kinds of token that can serve it."""
        route = self._models.resolve(chat.model)
        if route is None:
            raise BotNotFound(f"The model {chat.model[:100]!r} does not exist.", param="model")
        kinds = self._tokens.kinds if route.kind is None else frozenset({route.kind})
        if not kinds & self._tokens.kinds:
            raise BotNotFound(
                f"The model {chat.model!r} is for {route.kind} tokens only, and there are none.",
                param="model",
            )
        return route.bot, kinds

    def models(self) -> list[dict[str, Any]]:
        """Return the models that can be named, as entries of OpenAI's model list."""
        return self._models.listing(self._catalogue())


def _paced(
    events: Iterable[ReplyEvent | Sending], lease: Lease[Upstream]
) -> Generator[ReplyEvent, None, None]:
    """Pass *events* on, and let each request out only when the token may be used.

    It may be late since it was lent, for a login takes its time; and a bot that has to be asked
    a second time is a second use.
    """
    for event in events:
        if not isinstance(event, Sending):
            yield event
            continue
        while not lease.may_send(TICK):
            yield Idle()


def _cut(events: Iterable[ReplyEvent], chat: ChatRequest, kind: str) -> Iterable[ReplyEvent]:
    """Leave out calls beyond the only one wanted, and end the bot's own text at its length.

    By key Poe sees to the length; the web protocol can say nothing of it.
    """
    if chat.parallel_tool_calls is False:
        events = truncation.at_one_call(events)
    if chat.max_tokens is not None and kind == "cookie":
        events = truncation.at_length(events, chat.max_tokens, count_text)
    return events
