"""The one place where token, upstream and second try meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import Any, Final

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent, Waiting
from poe_proxy.errors import (
    BotNotFound,
    NoTokenFree,
    NoTokenLeft,
    TokenLimited,
    UpstreamError,
)
from poe_proxy.models import Models
from poe_proxy.pool.rotator import Lease, Token, TokenRotator
from poe_proxy.shaping import stages
from poe_proxy.upstreams.base import TICK, Upstream

log = logging.getLogger(__name__)

#: Second tries with tokens of one kind, after a failure that was not the token's own: what fails
#: for three of them fails for all, and each try costs the client time.
MAX_MOVES: Final = 2


class Gateway:
    """Answers chat requests, each with a token that is free."""

    def __init__(
        self,
        tokens: TokenRotator[Upstream],
        models: Models,
        *,
        catalogue: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        #: Which token answers.
        self.tokens = tokens
        self._models = models
        self._catalogue = catalogue

    def reply(self, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
        """Yield the reply to *chat*, moving to another token only while nothing has been said.

        Closing the generator hangs up and gives the token back.

        Raises `BotNotFound`, `NoTokenFree`, `NoTokenLeft`, or the `UpstreamError` that the
        last token met.
        """
        bot, kinds = self._route(chat)
        deadline = self.tokens.now() + self.tokens.patience
        tried: set[Token[Upstream]] = set()
        moves = 0
        failure: UpstreamError | None = None
        while True:
            said = False
            token: Token[Upstream] | None = None
            try:
                with self.tokens.lease(kinds=kinds, avoid=tried, deadline=deadline) as lease:
                    while (token := lease.wait(TICK)) is None:
                        yield Waiting()
                    with closing(self._ask(lease, token, chat, bot)) as events:
                        for event in events:
                            said = said or not isinstance(event, Idle)
                            yield event
                return
            except (NoTokenFree, NoTokenLeft) as no_token:
                # Why the first token failed says more than that there was no second one, unless
                # the first one was only at its limit.
                if failure is None or isinstance(failure, TokenLimited):
                    raise no_token from failure
                raise failure from None
            except UpstreamError as exc:
                # Words already sent cannot be unsaid; a second try would repeat them.
                if said or token is None:
                    raise
                if exc.another_kind:
                    kinds = kinds - {token.kind}
                elif exc.another_token:
                    # Trouble of the token's own says nothing about the next one; and the token
                    # itself may do better once it has rested.
                    if not exc.is_of_token:
                        tried.add(token)
                        moves += 1
                else:
                    raise
                if moves > MAX_MOVES:
                    # What no key can do, perhaps a cookie can.
                    kinds, moves = kinds - {token.kind}, 0
                if not kinds & self.tokens.kinds:
                    raise
                failure = exc
                log.info("%s: %s; trying another token", token.label, exc.code)

    def _ask(
        self, lease: Lease[Upstream], token: Token[Upstream], chat: ChatRequest, bot: str
    ) -> Generator[ReplyEvent, None, None]:
        """Return the reply in its final shape, whatever *token*'s upstream does by itself."""

        def turn() -> Generator[Idle, None, None]:
            # The token may have been lent long ago, because a login takes time; and a bot that
            # is asked a second time is a second use.
            while not lease.may_send(TICK):
                yield Idle()

        able = token.upstream.abilities(bot)
        return stages.reply(
            lambda asked: token.upstream.reply(asked, bot, turn),
            chat,
            tools=able.tools,
            length=able.length,
        )

    def _route(self, chat: ChatRequest) -> tuple[str, frozenset[str]]:
        """Return the bot that *chat* is for, and the kinds of token that can serve it."""
        route = self._models.resolve(chat.model)
        if route is None:
            raise BotNotFound(f"The model {chat.model[:100]!r} does not exist.", param="model")
        kinds = self.tokens.kinds if route.kind is None else frozenset({route.kind})
        if not kinds & self.tokens.kinds:
            raise BotNotFound(
                f"The model {chat.model!r} is for {route.kind} tokens only, and there are none.",
                param="model",
            )
        return self._models.handle(route.bot), kinds

    def models(self) -> list[dict[str, Any]]:
        """Return the models that can be named, as entries of OpenAI's model list."""
        return self._models.listing(self._catalogue())
