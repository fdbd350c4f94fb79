"""Reply events as an HTTP answer, and the one place that decides how an answer ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Final, TypeAlias, TypeVar

from flask import Response, g, request

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
from poe_proxy.server.admission import held
from poe_proxy.server.bodies import read_body, too_busy
from poe_proxy.server.client_socket import ClientGone, ClientSocket
from poe_proxy.server.failures import internal_error
from poe_proxy.server.services import services
from poe_proxy.server.watchdog import note_body

log = logging.getLogger(__name__)

#: The most seconds between two checks that the client is still there.
CHECK_EVERY: Final = 0.5

#: Seconds of silence after which a stream gets a keep-alive, so that nothing on the way takes the
#: connection for dead.
KEEP_ALIVE: Final = 15.0


#: Events that say nothing.
_SILENT: Final = (Idle, Waiting)


T = TypeVar("T")
#: Reads a body, and goes on with the request's budget.
Reader: TypeAlias = Callable[[bytes | bytearray, Budget], T]


def deliver(api: Api) -> Response:
    """Answer the request at hand in the form of *api*, whole or as the answer arrives.

    Raises `PoeProxyError` for what fails before the answer has begun, and `ClientGone`.
    """
    g.api = api
    services().admission.answers.begin(held(request.environ))
    client, budget = ClientSocket(request.environ), _budget()
    call = _read(api.call, read_body(client, services().max_body, budget), budget)
    g.model = call.chat.model
    events = services().with_files(
        services().gateway.reply(call.chat, client=g.client, streams=call.streams), call.chat
    )
    parts = answer(call, events, client)
    # What fails before the first part can still be answered with a status code.
    first = next(parts)
    if not call.streams:
        parts.close()
        response = Response(first, content_type=call.content_type)
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
    budget = _budget()
    return _read(
        read, read_body(ClientSocket(request.environ), services().max_body, budget), budget
    )


def _budget() -> Budget:
    return Budget(services().max_work, max_reply=services().max_reply)


def _read(read: Reader[T], body: bytes | bytearray, budget: Budget) -> T:
    try:
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


def _stream(parts: Generator[bytes, None, None]) -> Response:
    response = Response(parts, content_type="text/event-stream; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold frames back
    response.call_on_close(parts.close)
    return response


def answer(
    call: Call,
    events: Generator[ReplyEvent, None, None],
    client: ClientSocket,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[bytes, None, None]:
    """Yield the answer that *events* make: the body, or an empty part once the bot has begun,
    and then the frames.

    However it ends, *events* are closed: the bot is stopped, and the token goes back. A failure
    before the first part is raised as a `PoeProxyError`, unless the call opens its stream for it;
    after that, it is the last frame.
    """
    wire = _Wire()
    said = _listen(events, client, clock, wire)
    has_begun = False
    try:
        if not call.streams:
            yield call.body(said)
            return
        first = next(said)
        has_begun = True
        yield b""
        for frame in call.frames(chain((first,), said)):
            wire.is_used = True
            yield frame
    except GeneratorExit:  # the client hung up while a frame was written
        raise
    except BaseException as error:
        if isinstance(error, ClientGone):
            if has_begun:  # if raised, it would be logged as a fault
                return
            raise
        failure = _as_failure(error, was_asked=wire.was_asked)
        if not has_begun:
            if not (call.streams and call.opens_for(failure)):
                raise failure from None
            yield b""
        log.info("broke off: %s", failure.code)
        let_go(failure)
        yield call.failed(failure)
        if not isinstance(error, Exception):
            raise
    finally:
        events.close()


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


class _Wire:
    """What goes to the client."""

    __slots__ = ("is_used", "was_asked")

    def __init__(self) -> None:
        #: Whether a frame went out since this was last looked at.
        self.is_used = False
        #: Whether Poe may have been asked: it cannot while the request waits in its first line.
        self.was_asked = True


def _listen(
    events: Iterable[ReplyEvent], client: ClientSocket, clock: Callable[[], float], wire: _Wire
) -> Iterator[Said]:
    """Yield what is said in *events*, for as long as the client is there.

    After each long silence an `Idle` comes, for a keep-alive: be it that the bot says nothing, or
    that what it says is held back, as the second of two calls is. Raises `ClientGone`, and
    `UpstreamInterrupted` for a reply without an end.
    """
    checked = clock()
    #: When the silence began; None until Poe has been asked.
    silent_since: float | None = None
    has_begun = is_done = False
    flood = Flood()
    for event in events:
        now = clock()
        said: Said | None = None if isinstance(event, _SILENT) else event
        # A bot that talks without a pause gives no `Idle`, and while a client waits for a whole
        # answer no write can fail. So the time counts too.
        if said is None or now - checked >= CHECK_EVERY:
            checked = now
            if client.is_gone():
                raise ClientGone
        wire.was_asked = not isinstance(event, Waiting) or event.was_asked
        # Time in line is no silence: too much of it ends with a status of its own.
        if isinstance(event, Waiting) and not has_begun:
            continue
        if said is None:
            if silent_since is None:
                silent_since = now
            if now - silent_since < KEEP_ALIVE:
                continue
            said = Idle()
        has_begun = True
        is_done = is_done or isinstance(said, Done)
        yield said
        if wire.is_used or silent_since is None:
            wire.is_used, silent_since = False, now
        elif now - silent_since >= KEEP_ALIVE:
            silent_since = now
            if not isinstance(said, Idle | Done):
                yield Idle()
        flood.came()  # thousands may come at once, which were held back until then
    if not is_done:
        raise UpstreamInterrupted("The reply broke off before its end.")
