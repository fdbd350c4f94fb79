"""An account at poe.com as an upstream: logs in, and begins an exchange for each reply.

Web protocol sheet §7.2, §10.8, §16, §21 and §25.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from poe_proxy.chat import Charges, ChatRequest, Idle, Message, ReplyEvent
from poe_proxy.errors import (
    ParameterRefused,
    TokenRejected,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnreachable,
    let_go,
)
from poe_proxy.pool.known import Funds
from poe_proxy.shaping.pipeline import run
from poe_proxy.shaping.reasoning import ReasoningParser
from poe_proxy.tallies import LOGINS
from poe_proxy.upstreams.base import Abilities, Permit
from poe_proxy.upstreams.poe_web import attachments
from poe_proxy.upstreams.poe_web.attachments import Attachment, Fetch, Files, Tickets
from poe_proxy.upstreams.poe_web.bots import Bots
from poe_proxy.upstreams.poe_web.channel import ATTEMPTS, Channel
from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.conversations import Conversation
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.exchange import Exchange
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.graphql import MessageTooLong
from poe_proxy.upstreams.poe_web.lengths import Lengths
from poe_proxy.upstreams.poe_web.long_prompts import Drafts, Fitting, Form
from poe_proxy.upstreams.poe_web.open_chats import OpenChat, OpenChats
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.sending import Outgoing
from poe_proxy.upstreams.poe_web.session import Session, not_ready
from poe_proxy.upstreams.poe_web.sharing import Shared
from poe_proxy.upstreams.poe_web.shelf import Shelf
from poe_proxy.upstreams.poe_web.subscriptions import Subscriptions
from poe_proxy.upstreams.poe_web.tidying import Tidying
from poe_proxy.upstreams.poe_web.waiting import meanwhile, one_by_one
from poe_proxy.upstreams.poe_web.websockets import Socket

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Login:
    """A session, and the channel that is subscribed for it."""

    session: Session
    channel: Channel


class PoeWeb:
    """One account, by its cookies. Logs in at the first reply, and again when the login is lost."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        site: CurrentSite,
        to_prompt: Callable[[ChatRequest], str],
        web_url: str = "https://poe.com",
        ws_url: str | None = None,
        proxy: str | None = None,
        timeout: float = 60.0,
        delete_chats: bool = False,
        fitting: Fitting | None = None,
        lengths: Lengths | None = None,
        reuse_chats: bool = False,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "cookie",
        device: str | None = None,
        renewed: Mapping[str, str] | None = None,
        keep_renewed: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """*fitting* says what becomes of a conversation that is too long for one message, and
        *lengths* knows what was, for this account or for several.

        With *reuse_chats* the next turn of a conversation goes on in the chat of the last one.

        *device* is the id of the device that Poe sees, by default derived from the credentials.

        *renewed* are cookies that Poe has issued in place of the given ones: they are used until
        Poe refuses them. *keep_renewed* is called with all of them when they change, and with
        none when the given ones are used again.
        """
        self._site = site
        self._to_prompt = to_prompt
        self._timeout = timeout
        self._delete_chats = delete_chats
        self._fitting = fitting or Fitting()
        self._lengths = lengths or Lengths(clock)
        self._fetch = fetch
        self._clock = clock
        self.label = self._label = label
        # One device for each account: pooled accounts must not look like one (§25).
        self._device = device or credentials.device
        #: Its way to poe.com.
        self.front = Front(
            credentials,
            site,
            url=web_url,
            proxy=proxy,
            label=label,
            renewed=renewed,
            keep_renewed=keep_renewed,
        )
        self._session = Session(self.front, site, given_formkey=credentials.formkey, clock=clock)
        self._subscriptions = Subscriptions(site, label=label, clock=clock)
        self._socket = Socket(site, origin=web_url, ws_url=ws_url, proxy=proxy)
        self._bots = Bots(timeout=timeout, clock=clock)
        self._shelf = Shelf(self._session, site, label=label)
        self._tickets = Tickets(clock)
        self._tidying = Tidying(label=label)
        #: The chats that may go on; None if none may.
        self._open_chats = OpenChats(self._drop, clock) if reuse_chats else None
        self._channel: Channel | None = None
        self._login: Shared[Login] = Shared()

    @property
    def formkey(self) -> str | None:
        """The form key that it has now; empty if it has none."""
        return self._session.formkey

    @property
    def is_logged_in(self) -> bool:
        """Whether it has a login now."""
        return self._open_login() is not None

    def abilities(self, bot: str) -> Abilities:
        """Return that no bot has tools or a length here: the site has no field for them."""
        return Abilities(tells_costs=True, remembers=self._open_chats is not None)

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers, in a new chat or in one that goes on; see `Upstream`.

        Raises `InvalidRequest` for images and files that are invalid or beyond the limits.
        """
        if self._open_chats is None:
            yield from self._reply(chat, bot, turn)
            return
        conversation = Conversation(bot, chat, self._open_chats)
        try:
            new = yield from self._new_messages(conversation, chat)
            try:
                yield from self._reply(new, bot, turn, conversation)
                return
            except MessageTooLong as refusal:
                if conversation.chat is None:
                    raise
                # Nobody knows whether Poe has measured the message or all of the chat.
                log.info("%s: %s Beginning anew.", self._label, refusal)
                let_go(refusal)
            conversation.drop()
            yield from self._reply(chat, bot, turn, conversation)
        finally:
            conversation.put_back()

    def _reply(
        self, chat: ChatRequest, bot: str, turn: Permit, conversation: Conversation | None = None
    ) -> Generator[ReplyEvent, None, None]:
        drafts = Drafts(chat, self._to_prompt, self._fitting)
        parts = attachments.parts_of(chat)
        own = chat.kept.get(Files)
        files: Sequence[Attachment] = ()
        if parts:
            files = yield from one_by_one(
                own.read(parts, self._fetch, self._clock, chat.budget), name=f"{self._label} files"
            )
        at = None if conversation is None else conversation.chat
        is_answered = False
        try:
            while not is_answered:
                exchange, form = yield from self._begin(
                    chat, bot, drafts, files, own.give, turn, at
                )
                events = run(exchange.events(), ReasoningParser(), budget=chat.budget)
                if conversation is not None:
                    events = conversation.told(events, exchange.keep_chat)
                try:
                    yield from events
                    is_answered = True
                except (MessageTooLong, ParameterRefused) as refusal:
                    # In a chat that goes on it may be the chat that is too long.
                    is_of_chat = at is not None and isinstance(refusal, MessageTooLong)
                    # Of a client's own files nobody knows whether they are what is too much.
                    if is_of_chat or files or not drafts.go_on(form, refusal):
                        raise
                    log.info("%s: %s Sending it in another form.", self._label, refusal)
                finally:
                    is_as_it_was = exchange.close()
                    if conversation is not None and not is_as_it_was:
                        conversation.forget()
        finally:
            if length := drafts.too_long(is_answered=is_answered):
                self._lengths.add(bot, length)

    def _begin(
        self,
        chat: ChatRequest,
        name: str,
        drafts: Drafts,
        files: Sequence[Attachment],
        give: Callable[[int], None],
        turn: Permit,
        at: OpenChat | None,
    ) -> Generator[Idle, None, tuple[Exchange, Form]]:
        """Do everything that comes before the sending. *at* is the chat that goes on, if any."""
        for is_last in (False, True):
            login = yield from self._logged_in()
            outgoing, form = yield from self._prepare(
                login.session, chat, name, drafts, files, give, at
            )
            exchange = Exchange(
                outgoing,
                login.session,
                login.channel,
                permit=turn,
                site=self._site,
                tidying=self._tidying,
                timeout=self._timeout,
                listener=chat.listener,
                charges=chat.kept.get(Charges),
                delete_chats=self._delete_chats,
                forget_tickets=self._tickets.forget,
                when_deaf=partial(self._subscriptions.are_silent, login.channel),
                clock=self._clock,
                label=self._label,
            )
            try:
                exchange.attach()
            except UpstreamUnreachable:
                # The channel has broken in the meantime; nothing was sent.
                if is_last:
                    raise
            else:
                return exchange, form
        raise AssertionError("the last round returns or raises")

    def _prepare(
        self,
        session: Session,
        chat: ChatRequest,
        name: str,
        drafts: Drafts,
        files: Sequence[Attachment],
        give: Callable[[int], None],
        at: OpenChat | None,
    ) -> Generator[Idle, None, tuple[Outgoing, Form]]:
        """Look the bot up, and upload the files where they go ahead of the message (§16).

        *give* is told how many bytes of files are about to go out, and may refuse it. Raises what
        `not_ready` makes of a failure.
        """
        tickets: Sequence[str] = ()
        try:
            bot = self._bots.known(name) or (
                yield from meanwhile(
                    lambda: self._bots.look_up(name, session), name=f"{self._label} bot"
                )
            )
            bot.check(files)
            form = drafts.fit(bot, self._lengths.refused_by(name))
            if form.file is not None:
                files = (*files, form.file)
            if files and bot.uploads_ahead:
                tickets = yield from one_by_one(
                    (
                        self._tickets.get(file, lambda one: session.upload(one, give))
                        for file in files
                    ),
                    name=f"{self._label} files",
                )
        except UpstreamError as failure:
            raise not_ready(failure) from None
        outgoing = Outgoing(
            bot, form.prompt, self._device, files, tickets, give, at, chat.parameters
        )
        return outgoing, form

    # ---- chats that go on

    def _new_messages(
        self, conversation: Conversation, chat: ChatRequest
    ) -> Generator[Idle, None, ChatRequest]:
        """Return *chat* with those messages that its chat at Poe does not have."""
        if conversation.chat is None:
            return chat
        login = yield from self._logged_in()
        return (yield from conversation.new_messages(chat, login.session, label=self._label))

    def answered(self, chat: ChatRequest, answer: Message) -> None:
        """Note what answer the client was given; see `Upstream`."""
        if self._open_chats is not None:
            Conversation.end(chat, answer, self._open_chats)

    def _drop_old_chats(self) -> None:
        """Drop the chats that are too old to go on; the account may be idle for long."""
        if self._open_chats is not None:
            self._open_chats.drop_old()

    def _drop(self, chat: OpenChat) -> None:
        """Delete a chat that does not go on, if the settings say so."""
        if self._delete_chats:
            delete = Chats(self._session).delete
            self._tidying.start(lambda: self._tidying.delete(delete, chat.id))

    def balance(self) -> Funds:
        """Return the points that the account has left; raises `UpstreamError`."""
        match self._log_in().session.call("settingsPageQuery", {}):
            case {"viewer": {"messagePointInfo": {"messagePointBalance": int(points)}}}:
                return Funds(points)
        raise UpstreamProtocolError("Poe did not report the balance of points.")

    def shown(self, wait: float = 0.0) -> tuple[str, ...]:
        """Return the handles of the bots that the site shows the account to choose from.

        They are looked up once, in the background, from the first call on for which the account
        is logged in; it is never logged in for this. That look is waited for *wait* seconds.
        """
        if self._open_login() is not None:
            self._shelf.begin()
        return self._shelf.handles(wait)

    def let_go(self) -> None:
        """Close the websocket and the connections, unless a reply is under way; see `Upstream`."""
        channel = self._channel
        if channel is not None and channel.close_if_idle():
            self._session.close()  # what is sent later opens connections of its own

    def close(self) -> None:
        """Stop the bots that are still at work, and close the websocket and the connections.

        That takes up to five seconds.
        """
        if self._open_chats is not None:
            self._open_chats.close()
        self._tidying.close()
        if self._channel is not None:
            self._channel.close()
        self._session.close()

    # ---- logging in

    def _logged_in(self) -> Generator[Idle, None, Login]:
        return self._open_login() or (
            yield from meanwhile(self._log_in, name=f"{self._label} login")
        )

    def _open_login(self) -> Login | None:
        """Return the login that is there, without waiting; None if there is none."""
        channel = self._channel
        if channel is None or not channel.is_alive or self._subscriptions.are_outdated:
            return None
        return Login(self._session, channel)

    def _log_in(self) -> Login:
        """Return the login, after logging in if there is none.

        If several threads call at once, one of them logs in, and all get its result. Raises
        `LoginFailed`, or a failure that says by itself what it means for the account.
        """

        def log_in() -> Login:
            if (channel := self._subscribed_anew()) is not None:
                return Login(self._session, channel)
            try:
                channel = self._open_channel()
            except UpstreamError as failure:
                LOGINS.add(self._label, failure.code or "failed")
                raise not_ready(failure) from None
            LOGINS.add(self._label, "ok")
            self._channel = channel
            return Login(self._session, channel)

        return self._login.get(self._open_login, log_in)

    def _open_channel(self) -> Channel:
        session = self._session
        data = session.log_in()
        self._tickets.forget()
        for attempt in range(ATTEMPTS):
            try:
                self._subscriptions.begin(session, data.name)
                return Channel(
                    data,
                    self._socket,
                    self._site.now.limits,
                    renew=self._renew,
                    when_open=session.use_channel,
                    when_pinging=self._drop_old_chats,
                    label=self._label,
                )
            except (TokenRejected, UpstreamBlocked):
                raise
            except (UpstreamUnreachable, UpstreamProtocolError) as failure:
                if attempt == ATTEMPTS - 1:
                    raise
                log.info("%s: %s Trying another channel.", self._label, failure)
            time.sleep(random.uniform(0.2, 0.4) * 2**attempt)
            data = self._another_channel()
        raise AssertionError("the last attempt returns or raises")

    def _another_channel(self) -> ChannelData:
        """Get a new channel for a session that goes on."""
        try:
            return self._session.channel_data()
        except (UpstreamChanged, UpstreamProtocolError):
            return self._session.log_in()

    def _renew(self) -> ChannelData:
        """Get and subscribe a new channel for a session that goes on."""
        data = self._another_channel()
        self._subscriptions.begin(self._session, data.name)
        return data

    def _subscribed_anew(self) -> Channel | None:
        """Return the channel that is there, subscribed as the site wants it now; None if there is
        none. Replies that it has go on."""
        channel = self._channel
        if channel is None or not channel.is_alive:
            return None
        # One that is being mended is subscribed another time.
        if (opened := channel.opened()) is not None:
            self._subscriptions.renew(self._session, opened.name)
        return channel
