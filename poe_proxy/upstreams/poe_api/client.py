"""One API key at api.poe.com as an upstream.

Official API sheet §1, §3, §8 and §13.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from typing import Final

import orjson

from poe_proxy import sse
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Done, Idle, Message, ReplyEvent
from poe_proxy.errors import (
    ParameterRefused,
    ToolsRefused,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from poe_proxy.net.pacing import Flood
from poe_proxy.upstreams.base import TICK, Abilities, Permit
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.catalogue import FIRST_COPY, UNKNOWN, Catalogue, Model
from poe_proxy.upstreams.merging import merged
from poe_proxy.upstreams.poe_api import answers, asking, failures
from poe_proxy.upstreams.poe_api.tool_names import ToolNames
from poe_proxy.upstreams.poe_api.wire import End, Head, Received, Wire
from poe_proxy.upstreams.refusals import Refusals

log = logging.getLogger(__name__)

API_URL: Final = "https://api.poe.com"
#: Seconds until a bot says its first word: those that think, draw or film are slow (§13).
FIRST_WORD: Final = 600.0
#: Seconds without a word after which a bot is given up, whatever signs of life Poe gives.
NO_WORD: Final = 3600.0
#: Times that a request is repeated because its bot refuses fields of it. Each is one more
#: request to Poe, and counts as one.
REPEATS: Final = 3
#: Seconds that each small request beside those for answers may take.
ASIDE: Final = 15.0

#: Seconds that the end of the body may come after the end of the reply.
_VERY_END: Final = 0.2
#: The most bytes of a refusal, of a whole answer, of one event of a stream, and of a small answer;
#: and the seconds that a refusal may take from its head on.
_MAX_ERROR: Final = 100_000
_MAX_ANSWER: Final = 20_000_000
MAX_EVENT: Final = 4_000_000
_MAX_ASIDE: Final = 16_000_000
_REFUSAL: Final = 15.0

#: Bytes of a stream that are taken apart in one go: as many lines take a hundredth of a second.
AT_ONCE: Final = 65_536
#: Events of one answer from which on those that have come together are passed on together: each one
#: costs as much as a kilobyte of text.
MANY: Final = 256

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
        self._wire = Wire(
            api_url,
            proxy=proxy,
            connections=concurrency,
            # Our own limits are shorter, so that silence is always reported in the same words.
            read_timeout=max(first_byte, timeout) + ASIDE,
        )

    def __repr__(self) -> str:
        return f"PoeApi({self._label})"

    def abilities(self, bot: str) -> Abilities:
        """Return what Poe does for *bot*: tools, unless it has refused them; lengths always."""
        return Abilities(tools=_TOOLS not in self._refusals.of(bot), length=True)

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers; see `Upstream`.

        A field that the bot does not know is left out, and the request repeated: a 400 is a
        clear refusal, and nothing was done. Nothing else is repeated here.

        Raises `ToolsRefused` for tools, and for a choice of them, that the bot does not take.
        """
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
                without=without,
            )
            has_spoken = False
            yield from turn()
            try:
                with closing(self._ask(orjson.dumps(asked), turn, chat.budget)) as events:
                    for event in events:
                        has_spoken = has_spoken or not isinstance(event, Idle)
                        yield names.restored(event)
                return
            except ToolsRefused as refusal:
                if refusal.param == _TOOLS:
                    log.info("%s: %r has no tools of its own", self._label, bot)
                    self._refusals.add(bot, {_TOOLS})
                raise
            except ParameterRefused as refusal:
                if model is UNKNOWN and not has_spoken:
                    model = yield from self._listed(bot)
                fields = asking.droppable(
                    asked,
                    refusal,
                    extra=chat.extra,
                    declared=None if model is UNKNOWN else model.parameters,
                )
                if not fields or has_spoken or not repeats_left:
                    raise
                listed = ", ".join(sorted(map(repr, fields)))
                log.info("%s: %r does not take %.200s; asking again", self._label, bot, listed)
                without |= fields
                if asking.is_lasting(refusal, fields, chat.extra):
                    self._refusals.add(bot, fields)

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

    def balance(self) -> int:
        """Ask for the points that are left (§8); raises `UpstreamError`."""
        try:
            answer = _small_answer(
                self._wire, "/usage/current_balance", self._headers(), self._clock
            )
        except UpstreamError as failure:
            self._scrub(failure)
            raise
        with suppress(ValueError):
            match loads(answer):
                case {"current_point_balance": int(points)}:
                    return points
        raise UpstreamProtocolError("Poe did not report the balance of points.")

    def close(self) -> None:
        """Close all connections. What is under way fails, as if Poe had hung up."""
        self._wire.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}

    def _ask(self, body: bytes, turn: Permit, budget: Budget) -> Generator[ReplyEvent, None, None]:
        """Yield the events of one transfer, with `Idle` in between."""
        transfer = self._wire.send("POST", "/v1/chat/completions", self._headers(), body)
        del body  # it may have many megabytes, and the reply may take long
        answer = _AnswerReader(budget)
        has_arrived = False
        # When something came, when the bot said something, and when something was yielded.
        heard = spoke = yielded = self._clock()
        try:
            while not answer.is_over:
                received = transfer.wait(TICK - (self._clock() - yielded))
                now = self._clock()
                if received:
                    heard = now
                    # The head comes first, if anything comes of Poe.
                    if not has_arrived and isinstance(received[0], Head):
                        has_arrived = True
                        turn.arrived()
                for one in received:
                    for event in answer.take(one):
                        yield event
                        spoke = yielded = now
                if answer.refused_by is None and answer.is_refusal:
                    answer.refused_by = now + _REFUSAL
                if answer.refused_by is not None and now > answer.refused_by:
                    answer.refuse()
                limit = self._timeout if answer.has_spoken else self._first_byte
                if now - heard > limit:
                    raise UpstreamTimeout(f"Poe said nothing for {limit:g} s.")
                if now - spoke > NO_WORD:
                    raise UpstreamTimeout(f"The bot said no word for {NO_WORD:g} s.")
                if now - yielded >= TICK or not received:
                    # Also while only things come that say nothing, such as comments.
                    yield Idle()
                    yielded = now
        except UpstreamError as failure:
            self._scrub(failure)
            raise
        finally:
            transfer.close(patience=_VERY_END if answer.is_over else 0.0)

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
    wire = Wire(api_url, proxy=proxy, connections=1, read_timeout=2 * ASIDE)
    try:
        return _small_answer(wire, "/v1/models", {}, clock)
    finally:
        wire.close()


