"""An account at poe.com as an upstream: logs in, sends, listens, stops.

Web protocol sheet §10, §13, §14, §16 and §21.
"""

from __future__ import annotations

import base64
import copy
import logging
import random
import secrets
import string
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final, TypeVar

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent
from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PoeProxyError,
    PromptTooLong,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.shaping.pipeline import run
from poe_proxy.shaping.reasoning import ReasoningParser
from poe_proxy.upstreams.base import TICK, Abilities, Permit
from poe_proxy.upstreams.poe_web import attachments, graphql
from poe_proxy.upstreams.poe_web.attachments import Attachment, Fetch, Tickets
from poe_proxy.upstreams.poe_web.channel import ATTEMPTS, Channel
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.graphql import ServerError, StillRefused
from poe_proxy.upstreams.poe_web.mailbox import Mailbox, Resync
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.turn import Item, Turn
from poe_proxy.upstreams.poe_web.websockets import Socket

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that what is known of a bot holds, and how many bots are remembered.
_BOT_HOLDS: Final = 3600.0
_MOST_BOTS: Final = 1000
#: Seconds in which the websocket may contradict an answer that says nothing was done.
_GRACE: Final = 0.3

_SEND: Final = "sendMessageMutation"
_CANCEL: Final = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"
_DELETE: Final = "useDeleteChat_deleteChat_Mutation"
_NONCE_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Bot:
    """What the site says about a bot (§10.6)."""

    handle: str
    #: Seconds that its first word may take.
    patience: float
    takes_files: bool = True
    takes_images: bool = True
    #: Bytes of one file; 0 if nothing is said about it.
    file_limit: int = 0
    #: Whether files go ahead of the message, or along with it (§16).
    uploads_ahead: bool = True
    #: Whether the site said that there is such a bot.
    is_proven: bool = True


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
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "cookie",
    ) -> None:
        self.site = site
        self.timeout = timeout
        self.delete_chats = delete_chats
        self.clock = clock
        self.label = label
        self.tickets = Tickets(clock)
        # One device for each account: pooled accounts must not look like one (§25).
        self.device = str(uuid.uuid4())
        self._to_prompt = to_prompt
        self._fetch = fetch
        self._session = Session(credentials, site, url=web_url, proxy=proxy, label=label)
        self._socket = Socket(site, origin=web_url, ws_url=ws_url, proxy=proxy)
        self._channel: Channel | None = None
        self._opening = threading.Lock()
        self._logins = 0
        self._login_failure: UpstreamError | None = None
        self._bots: OrderedDict[str, tuple[float, Bot]] = OrderedDict()
        self._bots_lock = threading.Lock()

    def abilities(self, bot: str) -> Abilities:
        """Neither tools nor a length: the site has no field for them."""
        return Abilities()

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers, in a new chat; see `Upstream`.

        Raises `InvalidRequest` for an image or file that is none, or too much.
        """
        prompt = self._to_prompt(chat)
        parts = attachments.parts_of(chat)
        files: Sequence[Attachment] = ()
        if parts:
            files = yield from _one_by_one(attachments.read_all(parts, self._fetch, self.clock))
        exchange = yield from self._begin(bot, prompt, files)
        try:
            yield from turn()
            yield from run(exchange.events(), ReasoningParser())
        finally:
            exchange.close()

    def _begin(
        self, name: str, prompt: str, files: Sequence[Attachment]
    ) -> Generator[ReplyEvent, None, Exchange]:
        """Do all that comes before the sending."""
        for is_last in (False, True):
            login = self._open_login() or (yield from _meanwhile(self._log_in))
            bot = self._known(name)
            if bot is None:
                bot = yield from _meanwhile(lambda: self._look_up(login.session, name))  # noqa: B023  (run at once)
            tickets: list[str] = []
            if files:
                _check(files, bot)
            if files and bot.uploads_ahead:
                upload = login.session.upload
                tickets = yield from _one_by_one(self.tickets.get(one, upload) for one in files)
            exchange = Exchange(self, login, bot, prompt, files, tickets)
            try:
                exchange.attach()
            except UpstreamUnreachable:
                # It broke since we looked; nothing was sent.
                if is_last:
                    raise
            else:
                return exchange
        raise AssertionError("the last round returns or raises")

    def balance(self) -> int:
        """Return the points that the account has left; raises `UpstreamError`."""
        match self._log_in().session.call("settingsPageQuery", {}):
            case {"viewer": {"messagePointInfo": {"messagePointBalance": int(points)}}}:
                return points
        raise UpstreamProtocolError("Poe tells no balance of points.")

    def close(self) -> None:
        """Close the websocket and the connections."""
        if self._channel is not None:
            self._channel.close()
        self._session.close()

    # ---- logging in

    def _open_login(self) -> Login | None:
        """The login that is at hand, without waiting for it."""
        channel = self._channel
        return Login(self._session, channel) if channel is not None and channel.is_alive else None

    def _log_in(self) -> Login:
        """Return the login, which is made anew if there is none.

        Of many that wait for it one tries, and all get what came of that.
        """
        seen = self._logins
        with self._opening:
            if login := self._open_login():
                return login
            if self._logins != seen and self._login_failure is not None:
                raise copy.copy(self._login_failure)
            try:
                channel = self._open_channel()
            except UpstreamError as failure:
                self._login_failure = failure.with_traceback(None)
                raise
            else:
                self._login_failure = None
                self._channel = channel
                return Login(self._session, channel)
            finally:
                self._logins += 1

    def _open_channel(self) -> Channel:
        session = self._session
        data = session.log_in()
        self.tickets.forget()
        for attempt in range(ATTEMPTS):
            try:
                self._subscribe(data)
                return Channel(data, self._socket, self.site, renew=self._renew, label=self.label)
            except (TokenRejected, UpstreamBlocked):
                raise
            except (UpstreamUnreachable, UpstreamProtocolError) as failure:
                if attempt == ATTEMPTS - 1:
                    raise
                log.info("%s: %s Trying another channel.", self.label, failure)
            time.sleep(random.uniform(0.2, 0.4) * 2**attempt)
            data = session.channel_data()
        raise AssertionError("the last attempt returns or raises")

    def _renew(self) -> ChannelData:
        """Get and subscribe a new channel for a session that goes on."""
        try:
            data = self._session.channel_data()
        except UpstreamProtocolError:
            data = self._session.log_in()
        self._subscribe(data)
        return data

    def _subscribe(self, data: ChannelData) -> None:
        self._session.call(
            "subscriptionsMutation",
            {
                "subscriptions": [
                    {"subscriptionName": name, "query": None, "queryHash": hash}
                    for name, hash in self.site.subscriptions.items()
                ]
            },
            channel=data.name,
        )
        self._session.channel_name = data.name

    # ---- bots and files

    def _known(self, name: str) -> Bot | None:
        with self._bots_lock:
            until, bot = self._bots.get(name.lower(), (0.0, None))
        return bot if bot is not None and self.clock() < until else None

    def _look_up(self, session: Session, name: str) -> Bot:
        data = session.call("HandleBotLandingPageQuery", {"botHandle": name})
        found = data.get("bot")
        is_proven = isinstance(found, dict)
        if not isinstance(found, dict):
            # Of an inner name that no table of ours knows this proves nothing (§25).
            if "_" not in name:
                raise BotNotFound(f"Poe has no bot called {name!r}.", param="model")
            found = {"handle": name}
        if found.get("canUserAccessBot") is False:
            raise BotNotAllowed(
                str(found.get("noAccessMessage") or f"This account may not use {name}."),
                param="model",
            )
        viewer = data.get("viewer")
        limit = found.get("uploadFileSizeLimit")
        takes_files = found.get("supportsFileUpload") is not False
        bot = Bot(
            handle=str(found.get("handle") or found.get("displayName") or name),
            patience=max(self.timeout, _number(found.get("messageTimeoutSecs"))),
            takes_files=takes_files,
            takes_images=takes_files or found.get("allowsImageAttachments") is True,
            file_limit=limit if isinstance(limit, int) else 0,
            uploads_ahead=not isinstance(viewer, dict)
            or viewer.get("shouldUseFinishUploadEndpoint") is not False,
            is_proven=is_proven,
        )
        with self._bots_lock:
            self._bots[name.lower()] = self.clock() + _BOT_HOLDS, bot
            while len(self._bots) > _MOST_BOTS:
                self._bots.popitem(last=False)
        return bot


def _check(files: Sequence[Attachment], bot: Bot) -> None:
    """Refuse what *bot* would not take."""
    for file in files:
        if not (bot.takes_images if file.is_image else bot.takes_files):
            what = "images" if file.is_image else "files"
            raise ParameterRefused(f"{bot.handle} takes no {what}.", param="messages")
        if 0 < bot.file_limit < len(file.data):
            raise PromptTooLong(
                f"{bot.handle} takes files of {bot.file_limit} bytes at most.", param="messages"
            )


class Exchange:
    """One prompt on its way, and the answer to it."""

    def __init__(
        self,
        account: PoeWeb,
        login: Login,
        bot: Bot,
        prompt: str,
        files: Sequence[Attachment],
        tickets: Sequence[str],
    ) -> None:
        self._account = account
        self._session = login.session
        self._channel = login.channel
        self._bot = bot
        self._prompt = prompt
        self._files = files
        self._tickets = tickets
        self._turn = Turn(
            client_nonce=_nonce(),
            chat_nonce=_nonce(),
            hears_of_jobs="jobUpdated" in account.site.subscriptions,
        )
        self._mailbox = Mailbox(self._turn.client_nonce, self._turn.chat_nonce)
        # What the answer to the sending was; the sender's thread writes it, once.
        self._answer: Mapping[str, Any] | UpstreamError | None = None
        self._is_answered = False
        # The answer says that the message was refused: no doubt is left.
        self._is_refused = False
        self._lock = threading.Lock()
        self._is_begun = False
        self._is_abandoned = False
        # A failure of the sending, as long as the message may have arrived all the same.
        self._lost: UpstreamError | None = None
        self._lost_at = 0.0
        # It was looked for, and never arrived.
        self._is_gone = False
        # Frames were lost, and the history has not been asked about them yet.
        self._has_gap = False

    def attach(self) -> None:
        """Look out for the answer; raises `UpstreamUnreachable` if there is no websocket."""
        self._channel.attach(self._mailbox)

    # ---- the reply

    def events(self) -> Generator[ReplyEvent, None, None]:
        """Send, and yield what comes of it."""
        clock, turn = self._account.clock, self._turn
        if not self._channel.is_alive:
            # It may have waited long for its turn.
            raise UpstreamUnreachable("Poe's websocket broke before the message was sent.")
        heard = clock()
        self._is_begun = True
        threading.Thread(target=self._send, daemon=True).start()
        while True:
            is_silent = True
            for notice in self._mailbox.wait(self._until_due()):
                heard = clock()
                if isinstance(notice, UpstreamError):
                    raise self._broken(notice)
                if isinstance(notice, Resync):
                    self._has_gap = True
                    continue
                for event in self._open(notice):
                    is_silent = False
                    yield event
            self._accept()
            turn.chat_id = turn.chat_id or self._mailbox.chat_id
            if not self._is_lost() and not turn.is_over:
                for event in turn.due(clock()):
                    is_silent = False
                    yield event
            if turn.is_over:
                return
            news = yield from self._ask_history(clock() - heard)
            if news:
                heard, is_silent = clock(), False
                yield from news
                if turn.is_over:
                    return
            if is_silent:
                yield Idle()

    def _until_due(self) -> float:
        """How long there is nothing to do, unless a letter comes."""
        dues = [self._turn.next_due()]
        if self._is_lost():
            dues.append(self._lost_at + self._window())
        now = self._account.clock()
        return min([TICK, *(max(0.0, due - now) for due in dues if due is not None)])

    def _window(self) -> float:
        """Within how many seconds a message shows that arrived though its answer is a failure."""
        if isinstance(self._lost, UpstreamUncertain):
            return self._account.site.limits.shows
        return _GRACE

    def _open(self, item: Item) -> Iterator[ReplyEvent]:
        return self._turn.feed(item.name, item.content(), self._account.clock())

    def _accept(self) -> None:
        """Take the answer to the sending, if it has come.

        Raises it if it says for certain that the message was not taken. Of any other failure
        the websocket may show that the message arrived all the same (§25).
        """
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is None:
            return
        if isinstance(answer, UpstreamError):
            if self._is_refused or isinstance(answer, UpstreamUnreachable):
                raise answer
            log.info("%s: %s Watching for the message.", self._account.label, answer)
            self._lost, self._lost_at = answer, self._account.clock()
            return
        self._turn.accepted(answer)
        if self._turn.chat_id is not None:
            self._channel.bind(self._mailbox, self._turn.chat_id)

    def _is_lost(self) -> bool:
        """Whether the message may never have arrived."""
        return self._lost is not None and self._turn.chat_id is None

    def _broken(self, failure: UpstreamError) -> UpstreamError:
        """What *failure* means for a message that was sent: no other token may try it."""
        if self._turn.said:
            return UpstreamInterrupted(failure.message)
        return UpstreamUncertain(failure.message)

    # ---- the history, where the websocket does not tell

    def _ask_history(self, quiet: float) -> Generator[ReplyEvent, None, list[ReplyEvent]]:
        """Look where the reply has got to, if that is in doubt; return what is new.

        Raises the failure if the doubt is over.
        """
        if self._is_lost():
            yield from self._find()
            return []
        limit = self._account.timeout if self._turn.said else self._bot.patience
        is_late = quiet > limit
        if not is_late and not (self._has_gap and self._turn.chat_id is not None):
            return []
        self._has_gap = False
        silence = UpstreamTimeout(f"The bot said nothing for {limit:g} s.")
        if self._turn.chat_id is None:
            raise silence
        try:
            messages = yield from _meanwhile(self._messages)
        except UpstreamError as failure:
            if is_late:
                raise silence from failure
            log.info("%s: no history: %s", self._account.label, failure)
            return []
        if messages is None:
            raise self._broken(UpstreamUncertain("Poe does not know the chat any more."))
        now = self._account.clock()
        news = [
            event for message in messages for event in self._turn.feed("messageAdded", message, now)
        ]
        if is_late and not news:
            raise silence
        if is_late and not self._turn.is_over:
            # The bot went on, and the websocket did not tell: it is deaf.
            generation = self._channel.generation
            yield from _meanwhile(lambda: self._channel.replace(generation))
        return news

    def _find(self) -> Generator[ReplyEvent, None, None]:
        """Find out whether the message arrived although its answer was lost."""
        lost = self._lost
        assert lost is not None
        if self._account.clock() < self._lost_at + self._window():
            return
        if isinstance(lost, UpstreamUncertain):
            try:
                self._turn.chat_id = yield from _meanwhile(self._find_chat)
            except UpstreamError as failure:
                raise lost from failure
        if self._turn.chat_id is not None:
            log.info("%s: the message is in the history", self._account.label)
            self._channel.bind(self._mailbox, self._turn.chat_id)
            self._has_gap = True
            return
        self._is_gone = True
        if self._tickets:
            # One that Poe no longer knows is answered by a server error, too.
            self._account.tickets.forget()
        if isinstance(lost, ServerError):
            raise graphql.changed(_SEND, self._account.site, perhaps=True)
        raise lost

    def _messages(self) -> list[Mapping[str, Any]] | None:
        """The messages of the chat, oldest first; None if there is no such chat."""
        node = base64.b64encode(f"Chat:{self._turn.chat_id}".encode()).decode()
        data = self._session.call(
            "ChatListPaginationQuery", {"count": 100, "cursor": None, "id": node}
        )
        chat = data.get("node")
        return list(_nodes(chat.get("messagesConnection"))) if isinstance(chat, dict) else None

    def _find_chat(self) -> int | None:
        """Look for our message among the newest chats, by its nonce."""
        data = self._session.call("ChatHistoryListPaginationQuery", {"count": 10, "cursor": None})
        for chat in _nodes(data.get("chats")):
            listed = self._session.call(
                "ChatListPaginationQuery", {"count": 10, "cursor": None, "id": chat.get("id")}
            ).get("node")
            if not isinstance(listed, dict):
                continue
            for message in _nodes(listed.get("messagesConnection")):
                number = chat.get("chatId")
                if message.get("clientNonce") == self._turn.client_nonce and number is not None:
                    return int(number)
        return None

    # ---- sending, in a thread of its own

    def _send(self) -> None:
        answer: Mapping[str, Any] | UpstreamError
        try:
            answer = self._ask()
        except UpstreamError as failure:
            answer = failure
        except Exception:
            log.exception("%s: sending failed", self._account.label)
            answer = UpstreamUncertain("A fault of the proxy while it sent the message.")
        with self._lock:
            self._answer = answer
            self._is_answered = True
            is_late = self._is_abandoned
        if is_late:
            self._tidy_up_late(answer)
        else:
            self._mailbox.wake()

    def _ask(self) -> Mapping[str, Any]:
        generation = self._channel.generation
        try:
            data = self._post()
        except StillRefused:
            # Poe may have forgotten the channel that the message names.
            if self._may_repeat() and self._channel.replace(generation) and self._may_repeat():
                data = self._post()
            else:
                raise
        edge = data.get("messageEdgeCreate")
        if not isinstance(edge, dict):
            raise UpstreamUncertain("Poe's answer to the message says nothing about it.")
        status = edge.get("status") or "success"
        if status != "success":
            self._is_refused = True
            refusal = graphql.refusal(str(status), str(edge.get("statusMessage") or ""))
            if isinstance(refusal, BotNotAllowed) and not self._bot.is_proven:
                # An unknown bot is refused in the same words as one that others may use.
                raise BotNotFound(f"Poe has no bot called {self._bot.handle!r}.", param="model")
            raise refusal
        return edge

    def _post(self) -> dict[str, Any]:
        return self._session.call(
            _SEND,
            self._variables(),
            reading=False,
            files=() if self._bot.uploads_ahead else self._files,
            may_repeat=self._may_repeat,
        )

    def _may_repeat(self) -> bool:
        """Whether nothing tells that the message arrived, though the answer says it did not."""
        return not self._mailbox.wait_bound(_GRACE) and not self._is_abandoned

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
            "attachments": [f"file{number}" for number in range(len(self._files))],
            "chatNonce": self._turn.chat_nonce,
            "existingMessageAttachmentsIds": [],
            "shouldFetchChat": True,
            "referencedMessageId": None,
            "parameters": None,
            "fileHashJwts": list(self._tickets),
        }

    # ---- the end

    def close(self) -> None:
        """Stop the bot if it is still at work, and remove the chat if that is wished.

        Waits for neither: the requests go out in a thread of their own.
        """
        self._channel.detach(self._mailbox)
        with self._lock:
            self._is_abandoned = True
            is_answered = self._is_answered or not self._is_begun
            answer, self._answer = self._answer, None
        if isinstance(answer, Mapping):
            self._turn.accepted(answer)
        turn = self._turn
        turn.chat_id = turn.chat_id or self._mailbox.chat_id
        if not is_answered:
            # The sending is under way, and its thread tidies up once it knows of which chat.
            if turn.chat_id is not None and not turn.is_over:
                threading.Thread(target=self._stop, daemon=True).start()
        elif turn.chat_id is not None:
            if not turn.is_over or self._account.delete_chats:
                threading.Thread(target=self._tidy_up, daemon=True).start()
        elif isinstance(self._lost or answer, UpstreamUncertain) and not self._is_gone:
            threading.Thread(target=self._tidy_up, daemon=True).start()

    def _tidy_up_late(self, answer: Mapping[str, Any] | UpstreamError) -> None:
        if isinstance(answer, Mapping):
            self._turn.accepted(answer)
        elif not isinstance(answer, UpstreamUncertain) and self._turn.chat_id is None:
            return
        self._tidy_up()

    def _tidy_up(self) -> None:
        try:
            if self._turn.chat_id is None:
                # It may be there although we were not told of it.
                self._turn.chat_id = self._find_chat()
        except PoeProxyError as failure:
            log.warning("%s: a chat was not looked for: %s", self._account.label, failure)
        if self._turn.chat_id is None:
            return
        if not self._turn.is_over:
            self._stop()
        if self._account.delete_chats:
            self._do(_DELETE)

    def _stop(self) -> None:
        self._do(_CANCEL)

    def _do(self, operation: str) -> None:
        try:
            self._session.call(operation, {"chatId": self._turn.chat_id}, reading=False)
        except PoeProxyError as failure:
            log.warning("%s: a chat was not tidied up: %s", self._account.label, failure)


def _meanwhile(work: Callable[[], T]) -> Generator[ReplyEvent, None, T]:
    """Do *work* in a thread, yielding `Idle` until it is done; return what it returns.

    Whoever closes the generator does not wait for the work: it ends by its own time limits,
    and what it finds out (a login, a bot) serves the next one.
    """
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


def _one_by_one(work: Iterable[T]) -> Generator[ReplyEvent, None, list[T]]:
    """Do *work* as `_meanwhile` does, and return all that it yields.

    Once the generator is closed, the piece of work that is under way is the last one.
    """
    is_closed = threading.Event()
    try:
        return (
            yield from _meanwhile(lambda: list(takewhile(lambda _: not is_closed.is_set(), work)))
        )
    finally:
        is_closed.set()


def _nodes(connection: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes of a Relay connection."""
    match connection:
        case {"edges": list(edges)}:
            for edge in edges:
                match edge:
                    case {"node": dict(node)}:
                        yield node


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _nonce() -> str:
    return "".join(secrets.choice(_NONCE_LETTERS) for _ in range(16))
