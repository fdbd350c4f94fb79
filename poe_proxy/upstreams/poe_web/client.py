"""An account at poe.com as an upstream: logs in, sends, listens, stops.

Web protocol sheet §10, §13, §14 and §21.
"""

from __future__ import annotations

import base64
import logging
import secrets
import string
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent
from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    PoeProxyError,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
)
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.channel import Channel, Socket
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.mailbox import Mailbox, Resync
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.turn import Item, Turn

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that what is known of a bot holds.
_BOT_HOLDS: Final = 3600.0
#: Seconds within which a prompt shows on the websocket if it arrived, though the answer to
#: the sending was lost.
_SHOWS_WITHIN: Final = 10.0

_CANCEL: Final = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"
_DELETE: Final = "useDeleteChat_deleteChat_Mutation"
_NONCE_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Bot:
    """What the site says about a bot (§10.6)."""

    handle: str
    #: Seconds that its first word may take.
    patience: float


@dataclass(frozen=True, slots=True)
class Login:
    """A session, and the channel that is subscribed for it."""

    session: Session
    channel: Channel


class PoeWeb:
    """One account, by its cookies. Logs in at the first reply, and again when that is lost."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        site: Site,
        to_prompt: Callable[[ChatRequest], str],
        web_url: str = "https://poe.com",
        ws_url: str | None = None,
        proxy: str | None = None,
        timeout: float = 60.0,
        delete_chats: bool = False,
        clock: Callable[[], float] = time.monotonic,
        label: str = "cookie",
    ) -> None:
        self.site = site
        self.timeout = timeout
        self.delete_chats = delete_chats
        self.clock = clock
        self.label = label
        # One device for each account: pooled accounts must not look like one (§25).
        self.device = str(uuid.uuid4())
        self._to_prompt = to_prompt
        self._session = Session(credentials, site, url=web_url, proxy=proxy, label=label)
        self._socket = Socket(site, origin=web_url, ws_url=ws_url, proxy=proxy)
        self._channel: Channel | None = None
        self._opening = threading.Lock()
        self._bots: dict[str, tuple[float, Bot]] = {}

    def reply(self, chat: ChatRequest, bot: str) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers, in a new chat; see `Upstream`."""
        prompt = self._to_prompt(chat)
        login = yield from _meanwhile(self._log_in)
        known = self._known(bot) or (yield from _meanwhile(lambda: self._look_up(login, bot)))
        exchange = Exchange(self, login, known, prompt)
        try:
            yield from exchange.events()
        finally:
            exchange.close()

    def balance(self) -> int:
        """Return the points that the account has left; raises `UpstreamError`."""
        data = self._log_in().session.call("settingsPageQuery", {})
        points = ((data.get("viewer") or {}).get("messagePointInfo") or {}).get(
            "messagePointBalance"
        )
        if not isinstance(points, int):
            raise UpstreamProtocolError("Poe tells no balance of points.")
        return points

    def close(self) -> None:
        """Close the websocket and the connections."""
        if self._channel is not None:
            self._channel.close()
        self._session.close()

    # ---- logging in

    def _log_in(self) -> Login:
        with self._opening:
            if self._channel is None or not self._channel.is_alive:
                session = self._session
                data = session.log_in()
                self._subscribe(data)
                self._channel = Channel(
                    data, self._socket, self.site, renew=self._renew, label=self.label
                )
            return Login(self._session, self._channel)

    def _renew(self) -> ChannelData:
        """Get and subscribe a new channel for a session that goes on."""
        data = self._session.channel_data()
        self._subscribe(data)
        return data

    def _subscribe(self, data: ChannelData) -> None:
        self._session.channel_name = data.name
        self._session.call(
            "subscriptionsMutation",
            {
                "subscriptions": [
                    {"subscriptionName": name, "query": None, "queryHash": hash}
                    for name, hash in self.site.subscriptions.items()
                ]
            },
        )

    # ---- bots

    def _known(self, name: str) -> Bot | None:
        until, bot = self._bots.get(name.lower(), (0.0, None))
        return bot if bot is not None and self.clock() < until else None

    def _look_up(self, login: Login, name: str) -> Bot:
        handle = self.site.handles.get(name.lower(), name)
        found = login.session.call("HandleBotLandingPageQuery", {"botHandle": handle}).get("bot")
        if not isinstance(found, dict):
            # Of an inner name that is not in our table this proves nothing (§25).
            if "_" not in name or name.lower() in self.site.handles:
                raise BotNotFound(f"Poe has no bot called {name!r}.", param="model")
            found = {"handle": name}
        if found.get("canUserAccessBot") is False:
            raise BotNotAllowed(
                str(found.get("noAccessMessage") or f"This account may not use {handle}."),
                param="model",
            )
        bot = Bot(
            handle=str(found.get("displayName") or found.get("handle") or handle),
            patience=max(self.timeout, float(found.get("messageTimeoutSecs") or 0)),
        )
        self._bots[name.lower()] = self.clock() + _BOT_HOLDS, bot
        return bot