def _small_answer(
    wire: Wire, path: str, headers: Mapping[str, str], clock: Callable[[], float]
) -> bytes:
    """Return the body of a small answer, within `ASIDE` seconds."""
    transfer = wire.send("GET", path, headers)
    content = _BodyReader(_MAX_ASIDE)
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


class _BodyReader:
    """Collects a body. Any answer but a 200 is raised as what it means."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self.head: Head | None = None
        self.body = bytearray()
        self.is_complete = False

    def take(self, received: Received) -> None:
        """Take what came; raises the `UpstreamError` that it is or means."""
        match received:
            case Head():
                self.head = received
            case bytes():
                self.body += received
                if len(self.body) > (self._at_most if self.is_good else _MAX_ERROR):
                    # A refusal stays one, however long its explanation.
                    self.check()
                    raise UpstreamProtocolError("Poe's answer is too large.")
            case End():
                self.is_complete = True
                self.check()
            case UpstreamInterrupted():
                # The same if its explanation broke off.
                self.check()
                raise received
            case UpstreamError():
                raise received

    @property
    def is_good(self) -> bool:
        """Whether the status says that the body is what was asked for."""
        return self.head is not None and self.head.status == 200

    def check(self) -> None:
        """Raise what the status means, with as much of the body as is there, unless it is good."""
        if self.head is not None and not self.is_good:
            raise failures.of_answer(self.head.status, self.head.headers, bytes(self.body))


class _AnswerReader:
    """What is received in, reply events out, whether the answer is streamed or whole."""

    def __init__(self, budget: Budget) -> None:
        #: Whether the bot has said anything.
        self.has_spoken = False
        #: Whether `Done` has been yielded.
        self.is_over = False
        self._budget = budget
        #: When a refusal is taken as it is, although it is not complete; None if it is none.
        self.refused_by: float | None = None
        self._body = _BodyReader(_MAX_ANSWER)
        self._decoder = sse.Decoder(at_most=MAX_EVENT)
        self._stream: answers.Stream | None = None
        #: How many events it was fed with.
        self._fed_before = 0
        self._flood = Flood()

    @property
    def is_refusal(self) -> bool:
        """Whether the status says that there is no answer."""
        return self._body.head is not None and not self._body.is_good

    def refuse(self) -> None:
        """Raise the refusal without waiting for the rest of it."""
        self._body.check()

    def take(self, received: Received) -> Iterator[ReplyEvent]:
        """Yield what *received* says; raises the `UpstreamError` that it is or means."""
        for event in self._events(received):
            self.has_spoken = True
            self.is_over = isinstance(event, Done)
            yield event
            if self.is_over:
                return

    def _events(self, received: Received) -> Iterator[ReplyEvent]:
        stream = self._stream
        if stream is None or isinstance(received, UpstreamError):
            self._body.take(received)
            if isinstance(received, Head) and _is_stream(received):
                self._stream = answers.Stream(self._budget)
            elif isinstance(received, End):
                yield from answers.whole_answer(self._body.body, self._budget)
        elif isinstance(received, bytes):
            for start in range(0, len(received), AT_ONCE):
                piece = received[start : start + AT_ONCE]
                events = self._decoded(piece)
                if not events:
                    self._flood.came(len(piece))  # it may be of many lines
                said = self._fed(stream, events)
                yield from merged(said) if self._fed_before >= MANY else said
        else:
            for data in self._decoder.flush():
                try:
                    yield from stream.feed(data)
                except UpstreamProtocolError:
                    raise UpstreamInterrupted("Poe's reply broke off in a chunk.") from None
            yield from stream.close()

    def _fed(self, stream: answers.Stream, events: list[bytes]) -> Iterator[ReplyEvent]:
        self._fed_before += len(events)
        for data in events:
            yield from stream.feed(data)
            # Half a megabyte of events that say nothing may come at once.
            self._flood.came(len(data))

    def _decoded(self, piece: bytes) -> list[bytes]:
        try:
            return self._decoder.feed(piece)
        except ValueError:
            raise UpstreamProtocolError("Poe's answer is too large.") from None


def _is_stream(head: Head) -> bool:
    kind = head.headers.get("Content-Type", "")
    return head.status == 200 and kind.lower().startswith("text/event-stream")
