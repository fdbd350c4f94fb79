"""Reply events as an HTTP answer, and the one place that decides how an answer ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from flask import Response

from poe_proxy.apis.base import Api, Call
from poe_proxy.budget import Budget, OutOfBudget, TooBusy
from poe_proxy.chat import Done, Idle, ReplyEvent, Said, Waiting
from poe_proxy.errors import (
    PoeProxyError,
    RequestTooCostly,
    ServerBusy,
    UpstreamInterrupted,
    let_go,
)
from poe_proxy.net.pacing import Flood
from poe_proxy.record import CLIENT_CLOSED, Record
from poe_proxy.server.admission import held
from poe_proxy.server.asked import Asked, asked
from poe_proxy.server.bodies import read_body, too_busy
from poe_proxy.server.client_socket import ClientGone, ClientSocket
from poe_proxy.server.failures import internal_error, note
from poe_proxy.server.services import Services, services
from poe_proxy.server.watchdog import AT_ONCE, note_body
from poe_proxy.waiting import LONG, SHORT, Listener

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

#: Seconds of silence after which a stream gets a keep-alive, so that nothing on the way takes the
#: connection for dead.
KEEP_ALIVE: Final = 15.0

#: Bytes and events from which on a part of a stream leaves, whatever is at hand behind it: others
#: have their turn between two parts.
PART: Final = 65_536
TOGETHER: Final = 32

#: A silence that is to be filled.
_SILENCE: Final = Idle()


T = TypeVar("T")
#: Reads a body, and goes on with the request's budget.
Reader: TypeAlias = Callable[[bytes | bytearray, Budget], T]


def deliver(api: Api) -> Response:
    """Answer the request at hand in the form of *api*, whole or as the answer arrives.

    Raises `PoeProxyError` for what fails before the answer has begun, and `ClientGone`.
    """
    request, house = asked(), services()
    request.api = api
    house.admission.answers.begin(held(request.environ))
    visit = house.registry.visit(request.asker, request.record.id)
    budget = _budget(house)
    call = _read(api.call, _body(request, house, budget), budget)
    chat = call.chat
    record = request.record
    record.model, record.streams = chat.model, call.streams
    events = house.with_files(house.gateway.reply(chat, record, visit), chat)
    parts = answer(call, events, request.client, record)
    # What fails before the first part can still be answered with a status code.
    first = next(parts)
    if not call.streams:
        parts.close()
        response: Response = _Answer(first, content_type=call.content_type)
    else:
        response = _stream(parts)
    if budget.unchecked:
        # What is given up later in a stream is only in the log.
        response.headers["x-unchecked"] = ", ".join(budget.unchecked)
    return response


def receive(read: Reader[T]) -> T:
    """Return what *read* makes of the request at hand, which is answered from here.

    Raises `PoeProxyError`, and `ClientGone`.
    """
    request, house = asked(), services()
    budget = _budget(house)
    return _read(read, _body(request, house, budget), budget)


def _budget(house: Services) -> Budget:
    return Budget(house.max_work, max_reply=house.max_reply)


def _body(request: Asked, house: Services, budget: Budget) -> bytes | bytearray:
    return read_body(request, house.max_body, budget, house.admission.bodies)


def _read(read: Reader[T], body: bytes | bytearray, budget: Budget) -> T:
    try:
        if len(body) <= AT_ONCE:
            note_body(body)
            with budget.work("reading a request"):
                return read(body, budget)
        with budget.work("looking whether a body is known", size=len(body)):
            note_body(body, budget.breathe)
            # Within the other, so that a large body has one turn for both; from now on the flight
            # recorder says which body it is.
            with budget.work("reading a request"):
                return read(body, budget)
    except TooBusy:
        raise too_busy() from None
    except OutOfBudget:
        raise RequestTooCostly(
            "It takes too long to read the body: it holds too much.", param="body"
        ) from None


class _Answer(Response):
    """An answer to a POST, whose headers are all there, and whose parts are bytes: Flask need not
    look through them for what to add. Its generator is closed by whoever has it."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return cast("Iterable[bytes]", self.response)


def _stream(parts: Generator[bytes, None, None]) -> Response:
    response = _Answer(parts, content_type="text/event-stream; charset=utf-8")
    response.headers.add("Cache-Control", "no-cache")
    response.headers.add("X-Accel-Buffering", "no")  # nginx would hold frames back
    return response


