"""A message on its way to Poe: it is sent in a thread of its own, and its fate is known here.

Web protocol sheet §10.1, §17 and §25.

       ┌─────────────── answer ───────────────┐
       │                                      ▼
    Unsent ─ begin ─▶ UnderWay ─ answer ─▶ Answered ─ look ─▶ Taken ◀──────┐
       │                 │                    ├────── look ─▶ NotTaken ◀─┐ │
    withdraw             │                    └────── look ─▶ Doubtful   │ │
       │              abandon                                  ├─ miss ──┘ │
       ▼                 ▼                                     └─ show ────┘
     Over            Abandoned ─ answer ─▶ Over ◀─ abandon ─ any other state

`Over` still says whether Poe certainly does not have the message: so it is when the state before
was `Unsent`, `NotTaken`, or `Answered` with a failure that is certain.
"""

from __future__ import annotations

import logging
import os
import threading
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, TypeAlias

import orjson

from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    InternalError,
    PoeProxyError,
    UpstreamError,
    UpstreamUncertain,
    UpstreamUnreachable,
    let_go,
)
from poe_proxy.net import background
from poe_proxy.upstreams.base import TICK, Permit
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.channel import Channel
from poe_proxy.upstreams.poe_web.graphql import StillRefused
from poe_proxy.upstreams.poe_web.mailbox import Mailbox
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.session import Clearance, Keys, Session
from poe_proxy.upstreams.poe_web.turn import chat_of

log = logging.getLogger(__name__)

SEND: Final = "sendMessageMutation"
#: Seconds in which the websocket may contradict an answer that says nothing was done.
GRACE: Final = 0.3

#: What base64 has besides letters and digits becomes letters, too.
_PLAIN: Final = bytes.maketrans(b"+/", b"aZ")

#: What came of the request: `messageEdgeCreate` of the answer, or a failure.
Outcome: TypeAlias = Mapping[str, Any] | PoeProxyError


# ---- where a message is


@dataclass(frozen=True, slots=True)
class Unsent:
    """Nothing was sent: the sending thread waits until it may send."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The request was sent, and its answer is not here yet, or it will be repeated."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is here, but the reader has not looked at it."""

    outcome: Outcome = field(repr=False)
    #: For a failure: whether Poe certainly does not have the message.
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """Poe has the message: its answer says so, or the websocket or the history shows it."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The answer is a failure, but the message may have arrived all the same (§25)."""

    failure: PoeProxyError
    #: When the reader looked at the answer.
    since: float


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Poe does not have the message: its answer says so, or a search for it found nothing."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The reader hung up while the request was under way: the sending thread tidies up."""


@dataclass(frozen=True, slots=True)
class Over:
    """The reader hung up, and no request is under way."""

    is_untouched: bool = False


State: TypeAlias = Unsent | UnderWay | Answered | Taken | Doubtful | NotTaken | Abandoned | Over


def is_untouched(state: State) -> bool:
    """Whether Poe certainly does not have the message, so that its chat is as it was."""
    match state:
        case Unsent() | NotTaken() | Over(is_untouched=True):
            return True
        case Answered(PoeProxyError(), is_certain=True):
            return True
    return False


class Progress:
    """The state of one message; the arrows of the picture above are its verbs.

    A verb that has no arrow from the present state changes nothing. The sending thread calls
    `begin` and `answer`, the reader all the others; either may do so at any time.
    """

    def __init__(self, state: State | None = None) -> None:
        self._state = state or Unsent()
        #: Whether the request ever went out.
        self.was_sent = False
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """Where the message is now."""
        return self._state

    @property
    def is_accepted(self) -> bool:
        """Whether the answer is here, and says that Poe has the message."""
        state = self._state
        return isinstance(state, Answered) and not isinstance(state.outcome, PoeProxyError)

    def begin(self) -> bool:
        """Note that the request goes out. Return whether it may: the reader is still there."""
        with self._lock:
            if isinstance(self._state, Unsent):
                self._state = UnderWay()
                self.was_sent = True
            return isinstance(self._state, UnderWay)

    def withdraw(self) -> None:
        """Note that the request is not to go out any more."""
        self._move(Unsent, Over(is_untouched=True))

    def answer(self, answered: Answered) -> bool:
        """Note the answer. Return whether the reader is still there to look at it."""
        with self._lock:
            match self._state:
                case Unsent() | UnderWay():
                    self._state = answered
                    return True
                case Abandoned():
                    self._state = Over()
            return False

    def look(self, now: float) -> Answered | None:
        """Return the answer, once, for the reader; None if there is nothing new."""
        if not isinstance(self._state, Answered):
            return None
        with self._lock:
            answered = self._state
            if not isinstance(answered, Answered):
                return None
            if not isinstance(answered.outcome, PoeProxyError):
                self._state = Taken()
            elif answered.is_certain:
                self._state = NotTaken()
            else:
                self._state = Doubtful(answered.outcome, now)
            return answered

    def show(self) -> None:
        """Note that the websocket or the history shows that the message arrived."""
        self._move(Doubtful, Taken())

    def miss(self) -> None:
        """Note that the message was looked for, and never arrived."""
        self._move(Doubtful, NotTaken())

    def abandon(self) -> State:
        """Note that the reader hangs up. Return the state of the message at that moment."""
        with self._lock:
            found = self._state
            if isinstance(found, UnderWay | Abandoned):
                self._state = Abandoned()
            else:
                self._state = Over(is_untouched(found))
            return found

    def _move(self, start: type[State], end: State) -> None:
        if not isinstance(self._state, start):
            return
        with self._lock:
            if isinstance(self._state, start):
                self._state = end