class Exchange:
    """One prompt on its way, and the answer to it."""

    def __init__(self, account: PoeWeb, login: Login, bot: Bot, prompt: str) -> None:
        self._account = account
        self._login = login
        self._bot = bot
        self._prompt = prompt
        self._turn = Turn(client_nonce=_nonce(), chat_nonce=_nonce())
        self._mailbox = Mailbox(self._turn.client_nonce, self._turn.chat_nonce)
        # What the answer to the sending was; the sender's thread writes it, once.
        self._answer: Mapping[str, Any] | UpstreamError | None = None
        self._is_sent = False
        self._lock = threading.Lock()
        self._is_abandoned = False

    # ---- the reply

    def events(self) -> Iterator[ReplyEvent]:
        """Send, and yield what comes of it."""
        clock, turn = self._account.clock, self._turn
        self._login.channel.attach(self._mailbox)
        threading.Thread(target=self._send, daemon=True).start()
        heard, limit = clock(), self._bot.patience
        lost: UpstreamUncertain | None = None
        looked_up = False
        while not turn.is_over:
            letters = self._mailbox.wait(self._until_due())
            silent = True
            look_up = False
            for letter in letters:
                heard, limit = clock(), self._account.timeout
                if isinstance(letter, UpstreamError):
                    raise letter
                if isinstance(letter, Resync):
                    look_up = True
                    continue
                for event in self._open(letter):
                    silent = False
                    yield event
            if self._answer is not None:
                lost = self._accept() or lost
            for event in turn.due(clock()):
                silent = False
                yield event
            if turn.is_over:
                return
            quiet = clock() - heard
            vanished = lost is not None and turn.chat_id is None and quiet > _SHOWS_WITHIN
            if look_up or ((vanished or quiet > limit) and not looked_up):
                looked_up = not look_up
                for event in (yield from _meanwhile(self._from_history)):
                    silent = False
                    heard = clock()
                    yield event
            elif vanished and lost is not None:
                raise lost
            elif quiet > limit:
                raise UpstreamTimeout(f"The bot said nothing for {limit:.0f} s.")
            if silent:
                yield Idle()

    def _until_due(self) -> float:
        due = self._turn.next_due()
        return TICK if due is None else min(TICK, max(0.0, due - self._account.clock()))

    def _open(self, item: Item) -> Iterator[ReplyEvent]:
        if self._turn.chat_id is None:
            self._turn.chat_id = item.chat_id
        return self._turn.feed(item.name, item.content(), self._account.clock())

    def _accept(self) -> UpstreamUncertain | None:
        """Take the answer to the sending; return the failure that leaves all open."""
        answer, self._answer = self._answer, None
        if isinstance(answer, UpstreamUncertain):
            log.info("%s: %s Watching for the prompt.", self._account.label, answer)
            return answer
        if isinstance(answer, UpstreamError):
            raise answer
        if answer is not None:
            self._turn.accepted(answer)
            if self._turn.chat_id is not None:
                self._login.channel.bind(self._mailbox, self._turn.chat_id)
        return None

    def _from_history(self) -> list[ReplyEvent]:
        """Read from the history what the websocket did not tell (§10.9, §14.4)."""
        session, turn = self._login.session, self._turn
        if turn.chat_id is None:
            turn.chat_id = self._find_chat(session)
        if turn.chat_id is None:
            return []
        node = base64.b64encode(f"Chat:{turn.chat_id}".encode()).decode()
        data = session.call("ChatListPaginationQuery", {"count": 100, "cursor": None, "id": node})
        chat = data.get("node")
        if not isinstance(chat, dict):
            raise UpstreamInterrupted("The reply was lost: Poe does not know its chat any more.")
        now = self._account.clock()
        return [
            event
            for message in _nodes(chat.get("messagesConnection"))
            for event in turn.feed("messageAdded", message, now)
        ]

    def _find_chat(self, session: Session) -> int | None:
        """Look for our prompt among the newest chats, by its nonce."""
        data = session.call("ChatHistoryListPaginationQuery", {"count": 10, "cursor": None})
        for chat in _nodes(data.get("chats")):
            listed = session.call(
                "ChatListPaginationQuery", {"count": 10, "cursor": None, "id": chat.get("id")}
            ).get("node")
            for message in _nodes((listed or {}).get("messagesConnection")):
                if message.get("clientNonce") == self._turn.client_nonce:
                    number = chat.get("chatId")
                    return number if isinstance(number, int) else None
        return None

    # ---- sending, in a thread of its own

    def _send(self) -> None:
        try:
            data = self._login.session.call("sendMessageMutation", self._variables(), reading=False)
            edge = data.get("messageEdgeCreate")
            if not isinstance(edge, dict):
                raise UpstreamUncertain("Poe's answer to the message says nothing about it.")
            if edge.get("status", "success") != "success":
                raise graphql.refusal(str(edge["status"]), str(edge.get("statusMessage") or ""))
            answer: Mapping[str, Any] | UpstreamError = edge
        except UpstreamError as failure:
            answer = failure
        except Exception:
            log.exception("%s: sending failed", self._account.label)
            answer = UpstreamUncertain("A fault of the proxy while it sent the message.")
        with self._lock:
            self._answer = answer
            self._is_sent = True
            late = self._is_abandoned
        if late:
            if isinstance(answer, UpstreamError):
                return
            self._turn.accepted(answer)
            self._clean_up()
        else:
            self._mailbox.wake()

    def _variables(self) -> dict[str, Any]:
        return {
            "chatId": None,
            "bot": self._bot.handle,
            "query": self._prompt,
            "source": {
                "sourceType": "chat_input",
                "chatInputMetadata": {
                    "useVoiceRecord": False,
                    "newChatContext": "home_page_input",
                },
            },
            "clientNonce": self._turn.client_nonce,
            "sdid": self._account.device,
            "attachments": [],
            "chatNonce": self._turn.chat_nonce,
            "existingMessageAttachmentsIds": [],
            "shouldFetchChat": True,
            "referencedMessageId": None,
            "parameters": None,
            "fileHashJwts": [],
        }

    # ---- the end

    def close(self) -> None:
        """Stop the bot if it is still at work, and remove the chat if that is wished.

        Waits for neither: the requests go out in a thread of their own.
        """
        self._login.channel.detach(self._mailbox)
        with self._lock:
            self._is_abandoned = True
            answered = self._is_sent
            answer, self._answer = self._answer, None
        if isinstance(answer, Mapping):
            self._turn.accepted(answer)
        # While the sending is under way its own thread cleans up, once it knows the chat.
        is_known = self._turn.chat_id is not None and (answered or self._turn.is_over)
        if is_known and (not self._turn.is_over or self._account.delete_chats):
            threading.Thread(target=self._clean_up, daemon=True).start()

    def _clean_up(self) -> None:
        chat = {"chatId": self._turn.chat_id}
        if self._turn.chat_id is None:
            return
        try:
            if not self._turn.is_over:
                self._login.session.call(_CANCEL, chat, reading=False)
            if self._account.delete_chats:
                self._login.session.call(_DELETE, chat, reading=False)
        except PoeProxyError as failure:
            log.warning("%s: a chat was not cleaned up: %s", self._account.label, failure)


def _meanwhile(work: Callable[[], T]) -> Generator[ReplyEvent, None, T]:
    """Do *work* in a thread, yielding `Idle` until it is done; return what it returns."""
    done = threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failure:
            failures.append(failure)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    while not done.wait(TICK):
        yield Idle()
    if failures:
        raise failures[0]
    return results[0]


def _nodes(connection: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes of a Relay connection."""
    for edge in (connection or {}).get("edges") or ():
        if isinstance(edge, dict) and isinstance(edge.get("node"), dict):
            yield edge["node"]


def _nonce() -> str:
    return "".join(secrets.choice(_NONCE_LETTERS) for _ in range(16))
