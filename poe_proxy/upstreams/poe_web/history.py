"""What Poe's history has of a reply, read where the websocket says nothing of it.

Web protocol sheet §9, §10.9, §14.4 and §25. A subscription whose hash Poe no longer knows may be
refused without a word: then the bot answers, and the websocket does not say so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from math import inf
from typing import Any, Final, TypeAlias

from poe_proxy.chat import Idle, ReplyEvent
from poe_proxy.errors import (
    BotFailed,
    UpstreamChanged,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
)
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_web.channel import Channel
from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.turn import Turn
from poe_proxy.upstreams.poe_web.waiting import meanwhile

log = logging.getLogger(__name__)

#: Seconds from the sending in which the websocket shows our own message, or the bot's: it takes a
#: moment. If it has shown neither, the history is looked at, and again after pauses that grow by
#: half, up to the longest.
SILENCE: Final = 5.0
LONGEST_PAUSE: Final = 20.0
#: Seconds that it has for it behind the answer to the sending, however late that came.
AFTER_ANSWER: Final = 1.0

_Messages: TypeAlias = Sequence[Mapping[str, Any]]
#: Says what the websocket has told by now, and returns whether that is nothing.
CatchUp: TypeAlias = Callable[[], Generator[ReplyEvent, None, bool]]


class History:
    """Looks how far one reply has got, where that is in doubt."""

    def __init__(
        self,
        turn: Turn,
        chats: Chats,
        channel: Channel,
        *,
        when_deaf: Callable[[], None],
        clock: Callable[[], float],
        label: str,
    ) -> None:
        """*when_deaf* is called, once at most, if the history has something of the bot and the
        websocket has not shown any message of the chat."""
        self._turn = turn
        self._chats = chats
        self._channel = channel
        self._when_deaf = when_deaf
        self._clock = clock
        self._label = label
        #: Whether the websocket has shown a message of the chat.
        self.is_shown = False
        #: Whether the history, which alone says anything, had something new when it was last asked:
        #: then it is asked once more before the reply ends.
        self.may_have_more = False
        #: Whether frames were lost that the history has not been asked for yet.
        self._has_gap = False
        self._is_deaf = False
        #: When the websocket last told anything about the chat.
        self._told_at = inf
        #: When the next look is due; inf if none is.
        self._look_at = inf
        self._pause = SILENCE

    # ---- what is known of the websocket

    def told(self, name: str, now: float) -> None:
        """Note that the websocket tells of *name*, which is about the chat."""
        self._told_at = now
        if not self.is_shown and name == "messageAdded":
            self.is_shown, self.may_have_more, self._look_at = True, False, inf
            self._turn.holds_on = False

    def lost(self) -> None:
        """Note that frames were lost: the history has what was in them."""
        self._has_gap = True
        self._told_at = self._clock()
        if self._look_at != inf:
            self._look_at = self._told_at + self._pause

    def accepted(self, sent_at: float) -> None:
        """Note that Poe has the message, which went out at *sent_at*: it is to be shown soon."""
        now = self._clock()
        self._told_at = min(self._told_at, now)
        if not self.is_shown:
            self._look_at = max(sent_at + SILENCE, now + AFTER_ANSWER)

    def next_due(self, now: float) -> float:
        """Return when there is something to do, as far as that is known; else inf."""
        if self._has_gap:
            # The history is asked as soon as the chat is known, for which nobody is woken.
            return now + TICK
        return inf if self._turn.chat_id is None else self._look_at

    # ---- looks

    def look(
        self, quiet: float, limit: float, catch_up: CatchUp
    ) -> Generator[ReplyEvent, None, Sequence[ReplyEvent]]:
        """Look how far the reply has got, if that is in doubt; return what is new.

        *quiet* is the seconds since anything was heard of it, of which there may be as many as
        *limit*. *catch_up* says what the websocket has told by then. Raises the failure once it is
        certain.
        """
        turn, now = self._turn, self._clock()
        if turn.is_unfinished(now):
            return (yield from self._look_at_end(catch_up))
        chat_id, is_late, has_gap = turn.chat_id, quiet >= limit, self._has_gap
        is_wanted = has_gap or now >= self._look_at or (self.may_have_more and turn.is_due(now))
        if not is_late and not (is_wanted and chat_id is not None):
            return ()
        silence = UpstreamTimeout(f"The bot said nothing for {limit:g} s.")
        if chat_id is None:
            raise silence
        try:
            messages = yield from self._read(chat_id)
        except UpstreamError as failure:
            if is_late:
                raise silence from failure
            self._note(failure)
            return ()
        if messages is None and (is_late or has_gap):
            gone = "Poe does not know the chat any more."
            raise UpstreamInterrupted(gone) if turn.has_spoken else UpstreamUncertain(gone)
        news, is_silent = yield from self._compare(messages or (), catch_up, has_gap=has_gap)
        if is_late and is_silent:
            raise silence
        now = self._clock()
        if news and not turn.is_over and now - self._told_at >= limit:
            # The bot went on, and for so long the websocket did not say so.
            self._told_at = now
            generation = self._channel.generation
            yield from meanwhile(
                lambda: self._channel.replace(generation), name=f"{self._label} new channel"
            )
        return news

    def _look_at_end(self, catch_up: CatchUp) -> Generator[ReplyEvent, None, Sequence[ReplyEvent]]:
        """Look whether the bot's message is there, and whole, although the websocket did not say
        so; its job is over. Return what is new.

        Raises the failure if it stays away or unfinished, or cannot be seen.
        """
        turn, chat_id, has_gap = self._turn, self._turn.chat_id, self._has_gap
        failure: UpstreamError | None = None
        news: Sequence[ReplyEvent] = ()
        is_silent = True
        if chat_id is not None:
            try:
                messages = yield from self._read(chat_id)
            except UpstreamError as unread:
                self._note(unread)
                failure = unread
            else:
                news, is_silent = yield from self._compare(
                    messages or (), catch_up, has_gap=has_gap
                )
        if turn.look_again(self._clock(), has_news=not is_silent):
            return news
        if turn.has_spoken:
            raise UpstreamInterrupted("The bot ended in the middle of its message.") from failure
        raise BotFailed("The bot ended without an answer.") from failure

    def _read(self, chat_id: int) -> Generator[Idle, None, _Messages | None]:
        self._has_gap = self.may_have_more = False
        was_over = self._turn.job_is_over
        try:
            return (
                yield from meanwhile(
                    lambda: self._chats.messages(chat_id), name=f"{self._label} history"
                )
            )
        finally:
            # What a job wrote at its very end need not be there yet, and nobody else tells of it.
            self._turn.holds_on = not (self.is_shown or was_over)
            if self._look_at != inf:
                self._pause = min(1.5 * self._pause, LONGEST_PAUSE)
                self._look_at = self._clock() + self._pause

    def _compare(
        self, messages: _Messages, catch_up: CatchUp, *, has_gap: bool
    ) -> Generator[ReplyEvent, None, tuple[Sequence[ReplyEvent], bool]]:
        """Return what *messages* have that the websocket did not say, and whether neither of them
        had anything new. With *has_gap* it is no fault that the websocket did not say it."""
        is_silent = yield from catch_up()  # what it has said while they were read
        news = self._turn.read(messages, self._clock())
        if news and not (has_gap or self.is_shown):
            self.may_have_more = True
            if not self._is_deaf:
                self._is_deaf = True
                log.debug("%s: the websocket is silent about a reply", self._label)
                self._when_deaf()
        return news, is_silent and not news

    def _note(self, failure: UpstreamError) -> None:
        """Note that the history cannot be read."""
        if isinstance(failure, UpstreamChanged):
            # Whoever found that out has said so, and looks for it: there is none until then.
            self._look_at = inf
        else:
            log.info("%s: no history: %s", self._label, failure)
