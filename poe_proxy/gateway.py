"""The one place where token, upstream and second try meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Final

from poe_proxy.chat import Charges, ChatRequest, Idle, ReplyEvent, TextPart, Waiting
from poe_proxy.clients import UNCOUNTED, Permission, Visit
from poe_proxy.errors import (
    BotNotFound,
    NoTokenFree,
    NoTokenLeft,
    PromptTooLong,
    UpstreamError,
    let_go,
)
from poe_proxy.menu import Menu, Target
from poe_proxy.pool.refusals import blaming
from poe_proxy.pool.rotator import Lease, Rotator, Token
from poe_proxy.record import Record
from poe_proxy.shaping import stages
from poe_proxy.shaping.answers import telling
from poe_proxy.shaping.pipeline import Size
from poe_proxy.shaping.tokenizer import count_prompt
from poe_proxy.upstreams.base import TICK, Upstream
from poe_proxy.waiting import Listener

log = logging.getLogger(__name__)

#: Sends for one request that may fail for a reason that is not the token's own: what fails so often
#: fails everywhere, and each send costs the client time and perhaps points.
ATTEMPTS: Final = 4

#: Seconds in which a request is tried again, from when it had its first token, and from each
#: failure of a token's own.
KEEP_TRYING: Final = 10.0


class Gateway:
    """Answers chat requests, each with a token that is free."""

    def __init__(
        self,
        tokens: Rotator[Upstream],
        menu: Menu,
        *,
        attempts: int = ATTEMPTS,
    ) -> None:
        """*attempts* is how many sends for one request may fail, not counting those that failed
        for a reason of the token's own."""
        #: Which token answers.
        self.tokens = tokens
        #: What can be named.
        self.menu = menu
        self._attempts = attempts

    def reply(
        self, chat: ChatRequest, record: Record | None = None, visit: Visit = UNCOUNTED
    ) -> Generator[ReplyEvent, None, None]:
        """Yield the reply to *chat*, moving to another token only while nothing has been said.

        *record* names the client, and says whether it gets the reply as it arrives: its place in
        line depends on both. Who answers, what failed before, and what it took is noted there.
        *visit* says what its client may use, and is told when something is sent. Closing the
        generator hangs up and gives the token back.

        Raises `BotNotFound`, `ModelNotAllowed`, `NoTokenFree`, `NoTokenLeft`, or the
        `UpstreamError` that a token met, `ReplyTooLarge` among them.
        """
        record = Record() if record is None else record
        client = visit.client
        target, kinds = self._route(chat, client.permission)
        # Whoever asks may spell it in another way: all that it is asked counts together.
        record.bot = self.menu.listed(target.bot) or target.bot
        record.price = self.menu.price(target)
        record.charges = chat.kept.get(Charges)
        record.joined = time.monotonic()
        tries = _Tries(
            kinds & self.tokens.kinds,
            self._attempts,
            began=self.tokens.now(),
            patience=self.tokens.patience,
        )
        while True:
            said = False
            size = Size(chat.budget.max_reply)
            token: Token[Upstream] | None = None
            try:
                with self.tokens.lease(
                    kinds=tries.kinds,
                    avoid=tries.tried,
                    deadline=tries.deadline,
                    bot=target.bot,
                    client=record.client,
                    streams=record.streams,
                    probes=tries.probes,
                    accounts=client.accounts,
                    priority=client.priority,
                ) as lease:
                    token = lease.token
                    if waits := token is None:
                        token = yield from self._wait(lease, chat, record, tries.has_begun)
                    log.debug("%s is lent", token.label)
                    record.account, record.kind = token.label, token.kind
                    record.sends, record.sent = 0, 0.0
                    tries.begin(self.tokens.now())
                    if waits:
                        yield Idle()  # its time in line is over
                    permit = _Permit(lease, token, visit, record)
                    with closing(self._ask(permit, token, chat, target)) as events:
                        for event in events:
                            if not said and not isinstance(event, Idle):
                                said = True
                                lease.worked()
                            size.add(event)
                            yield event
                return
            except (NoTokenFree, NoTokenLeft, UpstreamError) as met:
                failure = met
                if token is not None and isinstance(met, UpstreamError):
                    failure = blaming(token, met)
                if isinstance(failure, PromptTooLong):
                    failure.tokens = count_prompt(chat)
                    failure.maximum = self.menu.reads_at_most(target)
                # Words already sent cannot be unsaid; a second try would repeat them.
                if said:
                    raise failure from None
                if isinstance(failure, BotNotFound):
                    self._explain(failure, chat, target, client.permission)
                    if token is not None and tries.turn_to(
                        target.tokens, token, failure, self._all
                    ):
                        let_go(failure)
                        _note_move(record, token, failure)
                        log.info("%s has no such bot; trying an account that has", token.label)
                        continue
                if token is None or not isinstance(failure, UpstreamError):
                    # A refusal of the pool, which knows no more tokens for this request.
                    if tries.widen():
                        continue
                    raise tries.verdict(failure) from None
                if not tries.go_on(token, failure, self.tokens.now()):
                    raise failure from None
                let_go(met)  # the tries know it, and it knows them
                _note_move(record, token, failure)
                how = "asking once more" if failure.once_more else "trying another token"
                log.info("%s: %s; %s", token.label, failure.code, how)
            finally:
                _note(record, chat, size)

    def _wait(
        self, lease: Lease[Upstream], chat: ChatRequest, record: Record, was_asked: bool
    ) -> Generator[Waiting, None, Token[Upstream]]:
        """Return the token of *lease*, and note how long that took."""
        record.in_line = began = self.tokens.now()
        try:
            return (yield from _wait(lease, chat.listener, was_asked))
        finally:
            record.in_line = 0.0
            record.queued += self.tokens.now() - began

    def _ask(
        self, permit: _Permit, token: Token[Upstream], chat: ChatRequest, target: Target
    ) -> Generator[ReplyEvent, None, None]:
        """Return the reply in its final shape, whatever *token*'s upstream does by itself."""
        bot = target.spelled(token.kind)
        able = token.upstream.abilities(bot)
        permit.tells_costs = able.tells_costs
        events = stages.reply(
            lambda asked: token.upstream.reply(asked, bot, permit),
            chat,
            tools=able.tools,
            length=able.length,
            messages=able.messages,
        )
        if able.remembers:
            return telling(events, lambda answer: token.upstream.answered(chat, answer))
        return events

    def _route(self, chat: ChatRequest, permission: Permission) -> tuple[Target, frozenset[str]]:
        """Return the bot that *chat* is for, and the kinds of token that can serve it."""
        target = self.menu.resolve(chat.model)
        if permission:
            self.menu.check(chat.model, target, permission)
        if target is None:
            raise BotNotFound(f"The model {chat.model[:100]!r} does not exist.", param="model")
        kinds = self.tokens.kinds if target.kind is None else frozenset({target.kind})
        if not kinds & self.tokens.kinds:
            raise BotNotFound(
                f"The model {chat.model!r} is for {target.kind} tokens only, and there are none.",
                param="model",
            )
        return target, kinds

    def _all(self) -> Iterable[Token[Upstream]]:
        return (token for token, _ in self.tokens.states())

    def _explain(
        self, failure: BotNotFound, chat: ChatRequest, target: Target, permission: Permission
    ) -> None:
        # A hint may name what its client may not use.
        if not permission and (hint := self.menu.hint(chat.model, target)):
            failure.message = f"{failure.message} {hint}"
            failure.args = (failure.message,)


