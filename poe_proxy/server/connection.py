"""A client's connection: how it is read and written, and how it ends.

gunicorn uses it like any socket. But gunicorn waits for ever for a body and, where the kernel has
no limit for it, for a client that does not read; it reads on without a pause for as long as bytes
are there; and it closes a connection on a client that is still sending, which then never sees its
answer. No setting changes that.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, Self

from poe_proxy.budget import Budget
from poe_proxy.net.cutting import cut

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: Seconds after which a client that takes nothing of its answer is given up.
WRITE_TIMEOUT = 60.0

#: The most bytes of a request's head. gunicorn looks through all of it at each piece that comes.
MAX_HEAD: Final = 32_768
#: The pieces of a head that are read as they come. Further ones are collected for a while, since
#: each costs as much as the whole head so far.
QUICK_PIECES: Final = 16
COLLECTING: Final = 0.05

#: The most bytes that are read of a body at a time, and of one in chunks: there may be one chunk
#: for each byte.
PIECE: Final = 16_384
CHUNKS: Final = 2048
#: What gunicorn asks for where it does not know how much is to come, such as before a chunk.
_UNKNOWN: Final = 8192

#: Seconds and bytes for which a connection that ends is still read, so that a client that is
#: sending gets to its answer.
LINGER: Final = 2.0
LINGER_BYTES: Final = 1_000_000

#: Seconds of computing for requests of one client without a pause.
TURN: Final = 0.01
#: Seconds of the pause in which other connections have their turn.
_PAUSE: Final = 0.0001
#: The most bytes that are written at a time where the kernel cannot limit the wait.
_SMALL: Final = 4096
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HeadTooLarge(Exception):
    """The head of a request has more than `MAX_HEAD` bytes."""


class Request(Protocol):
    """gunicorn's request."""

    #: Whether gunicorn is to ask for the body at once, and for that of a refused request too.
    _expected_100_continue: bool

    def force_close(self) -> None:
        """Let the answer say `Connection: close`, and end the connection behind it."""


class Patience(Protocol):
    """How long a client may take for a body."""

    def left(self) -> float:
        """Return the seconds that its next bytes may take from now on; 0 or less: it is over."""

    def came(self, size: int) -> None:
        """Count *size* bytes that have come."""


class Keeper(Protocol):
    """Who knows all connections."""

    def has_key(self, connection: Connection) -> None:
        """Note that the request under way brings a key. Raises `ServerBusy` if too many do."""

    def is_idle(self, connection: Connection) -> None:
        """Note that the request is over."""


def limit_writes(sock: socket.socket, seconds: float) -> bool:
    """Let writes to *sock*, or to what it accepts, fail once the client took nothing for *seconds*.

    Returns whether the kernel can do that: only Linux can, and only for TCP.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))
    except OSError:
        return False
    return True


class _Receiving:
    """The block in which a body is read."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None: ...

    def __exit__(self, *failure: object) -> None:
        self._connection._intake = None


