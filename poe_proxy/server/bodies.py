"""A request's body: how large it may be, how long it may take, and what is left unread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from poe_proxy.budget import Budget, OutOfBudget, TooBusy
from poe_proxy.errors import (
    InvalidRequest,
    PoeProxyError,
    RequestTooCostly,
    RequestTooLarge,
    ServerBusy,
)
from poe_proxy.server.admission import RETRY_AFTER, Bodies, held
from poe_proxy.server.asked import Asked
from poe_proxy.server.client_socket import ClientGone
from poe_proxy.server.connection import PIECE

#: Seconds that a client may take to send its body.
BODY_TIMEOUT: Final = 60.0
#: Bytes that must come within so many seconds, or the body ends by then: what trickles would hold
#: its memory for a minute.
PACE: Final = 10_000
PACE_TIME: Final = 10.0

#: The most bytes of an unread body that are left for the server to drain, to keep the connection.
MAX_UNREAD: Final = 65_536


class Patience:
    """How long a client may take for its body: `BODY_TIMEOUT` in all, and never less than `PACE`
    in `PACE_TIME`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + BODY_TIMEOUT
        self._due = clock() + PACE_TIME
        self._came = 0

    def left(self) -> float:
        """Return the seconds that its next bytes may take from now on; 0 or less: it is over."""
        return min(self._end, self._due) - self._clock()

    def came(self, size: int) -> None:
        """Count *size* bytes that have come."""
        self._came += size
        if self._came >= PACE:
            self._came = 0
            self._due = self._clock() + PACE_TIME


def read_body(request: Asked, limit: int, budget: Budget, bodies: Bodies) -> bytes | bytearray:
    """Return the body of *request*, *limit* bytes at most; it counts among all *bodies* until the
    answer is closed. Reading it costs *budget*.

    Raises `InvalidRequest` for a body that is too large, too costly, compressed or incomplete,
    `ServerBusy` if there is no room for it beside all others, and `ClientGone` if it did not arrive
    in time.
    """
    environ, client = request.environ, request.client
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise InvalidRequest("The body must not be compressed (Content-Encoding).", param="body")
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(limit)
    try:
        with (
            client.receiving(budget, Patience(), in_chunks=length is None),
            budget.work("reading the body"),
        ):
            body = _read(request, length, limit, budget, bodies)
    except PoeProxyError:
        raise
    except OSError:  # the connection broke, or the body took too long
        client.cut()
        raise ClientGone from None
    except TooBusy:
        raise too_busy() from None
    except OutOfBudget:
        raise RequestTooCostly(
            "The body takes too long to read: it comes in too many chunks.", param="body"
        ) from None
    except Exception:
        # gunicorn found an invalid chunk; what follows cannot be read.
        client.close_after_answer()
        raise InvalidRequest("The body is not framed as HTTP demands.", param="body") from None
    if len(body) > limit:
        raise too_large(limit)
    if length is not None and len(body) < length:
        raise InvalidRequest("The body ended before its Content-Length.", param="body")
    request.has_read_body = True
    return body


def _read(
    request: Asked, length: int | None, limit: int, budget: Budget, bodies: Bodies
) -> bytes | bytearray:
    share = bodies.share(held(request.environ))
    # Rather now than when most of it has come.
    share.check(length or 0)
    # One byte more than is allowed shows that a body is too large.
    end = limit + 1 if length is None else length
    # gunicorn's own ends by itself; any other is kept from reading on by Flask.
    is_bounded = request.environ.get("wsgi.input_terminated", False)
    read = (request.environ["wsgi.input"] if is_bounded else request.stream).read
    piece: bytes = read(min(PIECE, end))
    share.grow(len(piece))
    if len(piece) == length:
        return piece  # most are read in one go, and need no copy
    body = bytearray()
    while piece:
        body += piece
        budget.breathe()
        piece = read(min(PIECE, end - len(body)))
        share.grow(len(piece))
    return body


def too_busy() -> ServerBusy:
    """Return the refusal of a request that had no turn to be read in."""
    return ServerBusy(
        "Too many requests at a time are costly to read; try again in a few seconds.",
        retry_after=RETRY_AFTER,
    )


def too_large(limit: int) -> RequestTooLarge:
    """Return the refusal of a body of more than *limit* bytes."""
    return RequestTooLarge(
        f"The body is larger than {limit / 1_000_000:g} MB (MAX_BODY_MB).", param="body"
    )


def leave_unread(request: Asked) -> bool:
    """Decide what becomes of a body of *request* that was not read; to be called before the answer
    is sent. Return whether the connection ends with it.

    A short one is drained. Of any other nothing more is read: that would cost everybody else's
    time; nor what comes behind it, be it the next request.
    """
    if request.has_read_body:
        return False
    environ = request.environ
    length = environ.get("CONTENT_LENGTH") or 0
    is_framed = "HTTP_TRANSFER_ENCODING" not in environ
    if is_framed and not length:
        return False
    client = request.client
    # What waits for a `100 Continue` may come, or not.
    if is_framed and int(length) <= MAX_UNREAD and not client.awaits_go_on():
        client.leave(int(length))
        return False
    client.close_after_answer()
    return True