def answer(
    call: Call,
    events: Generator[ReplyEvent, None, None],
    client: ClientSocket,
    record: Record | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[bytes, None, None]:
    """Yield the answer that *events* make: the body, or an empty part once the bot has begun,
    and then the frames; those of events that came together are one part.

    A second empty part behind the first one means that there is no frame yet, and that the head
    shall leave without one.

    When the first word came and the end, in how many parts, and how it failed is noted in *record*.
    However it ends, *events* are closed: the bot is stopped, and the token goes back. A failure
    before the first part is raised as a `PoeProxyError`, unless the call opens its stream for it;
    after that, it is the last frame.
    """
    hearing = _Hearing(call.chat.listener, client, clock)
    #: The frames that wait for what is at hand behind them.
    held: list[bytes] = []
    record = Record() if record is None else record
    try:
        if call.streams:
            yield from _parts(call, events, hearing, held)
        else:
            yield call.body(_told(events, hearing))
    except GeneratorExit:  # the client hung up while a frame was written
        if call.streams:
            record.code = CLIENT_CLOSED
        raise
    except BaseException as error:
        has_begun = call.streams and hearing.has_begun
        if isinstance(error, ClientGone):
            record.code = CLIENT_CLOSED
            if has_begun:  # if raised, it would be logged as a fault
                return
            raise
        failure = _as_failure(error, was_asked=hearing.was_asked)
        if not has_begun:
            if not (call.streams and call.opens_for(failure)):
                raise failure from None
            yield b""
        note(record, failure)
        log.info("broke off: %s", failure.code)
        let_go(failure)
        yield b"".join((*held, call.failed(failure)))
        if not isinstance(error, Exception):
            raise
    finally:
        record.first_text, record.done = hearing.first, hearing.done
        record.pieces = hearing.pieces
        client.forget()
        events.close()


def _parts(
    call: Call, events: Iterable[ReplyEvent], hearing: _Hearing, held: list[bytes]
) -> Iterator[bytes]:
    """Yield the parts of a stream; *held* are the frames that are not in one yet."""
    listener = call.chat.listener
    size = 0
    has_begun = is_open = False
    flood = Flood()
    for event in events:
        said = hearing.hear(event)
        if said is None:
            # A silence: what came before it shall not have to wait.
            if not held:
                continue
            frame = b""
        else:
            if not has_begun:
                has_begun = True
                yield b""
            frame = call.frame(said)
            # Behind the end nothing follows, whatever a stage has made it from.
            follows = listener.more_follows and type(said) is not Done
            if follows and size < PART and len(held) < TOGETHER:
                held.append(frame)
                size += len(frame)
                continue
        if held:
            frame = b"".join((*held, frame))
            held.clear()
            size = 0
        if not frame and hearing.is_long_silent():
            frame = call.frame(_SILENCE)
        if frame:
            hearing.pieces += 1
            hearing.sent()
        if frame or not is_open:
            is_open = True
            yield frame
        flood.came(len(frame))  # thousands may come at once, which were held back until then
    hearing.check_end()
    if held:
        yield b"".join(held)


def _told(events: Iterable[ReplyEvent], hearing: _Hearing) -> Iterator[Said]:
    """Yield what is said in *events*, for a whole answer."""
    flood = Flood()
    for event in events:
        said = hearing.hear(event)
        if said is not None and said is not _SILENCE:
            yield said
            flood.came()
    hearing.check_end()


def _as_failure(error: BaseException, *, was_asked: bool) -> PoeProxyError:
    """Return the failure that the client is sent for *error*, which may be a bug, or the stop of
    the server; *was_asked*: Poe may have been asked."""
    if isinstance(error, PoeProxyError):
        return error
    if isinstance(error, Exception):
        return internal_error(error)
    if not was_asked:
        return ServerBusy("The proxy was stopped before the request had its turn.")
    return UpstreamInterrupted("The proxy was stopped before the end of the reply.")


class _Hearing:
    """What is heard of a reply: what is said in it, since when it is silent, and for whom it is."""

    __slots__ = (
        "_client", "_clock", "_listener", "_now", "_silent_since", "_watch_from",
        "done", "first", "has_begun", "pieces", "was_asked",
    )  # fmt: skip

    def __init__(
        self, listener: Listener, client: ClientSocket, clock: Callable[[], float]
    ) -> None:
        self._listener = listener
        self._client = client
        self._clock = clock
        self._now = clock()
        #: When the client begins to be watched; `inf` once it is.
        self._watch_from = self._now + SHORT
        #: When the silence began; None until Poe has been asked.
        self._silent_since: float | None = None
        #: When the first word came, and when the end did; 0.0 until then.
        self.first = self.done = 0.0
        #: In how many parts the answer was sent.
        self.pieces = 0
        #: Whether anything was said, or the silence was long.
        self.has_begun = False
        #: Whether Poe may have been asked: it cannot while the request waits in its first line.
        self.was_asked = True

    def hear(self, event: ReplyEvent) -> Said | None:
        """Return what *event* says; None: nothing. A silence that is long becomes `_SILENCE`.

        Raises `ClientGone`.
        """
        self._now = now = self._clock()
        if self._listener.is_gone:
            raise ClientGone
        kind = type(event)
        if kind is Idle or kind is Waiting:
            return self._silence(event)
        # A bot that talks without a pause gives no `Idle`, and while a client waits for a whole
        # answer no write can fail. So the time counts too.
        if now >= self._watch_from:
            self._look()
        self.has_begun = self.was_asked = True
        if kind is Done:
            self.done = now
        elif self.first == 0.0:
            self.first = now
        return cast("Said", event)

    def _silence(self, event: ReplyEvent) -> Idle | None:
        self._look()
        self.was_asked = not isinstance(event, Waiting) or event.was_asked
        # Time in line is no silence: too much of it ends with a status of its own.
        if (isinstance(event, Waiting) and not self.has_begun) or not self.is_long_silent():
            return None
        self.has_begun = True
        self._silent_since = self._now
        return _SILENCE

    def _look(self) -> None:
        """Look whether the client is there; once the request has lasted a while, let it be watched
        instead."""
        if self._watch_from == inf:
            return
        if self._client.is_gone():
            raise ClientGone
        if self._now >= self._watch_from and self._client.watch(self._listener):
            self._watch_from = inf

    def is_long_silent(self) -> bool:
        """Whether a keep-alive is due: be it that the bot says nothing, or that what it says is
        held back, as the second of two calls is. If not, no wait outlasts the time until then."""
        if self.done:
            return False
        if self._silent_since is None:
            self._silent_since = self._now
        left = self._silent_since + KEEP_ALIVE - self._now
        if self._watch_from == inf:
            self._listener.patience = min(LONG, left if left > 0 else KEEP_ALIVE)
        return left <= 0

    def sent(self) -> None:
        """Note that something goes out to the client."""
        self._silent_since = self._now

    def check_end(self) -> None:
        """Raise `UpstreamInterrupted` if the reply has ended without an end."""
        if not self.done:
            raise UpstreamInterrupted("The reply broke off before its end.")