def _wait(
    lease: Lease[Upstream], listener: Listener, was_asked: bool
) -> Generator[Waiting, None, Token[Upstream]]:
    """Return the token once *lease* has one: that ends the wait, or a refusal, or the client's
    hang-up. `Waiting` comes at once, and after each wait for as long as the listener allows."""
    seconds = 0.0
    listener.wakes(lease.wake)
    try:
        while (token := lease.wait(seconds)) is None:
            yield Waiting(was_asked)
            seconds = listener.patience
        return token
    finally:
        listener.wakes(None)


def _note_move(record: Record, token: Token[Upstream], failure: UpstreamError) -> None:
    """Note that another try is made because of *failure*, which *token* met."""
    record.moves += (failure.code or "",)
    record.moved_from += (token.label,)
    if failure.is_of_token and record.charges is not None:
        record.charges.forget(token)  # it was turned away


def _note(record: Record, chat: ChatRequest, size: Size) -> None:
    """Note what Poe has counted, or what there is to estimate it by."""
    record.usage = size.usage
    record.answer_size = size.bytes
    if size.usage is None:
        record.prompt_size = _bytes(chat)


def _bytes(chat: ChatRequest) -> int:
    """Return about how many bytes of text are asked."""
    return sum(
        len(text) if (text := part.text).isascii() else 3 * len(text)
        for message in chat.messages
        for part in message.content
        if isinstance(part, TextPart)
    )