# ---- the request


def _nonce() -> str:
    # Letters and digits from one draw, two of them twice as often as the others: to draw each by
    # itself takes a hundred times as long.
    return b2a_base64(os.urandom(12), newline=False).translate(_PLAIN).decode()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it is sent: a prompt that begins a chat with a bot, or goes on in one."""

    bot: Bot
    prompt: str = field(repr=False)
    #: The account's own (§25).
    device: str = field(repr=False)
    files: Sequence[Attachment] = ()
    #: The tickets of the files, if these were sent ahead.
    tickets: Sequence[str] = field(default=(), repr=False)
    #: Told how many bytes of files are about to go out; it may refuse it.
    give: Callable[[int], None] = field(default=lambda _: None, repr=False)
    #: The chat that it goes on in; None: a new one.
    chat: OpenChat | None = None
    #: The bot's own parameters (§10.1).
    parameters: Mapping[str, Any] = field(default_factory=dict)
    client_nonce: str = field(default_factory=_nonce)
    chat_nonce: str = field(default_factory=_nonce)

    def variables(self) -> dict[str, Any]:
        """Return what `sendMessageMutation` takes (§10.1)."""
        where = {"newChatContext": "home_page_input"} if self.chat is None else {}
        return {
            "chatId": None if self.chat is None else self.chat.id,
            "bot": self.bot.handle,
            "query": self.prompt,
            "source": {
                "sourceType": "chat_input",
                "chatInputMetadata": {"useVoiceRecord": False, **where},
            },
            "clientNonce": self.client_nonce,
            "sdid": self.device,
            "attachments": [f"file{number}" for number in range(len(self.files))],
            "chatNonce": self.chat_nonce,
            "existingMessageAttachmentsIds": [],
            "shouldFetchChat": self.chat is None,
            "referencedMessageId": None,
            "parameters": orjson.dumps(self.parameters).decode() if self.parameters else None,
            "fileHashJwts": list(self.tickets),
        }


class Sending:
    """Sends one message, and again if Poe certainly did nothing; each time with a permit."""

    def __init__(
        self,
        outgoing: Outgoing,
        session: Session,
        channel: Channel,
        mailbox: Mailbox,
        *,
        permit: Permit,
        clock: Callable[[], float],
        label: str,
    ) -> None:
        self.progress = Progress()
        #: When the message last went out; inf while it waits until it may: that silence is not
        #: the bot's.
        self.sent_at = inf
        self._outgoing = outgoing
        self._session = session
        self._channel = channel
        self._mailbox = mailbox
        self._permit = permit
        self._clock = clock
        self._label = label
        #: Which of the channels the message last named.
        self._generation = 0

    def start(self, *, when_late: Callable[[Outcome], None] = lambda _: None) -> None:
        """Send, in another thread. Once the answer is here the chat is bound to the mailbox, or
        else its reader is woken.

        *when_late* is called with the outcome if the reader hung up before it was here. Only the
        thread keeps it: whoever waits for the answer has the sending, and is freed with it.
        """
        background.start(lambda: self._run(when_late), f"{self._label} sending")

    def _run(self, when_late: Callable[[Outcome], None]) -> None:
        try:
            answered = self._ask()
        except Exception:
            log.exception("%s: sending failed", self._label)
            answered = (
                Answered(
                    UpstreamUncertain("A fault of the proxy while it sent the message."),
                    is_certain=False,
                )
                if self.progress.was_sent
                else Answered(InternalError("A fault of the proxy before it sent the message."))
            )
        # A wait that led to no sending is over as well: what still comes is up to the bot.
        self.sent_at = min(self.sent_at, self._clock())
        if self.progress.answer(answered):
            self._tell(answered.outcome)
        elif self.progress.was_sent:
            when_late(answered.outcome)

    def _tell(self, outcome: Outcome) -> None:
        before = self._outgoing.chat
        chat_id = chat_of(outcome, before) if isinstance(outcome, Mapping) else None
        if chat_id is None:
            self._mailbox.wake()
        else:
            # The reader looks at it when there is something to read: to wake it for this alone
            # would take some 15 µs of 370.
            self._channel.bind(self._mailbox, chat_id)

    def _ask(self) -> Answered:
        try:
            edge = self._post_twice().get("messageEdgeCreate")
            if not isinstance(edge, dict):
                raise UpstreamUncertain("Poe's answer to the message says nothing about it.")
        except PoeProxyError as failure:
            # Without a permit or a connection nothing was sent. Any other failure leaves a
            # doubt (§25).
            is_certain = not self.progress.was_sent or isinstance(failure, UpstreamUnreachable)
            let_go(failure)  # it will be in `progress`, and its frames hold that
            return Answered(failure, is_certain=is_certain)
        status = edge.get("status") or "success"
        if status == "success":
            return Answered(edge)
        said = graphql.text_of(edge.get("statusMessage"))
        return Answered(self._refusal(graphql.text_of(status) or "no status", said))

    def _refusal(self, status: str, message: str) -> UpstreamError:
        refusal = graphql.refusal(status, message)
        bot = self._outgoing.bot
        if isinstance(refusal, BotNotAllowed) and not bot.is_proven:
            # An unknown bot is refused in the same words as one that only other accounts may use.
            return BotNotFound(f"Poe has no bot called {bot.handle!r}.", param="model")
        return refusal

    def _post_twice(self) -> dict[str, Any]:
        try:
            try:
                return self._post()
            except StillRefused:
                # Poe may have forgotten the channel that the message names.
                self._mailbox.wait_bound(GRACE)
                if self._may_go() and self._channel.replace(self._generation):
                    return self._post()
                raise
        except StillRefused as failure:
            raise self._session.met(failure) from None

    def _post(self) -> dict[str, Any]:
        outgoing = self._outgoing
        return self._session.call(
            SEND,
            outgoing.variables(),
            reading=False,
            files=() if outgoing.bot.uploads_ahead else outgoing.files,
            give=outgoing.give,
            clear=self._clear,
            when_answered=self._permit.arrived,
        )

    # ---- when it may go out

    def _clear(self) -> Clearance:
        """Wait until the message may go out; return what it may go out with, this one time.

        The permit comes last, so that what it grants is sent at once. If keys or channel change
        in that very moment, it is lost: better than a request that is refused, or is answered
        on a channel that is no longer read.

        Raises `UpstreamUncertain` if the message must not go out any more.
        """
        self.sent_at = inf
        if self.progress.was_sent:
            self._mailbox.wait_bound(GRACE)
        while True:
            self._check()
            keys = self._session.ready_keys()
            self._check()
            if not self._channel.wait_open(TICK):
                continue
            if self._has_permit(keys):
                opened = self._channel.opened()
                if opened is not None and self._session.are_good(keys):
                    break
        self._check()
        if not self.progress.begin():
            raise self._too_late()
        self._generation = opened.generation
        self.sent_at = self._clock()
        return Clearance(keys, opened.name)

    def _has_permit(self, keys: Keys) -> bool:
        """Wait for the permit; return False without one if *keys* or channel change meanwhile."""
        for _ in self._permit():
            self._check()
            if not self._session.are_good(keys) or self._channel.opened() is None:
                return False
        return True

    def _check(self) -> None:
        """Raise if the message must not go out, or not again."""
        if not self._may_go():
            raise self._too_late()

    def _may_go(self) -> bool:
        """Whether there is a reader, and nothing shows that Poe has the message already."""
        is_left = isinstance(self.progress.state, Abandoned | Over)
        return not is_left and not (self.progress.was_sent and self._mailbox.chat_id is not None)

    def _too_late(self) -> UpstreamError:
        return UpstreamUncertain("The message is not sent again: Poe may have it after all.")
