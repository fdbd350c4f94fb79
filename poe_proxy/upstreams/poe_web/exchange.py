"""One message on its way, and the answer to it.

Web protocol sheet §10, §13, §14 and §25.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from math import inf
from typing import assert_never

from poe_proxy.chat import Charges, Idle, ReplyEvent
from poe_proxy.errors import (
    PoeProxyError,
    UpstreamChanged,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net.pacing import Flood, breathe
from poe_proxy.upstreams.base import Permit
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.channel import Channel
from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.graphql import MessageUnseen, ServerError
from poe_proxy.upstreams.poe_web.history import SILENCE, History
from poe_proxy.upstreams.poe_web.items import Draft, Item
from poe_proxy.upstreams.poe_web.mailbox import Mailbox, Notice, Resync, size_of
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.remains import Remains
from poe_proxy.upstreams.poe_web.sending import (
    GRACE,
    SEND,
    Abandoned,
    Answered,
    Doubtful,
    Outcome,
    Outgoing,
    Over,
    Sending,
    UnderWay,
    is_untouched,
)
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.tidying import Tidying
from poe_proxy.upstreams.poe_web.turn import Turn
from poe_proxy.upstreams.poe_web.waiting import meanwhile
from poe_proxy.waiting import Listener

log = logging.getLogger(__name__)


class Exchange:
    """Sends one message and listens until the bot has answered, or the reader hangs up."""

    def __init__(
        self,
        outgoing: Outgoing,
        session: Session,
        channel: Channel,
        *,
        permit: Permit,
        site: CurrentSite,
        tidying: Tidying,
        timeout: float,
        listener: Listener | None = None,
        charges: Charges | None = None,
        delete_chats: bool = False,
        forget_tickets: Callable[[], None] = lambda: None,
        when_deaf: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "cookie",
    ) -> None:
        """*tidying* is the account's. *timeout* is the most seconds of silence once the bot has
        begun. *listener* is who the reply is for; what it costs is noted in *charges*.

        *forget_tickets* is called when a file's ticket may be why a message failed, and
        *when_deaf*, once at most, when the websocket says nothing of what is in the history.
        """
        self._outgoing = outgoing
        self._channel = channel
        self._permit = permit
        self._site = site
        self._tidying = tidying
        self._timeout = timeout
        self._listener = listener or Listener()
        self._charges = charges or Charges()
        self._forget_tickets = forget_tickets
        self._clock = clock
        self._label = label
        self._chats = Chats(session)
        self._turn = Turn(
            client_nonce=outgoing.client_nonce,
            chat_nonce=outgoing.chat_nonce,
            before=outgoing.chat,
            jobs_are_reported="jobUpdated" in site.now.subscriptions,
        )
        self._mailbox = Mailbox(outgoing.client_nonce, outgoing.chat_nonce)
        self._sending = Sending(
            outgoing,
            session,
            channel,
            self._mailbox,
            permit=permit,
            clock=clock,
            label=label,
        )
        self._progress = self._sending.progress
        self._remains = Remains(self._turn, self._chats, tidying, deletes=delete_chats)
        self._history = History(
            self._turn,
            self._chats,
            channel,
            when_deaf=when_deaf,
            clock=clock,
            label=label,
        )
        #: When anything was last heard of the reply.
        self._heard_at = -inf
        #: What came of the sending, if the reader had hung up by then.
        self._late: Outcome | None = None
        self._is_answered = threading.Event()

    def attach(self) -> None:
        """Watch for the answer; raises `UpstreamUnreachable` if there is no websocket."""
        before = self._outgoing.chat
        self._channel.attach(self._mailbox, None if before is None else before.id)
        try:
            self._tidying.enlist(self._hang_up)
        except UpstreamUnreachable:
            self._channel.detach(self._mailbox)
            raise

    # ---- the reply

    def events(self) -> Generator[ReplyEvent, None, None]:
        """Send, and yield what comes of it; raises `UpstreamError`."""
        if not self._channel.is_alive or isinstance(self._progress.state, Over):
            # The message may have waited long for its turn, and the account may be closed.
            raise UpstreamUnreachable("Poe's websocket broke before the message was sent.")
        self._listener.wakes(self._mailbox.wake)
        try:
            self._sending.start(when_late=self._answered_late)
            yield from self._listen()
        finally:
            self._listener.wakes(None)

    def _listen(self) -> Generator[ReplyEvent, None, None]:
        clock, turn, mailbox = self._clock, self._turn, self._mailbox
        self._heard_at = clock()
        flood = Flood()
        sizes: list[int] = []
        while not turn.is_over:
            for size in sizes:
                # What they said has left by now: a flood holds up nothing but itself.
                flood.came(size)
            notices = mailbox.wait(self._until_due())
            if notices:
                self._heard_at = clock()
            if self._progress.is_accepted:
                self._look()  # before what comes behind it
            is_silent = yield from self._say_all(notices)
            sizes = [size_of(notice) for notice in notices]
            del notices  # each has a whole reply, and the next wait may be long
            if turn.is_over:
                # What comes after the end, such as the end of the websocket, does not matter.
                return
            self._look()
            may_end = not self._is_in_doubt() and not self._history.may_have_more
            if may_end and (last := turn.due(clock())):
                yield from self._listener.together(last)
                return
            # The wait for the permit is not the bot's silence.
            quiet = clock() - max(self._heard_at, self._sending.sent_at)
            news = yield from self._ask_history(quiet)
            if news:
                self._heard_at, is_silent = clock(), False
                yield from self._listener.together(news)
            if is_silent:
                yield Idle()

    def _say_all(self, notices: Sequence[Notice]) -> Generator[ReplyEvent, None, bool]:
        """Yield what *notices* mean, up to the end of the turn; return whether that is nothing.

        A failure that they report comes behind what was said before it.
        """
        said: list[ReplyEvent] = []
        try:
            for notice in notices:
                said += self._open(notice)
                if self._turn.is_over:
                    break
                breathe()
        except UpstreamError:
            yield from self._listener.together(said)
            raise
        yield from self._listener.together(said)
        return not said

    def _until_due(self) -> float:
        """Return the seconds to wait for a notice: until there is something else to do, or a sign
        of life is due."""
        now = self._clock()
        due = min(now + self._listener.patience, self._history.next_due(now))
        state = self._progress.state
        if isinstance(state, Doubtful):
            due = min(due, self._shows_until(state))
        else:
            # As long as it is not sent, the bot's silence has not begun.
            sent_at = self._sending.sent_at
            due = min(due, self._limit + (now if sent_at == inf else max(self._heard_at, sent_at)))
        if isinstance(state, UnderWay | Answered) and not self._history.is_shown:
            # The answer wakes nobody, and it may be all that ever comes.
            due = min(due, now + SILENCE)
        if (end := self._turn.next_due()) is not None:
            due = min(due, end)
        return max(0.0, due - now)

    @property
    def _limit(self) -> float:
        """The most seconds for which the bot may be silent."""
        return self._timeout if self._turn.has_spoken else self._outgoing.bot.patience

    def _open(self, notice: Notice) -> Sequence[ReplyEvent]:
        """Return what *notice* means for the reply; raises the failure that it reports."""
        match notice:
            case Item() | Draft():
                now = self._clock()
                self._history.told(notice.name, now)
                return self._turn.feed(notice.name, notice.content(), now)
            case Resync():
                self._history.lost()
                return ()
            case UpstreamError():
                raise self._broken(notice)
            case _:
                assert_never(notice)

    def _look(self) -> None:
        """Take the answer to the sending, if it has come.

        Raises a failure that is certain: Poe does not have the message. After any other failure
        the websocket may show that the message arrived all the same (§25).
        """
        turn = self._turn
        match self._progress.look(self._clock()):
            case Answered(PoeProxyError() as failure, is_certain):
                if is_certain:
                    raise failure
                log.info("%s: %s Watching for the message.", self._label, failure)
            case Answered(Mapping() as edge):
                turn.accepted(edge)
                self._history.accepted(self._sending.sent_at)
        turn.chat_id = turn.chat_id or self._mailbox.chat_id
        if turn.chat_id is not None and self._is_in_doubt():
            self._progress.show()

    def _is_in_doubt(self) -> bool:
        """Whether the message may never have arrived."""
        return isinstance(self._progress.state, Doubtful)

    def _shows_until(self, doubt: Doubtful) -> float:
        """Return until when a message would show that arrived although its answer is a failure."""
        is_uncertain = isinstance(doubt.failure, UpstreamUncertain)
        return doubt.since + (self._site.now.limits.shows if is_uncertain else GRACE)

    def _broken(self, failure: UpstreamError) -> UpstreamError:
        """Return what *failure* means: no other token may try what was sent."""
        self._progress.withdraw()
        if not self._progress.was_sent:
            return UpstreamUnreachable(f"The message was not sent. {failure.message}")
        if self._turn.has_spoken:
            return UpstreamInterrupted(failure.message)
        return UpstreamUncertain(failure.message)

    # ---- the history, where the websocket says nothing

    def _ask_history(self, quiet: float) -> Generator[ReplyEvent, None, Sequence[ReplyEvent]]:
        """Look how far the reply has got, if that is in doubt; return what is new.

        *quiet* is the seconds since anything was heard of it. Raises the failure once it is
        certain.
        """
        if isinstance(doubt := self._progress.state, Doubtful):
            yield from self._find(doubt)
            return ()
        return (yield from self._history.look(quiet, self._limit, self._catch_up))

    def _catch_up(self) -> Generator[ReplyEvent, None, bool]:
        """Say what the websocket has told by now; return whether that is nothing."""
        notices = self._mailbox.wait(0.0)
        if notices:
            self._heard_at = self._clock()
        return (yield from self._say_all(notices))

    def _find(self, doubt: Doubtful) -> Generator[ReplyEvent, None, None]:
        """Find out whether the message arrived although its answer is a failure.

        Returns early while it may still show by itself. Raises the failure if it did not arrive.
        """
        if self._clock() < self._shows_until(doubt):
            return
        chat_id = None
        if isinstance(doubt.failure, UpstreamUncertain):
            try:
                chat_id = yield from meanwhile(
                    self._remains.find_chat, name=f"{self._label} history"
                )
            except UpstreamChanged as failure:
                raise MessageUnseen(
                    f"{doubt.failure.message} Whether the message arrived cannot be looked up: "
                    f"{failure.message}"
                ) from failure
            except UpstreamError as failure:
                raise doubt.failure from failure
        if chat_id is not None:
            log.info("%s: the message is in the history", self._label)
            self._turn.chat_id = chat_id
            self._progress.show()
            self._channel.bind(self._mailbox, chat_id)
            self._history.accepted(self._sending.sent_at)
            self._history.lost()
            return
        self._progress.miss()
        if self._outgoing.tickets:
            # Poe answers a ticket that it no longer knows with a server error, too.
            self._forget_tickets()
        if isinstance(doubt.failure, ServerError):
            changed = graphql.changed(SEND, doubt.failure.hash, perhaps=True)
            raise self._site.met(changed, self._label)
        raise doubt.failure

    # ---- the end

    def keep_chat(self) -> OpenChat | None:
        """Leave the chat, which may go on, as it is, whatever the settings say; return it.

        None if it may not: the turn is not over.
        """
        turn = self._turn
        turn.chat_id = turn.chat_id or self._mailbox.chat_id
        left = turn.left()
        if left is not None:
            self._remains.is_kept = True
            # What comes from now on is for the next turn, which may begin at once.
            self._channel.detach(self._mailbox)
        return left

    def close(self) -> bool:
        """Stop the bot if it is still at work, and delete the chat if the settings say so.

        Waits for neither: `Tidying` does both. May be called again, and by another thread.

        Returns whether a chat that goes on is as it was, since Poe certainly does not have the
        message: such a chat is left alone.
        """
        self._tidying.withdraw(self._hang_up)
        if (job := self._turn.job) is not None:
            self._channel.costs.want(job, self._charges)  # Poe may not have told it yet
        found = self._progress.abandon()
        if isinstance(found, UnderWay):
            # The websocket may still say which chat it is, before the answer does.
            self._tidying.start(self._tidy_up_late)
        if isinstance(found, UnderWay | Abandoned):
            return False
        self._channel.detach(self._mailbox)
        turn = self._turn
        turn.chat_id = turn.chat_id or self._mailbox.chat_id
        is_as_it_was = is_untouched(found) and turn.chat_id is None
        outcome: Outcome | None = None
        match found:
            case Over():
                return is_as_it_was
            case Answered(Mapping() as edge):
                outcome = edge
                turn.accepted(edge)
            case Answered(PoeProxyError() as failure) | Doubtful(failure):
                outcome = failure
                self._pass_on(failure)
        if not is_as_it_was and self._remains.are_there(outcome):
            self._tidying.start(lambda: self._remains.tidy_up(outcome))
        return is_as_it_was

    def _hang_up(self) -> None:
        """Close the exchange although it is being read: its reader gets a failure."""
        self._mailbox.put(UpstreamInterrupted("The account was closed before the reply ended."))
        self.close()

    def _pass_on(self, outcome: Outcome) -> None:
        """Let the pool know what Poe said of the token: there is no reader to raise it for."""
        if isinstance(outcome, UpstreamError) and outcome.is_of_token:
            self._permit.refused(outcome)

    def _answered_late(self, outcome: Outcome) -> None:
        self._pass_on(outcome)
        self._late = outcome
        self._is_answered.set()
        self._mailbox.stop_waiting()

    def _tidy_up_late(self) -> None:
        """Tidy up behind a message whose answer is still to come."""
        turn, mailbox = self._turn, self._mailbox
        try:
            mailbox.wait_bound(None)
            if not self._is_answered.is_set():
                turn.chat_id = mailbox.chat_id
                if not turn.is_over:
                    self._remains.stop()
                self._is_answered.wait()
        finally:
            self._channel.detach(mailbox)
        turn.chat_id = turn.chat_id or mailbox.chat_id
        if isinstance(self._late, Mapping):
            turn.accepted(self._late)
        self._remains.tidy_up(self._late)