class _Permit:
    """The permit to send that a lease gives.

    A token may have been lent long before anything is sent, because a login takes time; and a bot
    that is asked a second time is a second use.
    """

    __slots__ = ("_lease", "_record", "_token", "_visit", "tells_costs")

    def __init__(
        self, lease: Lease[Upstream], token: Token[Upstream], visit: Visit, record: Record
    ) -> None:
        #: Whether Poe will say what it takes for what is sent.
        self.tells_costs = False
        self._lease = lease
        self._token = token
        self._visit = visit
        self._record = record

    def __call__(self) -> Generator[Idle, None, None]:
        while not self._lease.may_send(TICK):
            yield Idle()
        self._visit.sent()
        if not self.tells_costs and self._record.charges is not None:
            self._record.charges.expect(self._token)
        self._record.sends += 1
        self._record.sent = self._record.sent or time.monotonic()

    def arrived(self) -> None:
        self._lease.arrived()

    def refused(self, failure: UpstreamError) -> None:
        self._lease.refused(failure)


class _Tries:
    """What was tried for one request, and what may be tried next."""

    def __init__(
        self, kinds: frozenset[str], attempts: int, *, began: float, patience: float
    ) -> None:
        """*attempts* is how many sends may fail; *patience* is how many seconds the request, which
        *began* now, waits in line."""
        #: The kinds of token that may serve it.
        self.kinds = kinds
        #: Those that it is not sent to again.
        self.tried: set[Token[Upstream]] = set()
        #: Whether it may probe a token that failed a moment ago. After a failure of its own it goes
        #: to tokens that have not failed.
        self.probes = True
        self._left = attempts
        #: When it waits no longer in line, and when it is not tried again.
        self.deadline = self._until = began + patience
        self._patience = patience
        #: Whether it ever had a token, so that Poe may have been asked.
        self.has_begun = False
        #: Whether the one send is left that Poe allows after certain failures, and what met such
        #: a failure: until then it may be sent to again.
        self._may_repeat = True
        self._spared: set[Token[Upstream]] = set()
        #: What *kinds* will be again if the other kind has no token for the last attempt.
        self._wider: frozenset[str] = frozenset()
        #: The newest failure that was not a token's own; and the newest one that was, if the pool
        #: does not give it as its reason.
        self._failure: UpstreamError | None = None
        self._own_failure: UpstreamError | None = None

    def begin(self, now: float) -> None:
        """Note that there is a token; from the first one on there is some time for another one,
        however long the request had waited."""
        if not self.has_begun:
            self.has_begun = True
            self._extend(now)

    def _extend(self, now: float) -> None:
        self._until = max(self._until, now + KEEP_TRYING)
        self.deadline = max(self.deadline, now + min(self._patience, KEEP_TRYING))

    def go_on(self, token: Token[Upstream], failure: UpstreamError, now: float) -> bool:
        """Note that *token* met *failure*; return whether another send is allowed."""
        if failure.strikes is not None:
            self.probes = False
        if failure.is_of_token:
            if failure.strikes is not None:
                self._own_failure = failure
            self.tried.add(token)
            # However long that took: each token is tried once, and the next one may be sound.
            self._extend(now)
            return failure.another_token
        self._failure = failure
        self._left -= 1
        if not self._left or now >= self._until:
            return False
        self.tried |= self._spared
        self._spared = set()
        if failure.once_more:
            # It is not the token that failed, so the same one will do if there is no better one.
            self._spared = {token}
            may_repeat, self._may_repeat = self._may_repeat, False
            return may_repeat
        self.tried.add(token)
        if failure.another_kind:
            self.kinds -= {token.kind}
            return bool(self.kinds)
        if failure.another_token and self._left == 1:
            self._turn_to_another_kind()
        return failure.another_token

    def turn_to(
        self,
        names: frozenset[str],
        token: Token[Upstream],
        failure: BotNotFound,
        everyone: Callable[[], Iterable[Token[Upstream]]],
    ) -> bool:
        """Note that *token* does not know the bot; return whether the accounts that were shown it
        are tried from now on, and no others. Their tokens are those of these *names*."""
        if not names or token.name in names or self._left <= 1:
            return False
        self._left -= 1
        self._failure = failure
        self.kinds = frozenset({"cookie"})
        self.tried |= {one for one in everyone() if one.name not in names}
        return True

    def _turn_to_another_kind(self) -> None:
        """Leave the last attempt to the kinds that had none: what no key can do, perhaps a cookie
        can."""
        others = self.kinds - {token.kind for token in self.tried}
        if others:
            self._wider, self.kinds = self.kinds, others

    def widen(self) -> bool:
        """Return whether the last attempt may go to a token of any kind after all."""
        if not self._wider:
            return False
        self.kinds, self._wider = self._wider, frozenset()
        return True

    def verdict(
        self, refusal: NoTokenFree | NoTokenLeft | UpstreamError
    ) -> NoTokenFree | NoTokenLeft | UpstreamError:
        """Return what to raise if the pool has no token left: *refusal*, or what a token met, which
        says more unless it was only the token's own trouble."""
        if self._failure is not None:
            return self._failure
        if self._own_failure is not None and isinstance(refusal, NoTokenLeft):
            return self._own_failure
        return refusal