class Connection(socket.socket):
    """The socket of one client."""

    def __init__(self, family: int, type: int, proto: int, fileno: int) -> None:
        super().__init__(family, type, proto, fileno)
        self._keeper: Keeper | None = None
        self._request: Request | None = None
        self._is_last = False
        self._awaits_go_on = False
        self._has_answered = False
        #: Whether more was there before the answer to the request was written.
        self._is_ahead = False
        #: When requests began that are there as soon as the one before is answered.
        self._turn_began: float | None = None
        #: What a body that is being read may cost and take; None while none is.
        self._intake: tuple[Budget, Patience, bool] | None = None
        self._is_limited = family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT")
        self._left_unread = 0
        #: Bytes and pieces that the next head may still have.
        self._head_left = MAX_HEAD
        self._pieces_left = QUICK_PIECES

    @classmethod
    def take(cls, client: socket.socket, keeper: Keeper | None = None) -> Self:
        """Return the connection in place of the socket *client*, which must not be used any more.

        *keeper* gets to know when a request with a key is under way.
        """
        taken = cls(client.family, client.type, client.proto, client.detach())
        taken._keeper = keeper
        return taken

    # ---- the requests

    def begin(self, request: Request) -> None:
        """Begin *request*, whose head has been read."""
        self._request = request
        self._has_answered = self._is_ahead = False
        if self._turn_began is None:
            self._turn_began = time.thread_time()
        self._awaits_go_on = request._expected_100_continue
        request._expected_100_continue = False

    def has_key(self) -> None:
        """Note that the request under way brings a key. Raises `ServerBusy` if too many do."""
        if self._keeper is not None:
            self._keeper.has_key(self)

    def close_after_answer(self) -> None:
        """Let the answer say `Connection: close`. Nothing behind the request will be read."""
        self._is_last = True
        if self._request is not None:
            self._request.force_close()

    @property
    def awaits_go_on(self) -> bool:
        """Whether the client holds its body back until it is asked for."""
        return self._awaits_go_on

    def leave(self, unread: int) -> None:
        """Note that so many bytes of the body are left *unread*, and come before the next head."""
        self._left_unread = unread

    def end(self) -> None:
        """End the request."""
        self._request = None
        self._awaits_go_on = False
        self._head_left = MAX_HEAD + self._left_unread
        self._pieces_left = QUICK_PIECES + self._left_unread // 1024
        self._left_unread = 0
        if self._keeper is not None:
            self._keeper.is_idle(self)

    def give_way(self, *, is_ahead: bool = False) -> None:
        """Give other connections their turn before the next request, if that is there already.

        Whoever sends requests ahead has to wait behind each of them; *is_ahead*: more of them
        have been read. A client that waits for its answers, and is just fast, has a `TURN`.
        """
        if not is_ahead and not self.has_input():
            self._turn_began = None
            return
        now, began = time.thread_time(), self._turn_began
        if is_ahead or self._is_ahead or began is None or now - began >= TURN:
            time.sleep(_PAUSE)
            self._turn_began = None

    # ---- reading

    def has_input(self) -> bool:
        """Whether bytes of the client are there to be read."""
        try:
            waiting = fcntl.ioctl(self.fileno(), termios.FIONREAD, bytes(4))
        except (OSError, ValueError):  # ValueError: closed
            return False
        return int.from_bytes(waiting, sys.byteorder) > 0

    def receiving(
        self, budget: Budget, patience: Patience, *, in_chunks: bool = False
    ) -> AbstractContextManager[None]:
        """Read a body within the block: what comes costs *budget*, and *patience* must last.

        Of one that comes *in_chunks* less is read at a time, unless the size of a chunk is known.
        """
        if self._awaits_go_on:
            self._awaits_go_on = False
            self.sendall(_CONTINUE)
        self._intake = (budget, patience, in_chunks)
        return _Receiving(self)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what is there, *size* bytes at most; wait for the first of it.

        Raises `ConnectionError` if the connection broke, and `HeadTooLarge`. A look (`MSG_PEEK`)
        takes nothing, and raises what a socket raises.
        """
        if flags:
            return super().recv(size, flags)
        try:
            if self._intake is not None:
                budget, patience, in_chunks = self._intake
                most = CHUNKS if in_chunks and size <= _UNKNOWN else PIECE
                return self._of_body(min(size, most), budget, patience)
            if self._request is None:
                return self._of_head(size)
            return super().recv(size)
        except OSError as broken:
            raise _as_hang_up(broken) from None

    def _of_head(self, size: int) -> bytes:
        if self._head_left <= 0:
            raise HeadTooLarge
        if self._pieces_left <= 0:
            time.sleep(COLLECTING)
        piece = super().recv(size)
        self._head_left -= len(piece)
        self._pieces_left -= 1
        return piece

    def _of_body(self, size: int, budget: Budget, patience: Patience) -> bytes:
        left = patience.left()
        if left <= 0:
            raise TimeoutError
        if self.has_input():
            budget.breathe()
            piece = super().recv(size)
        else:
            with budget.aside(), self._timeout(left):
                piece = super().recv(size)
        patience.came(len(piece))
        return piece

    # ---- writing

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send *data*. Raises `ConnectionError` if the connection broke, or if the client takes
        nothing for `WRITE_TIMEOUT` seconds."""
        if not self._has_answered:
            self._has_answered = True
            self._is_ahead = self.has_input()
        try:
            if self._is_limited or self.gettimeout() is not None:
                # Nearly all leaves at once: in a third of the time of `sendall`.
                view = memoryview(data)
                sent = super().send(view, flags)
                if sent < view.nbytes:
                    super().sendall(view.cast("B")[sent:], flags)
            else:
                self._send_by_and_by(memoryview(data))
        except OSError as broken:
            raise _as_hang_up(broken) from None

    def _send_by_and_by(self, data: memoryview) -> None:
        # A full buffer must be nearly empty again before it takes more. A slow client needs long
        # for that, so what counts is whether it took anything at all.
        with self._timeout(WRITE_TIMEOUT):
            untaken = self._untaken()
            while data:
                try:
                    data = data[self.send(data[:_SMALL]) :]
                    untaken = self._untaken()
                except TimeoutError:
                    before, untaken = untaken, self._untaken()
                    if untaken >= before:
                        raise

    def _untaken(self) -> int:
        """Return how much of what was sent the client has not taken."""
        size = fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    # ---- the end

    def cut(self) -> None:
        """Cut the connection at once, whoever waits for it."""
        cut(self, reset=True)

    def part(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Let a client that is still sending get to its answer, before the connection is closed.

        Otherwise what it sends would be answered with a reset, in which answers get lost. The
        time and the bytes for that are bounded: `LINGER`, `LINGER_BYTES`.
        """
        if not self._is_last and not self.has_input():
            return
        until, left = clock() + LINGER, LINGER_BYTES
        with suppress(OSError):
            self.shutdown(socket.SHUT_WR)
            while left > 0 and (patience := until - clock()) > 0:
                with self._timeout(patience):
                    piece = super().recv(min(left, PIECE))
                if not piece:
                    return  # it has read its answer
                left -= len(piece)
                time.sleep(_PAUSE)
        # A reset ends the wait of a client that would send for ever.
        self.cut()

    @contextmanager
    def _timeout(self, seconds: float) -> Iterator[None]:
        before = self.gettimeout()
        self.settimeout(seconds)
        try:
            yield
        finally:
            self.settimeout(before)


def _as_hang_up(broken: OSError) -> ConnectionError:
    """Return *broken* as a failure that gunicorn does not log with a traceback."""
    if isinstance(broken, ConnectionError):
        return broken
    return ConnectionResetError(errno.ECONNRESET, str(broken))
