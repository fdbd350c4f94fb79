"""One API key at api.poe.com as an upstream.

Official API sheet §1, §3, §8 and §13.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from typing import Final

import orjson

from poe_proxy.chat import ChatRequest, Idle, Message, ReplyEvent
from poe_proxy.errors import (
    BotNotFound,
    ParameterRefused,
    ToolsRefused,
    UpstreamError,
    UpstreamTimeout,
)
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.pool.known import Funds
from poe_proxy.upstreams.base import TICK, Abilities, ChargesPage, Permit
from poe_proxy.upstreams.catalogue import FIRST_COPY, UNKNOWN, Catalogue, Model
from poe_proxy.upstreams.poe_api import asking, funds, history, native
from poe_proxy.upstreams.poe_api.receiving import CHAT, MESSAGES, AnswerReader, BodyReader
from poe_proxy.upstreams.poe_api.silence import FIRST_WORD, Silence
from poe_proxy.upstreams.poe_api.tool_names import ToolNames
from poe_proxy.upstreams.refusals import Refusals

log = logging.getLogger(__name__)

API_URL: Final = "https://api.poe.com"
#: Times that a request is repeated because its bot refuses fields of it. Each is one more
#: request to Poe, and counts as one.
REPEATS: Final = 3
#: Seconds that each small request beside those for answers may take.
ASIDE: Final = 15.0

#: Seconds that the end of the body may come after the end of the reply.
_VERY_END: Final = 0.2
#: The most bytes of a small answer.
_MAX_ASIDE: Final = 16_000_000

#: What we call ourselves.
_NAME: Final = "poe-proxy"
#: The one refusal that is no reason to leave a field out: tools are then taught instead.
_TOOLS: Final = "tools"


class PoeApi:
    """One API key. Its connections are pooled and reused; no cookie is ever kept."""

    def __init__(
        self,
        key: str,
        *,
        api_url: str = API_URL,
        proxy: str | None = None,
        timeout: float = 60.0,
        first_byte: float = FIRST_WORD,
        concurrency: int = 50,
        catalogue: Catalogue | None = None,
        refusals: Refusals | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "key",
    ) -> None:
        """*first_byte* and *timeout* are the seconds of silence that are allowed before the first
        word and after it. *catalogue* and *refusals* are shared with the other keys."""
        self._key = key
        self._timeout = timeout
        self._first_byte = first_byte
        self._catalogue = catalogue
        self._refusals = refusals or Refusals(clock=clock)
        self._clock = clock
        self._label = label
        self._host = Host(api_url, proxy=proxy, connections=concurrency)
        headers = {
            "User-Agent": _NAME,
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        #: What goes along with each request, and with those for answers, by their route.
        self._headers = headers
        self._headers_to = {one.path: {**headers, **one.headers} for one in (CHAT, MESSAGES)}

    def __repr__(self) -> str:
        return f"PoeApi({self._label})"

    def abilities(self, bot: str) -> Abilities:
        """Return what Poe does for *bot*: tools, unless it has refused them; lengths always; and
        whether its Messages API leads there."""
        refused = self._refusals.of(bot)
        takes_messages = self._catalogue is not None and self._catalogue.find(bot).takes_messages
        return Abilities(
            tools=_TOOLS not in refused,
            length=True,
            messages=takes_messages and native.PATH not in refused,
        )

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers; see `Upstream`.

        A field that the bot does not know is left out, and the request repeated: a 400 is a
        clear refusal, and nothing was done. Nothing else is repeated here.

        Raises `ToolsRefused` for tools, and for a choice of them, that the bot does not take.
        """
        if chat.as_messages is not None:
            yield from self._passed_on(chat, bot, turn)
            return
        model = self._catalogue.find(bot) if self._catalogue else UNKNOWN
        # Tools are never left out in silence; a caller that looks at `abilities` sends none.
        without = self._refusals.of(bot) - {_TOOLS}
        names = ToolNames(chat)
        told = names.applied()
        for repeats_left in reversed(range(1 + REPEATS)):
            asked = asking.request(
                told,
                bot,
                stream=not model.is_media,
                declared=model.parameters,
                most=model.most_tokens,
                without=without,
            )
            answer = AnswerReader(CHAT, chat.budget)
            yield from turn()
            try:
                yield from names.restored(self._ask(answer, orjson.dumps(asked), turn, chat))
                return
            except ToolsRefused as refusal:
                if refusal.param == _TOOLS:
                    log.info("%s: %r has no tools of its own", self._label, bot)
                    self._refusals.add(bot, {_TOOLS})
                raise
            except ParameterRefused as refusal:
                if model is UNKNOWN and not answer.has_spoken:
                    model = yield from self._listed(bot)
                fields = asking.droppable(
                    asked,
                    refusal,
                    extra=chat.extra,
                    declared=None if model is UNKNOWN else model.parameters,
                )
                if not fields or answer.has_spoken or not repeats_left:
                    raise
                listed = ", ".join(sorted(map(repr, fields)))
                log.info("%s: %r does not take %.200s; asking again", self._label, bot, listed)
                without |= fields
                if asking.is_lasting(refusal, fields, chat.extra):
                    self._refusals.add(bot, fields)

    def _passed_on(
        self, chat: ChatRequest, bot: str, turn: Permit
    ) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers by Poe's own Messages API; fields that it does not know are left
        out as in `reply`. Raises `BotNotFound` if the bot is not there."""
        without = frozenset[str]()
        for repeats_left in reversed(range(1 + REPEATS)):
            asked = native.request(chat.as_messages or {}, bot, chat.budget, without=without)
            answer = AnswerReader(MESSAGES, chat.budget)
            yield from turn()
            try:
                yield from self._ask(answer, orjson.dumps(asked), turn, chat)
                return
            except BotNotFound:
                if not answer.has_spoken:
                    self._refusals.add(bot, {native.PATH})
                raise
            except ParameterRefused as refusal:
                field = native.droppable(asked, refusal)
                if field is None or answer.has_spoken or not repeats_left:
                    raise
                log.info("%s: %r does not take %r; asking again", self._label, bot, field)
                without |= {field}

    def _listed(self, bot: str) -> Generator[Idle, None, Model]:
        """Return what Poe's list says of *bot*. Just after the start the list may be on its way."""
        if self._catalogue is None:
            return UNKNOWN
        for _ in range(round(FIRST_COPY / TICK)):
            if self._catalogue.wait(TICK):
                break
            yield Idle()
        return self._catalogue.find(bot)

    def answered(self, chat: ChatRequest, answer: Message) -> None:
        """Do nothing: the API has no memory."""

    def balance(self) -> Funds:
        """Ask for the points that are left (§8); raises `UpstreamError`."""
        return funds.read(self._aside(funds.PATH))

    def charges(self, after: str = "") -> ChargesPage:
        """Ask for what was charged before the charge of that id, or last; see `HasCharges`."""
        return history.page(self._aside(history.path(after)))

    def let_go(self) -> None:
        """Do nothing: a key has no session, and may be used from anywhere."""

    def close(self) -> None:
        """Close all connections. What is under way fails, as if Poe had hung up."""
        self._host.close()

    def _ask(
        self, answer: AnswerReader, body: bytes, turn: Permit, chat: ChatRequest
    ) -> Generator[ReplyEvent, None, None]:
        """Yield what comes as *answer*, and `Idle` after each wait in which nothing came."""
        route, clock, listener = answer.route, self._clock, chat.listener
        transfer = self._host.send("POST", route.path, self._headers_to[route.path], body)
        del body  # it may have many megabytes, and the reply may take long
        silence = Silence(clock(), first_word=self._first_byte, timeout=self._timeout)
        has_arrived = False
        listener.wakes(transfer.wake)
        try:
            while not answer.is_over:
                received = transfer.wait(silence.ends(listener.patience) - clock())
                now = clock()
                if received:
                    silence.heard(now)
                    # The head comes first, if anything comes of Poe.
                    if not has_arrived and isinstance(received[0], Head):
                        has_arrived = True
                        turn.arrived()
                    try:
                        for one in received:
                            answer.take(one)
                    except UpstreamError:
                        yield from answer.said()
                        raise
                if said := answer.said():
                    yield from listener.together(said)
                    silence.spoke(now)
                    continue
                if answer.is_refusal and silence.refused(now):
                    answer.refuse()
                if silence.is_long(now, listener.patience) or not received:
                    yield Idle()
                    silence.told(now)
        except UpstreamError as failure:
            self._scrub(failure)
            raise
        finally:
            listener.wakes(None)
            transfer.close(patience=_VERY_END if answer.is_over else 0.0)

    def _aside(self, path: str) -> bytes:
        """Return a small answer; raises `UpstreamError`."""
        try:
            return _small_answer(self._host, path, self._headers, self._clock)
        except UpstreamError as failure:
            self._scrub(failure)
            raise

    def _scrub(self, failure: UpstreamError) -> None:
        """Take our key out of what Poe said: it should not be in there, and is never shown."""
        failure.message = failure.message.replace(self._key, "***")
        failure.args = (failure.message,)


def fetch_models(
    api_url: str, *, proxy: str | None = None, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """Return Poe's list of models as it came; raises `UpstreamError`.

    It is public (§2): no key goes along, nor a cookie, so an account that Poe has rejected does not
    keep us from it, and there need not be any.
    """
    host = Host(api_url, proxy=proxy, connections=1)
    try:
        return _small_answer(host, "/v1/models", {"User-Agent": _NAME}, clock)
    finally:
        host.close()


def _small_answer(
    host: Host, path: str, headers: Mapping[str, str], clock: Callable[[], float]
) -> bytes:
    """Return the body of a small answer, within `ASIDE` seconds."""
    transfer = host.send("GET", path, headers)
    content = BodyReader(_MAX_ASIDE)
    until = clock() + ASIDE
    try:
        while not content.is_complete:
            received = transfer.wait(until - clock())
            if not received:
                raise UpstreamTimeout(f"Poe did not answer within {ASIDE:.0f} s.")
            for one in received:
                content.take(one)
    finally:
        transfer.close()
    return bytes(content.body)
