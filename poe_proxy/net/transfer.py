"""One exchange over HTTP: a request goes out, and its answer is received as it comes.

All of it happens in the caller's own thread, while it waits: a connection is taken or made, the
request is sent, the answer is read. Only dialing has a thread of its own, because a name that is
looked up cannot be interrupted. A caller waits as long as it likes, again and again, and nothing is
lost in between; another thread may end a wait at any moment by `wake`, which cuts the connection.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from poe_proxy.errors import let_go
from poe_proxy.net.deadline import Attempt, Deadline
from poe_proxy.net.http1 import AnswerReader, Head, ProtocolError
from poe_proxy.net.kept import Connection, Kept
from poe_proxy.net.pacing import Flood, breathe
from poe_proxy.net.unpacking import Unpacker

#: Seconds that connecting may take: to look the name up, to get through a proxy, TLS.
CONNECT: Final = 10.0
#: Seconds in which the other end must have taken something of a request that is being sent.
SENDING: Final = 30.0

_READ_AT_ONCE: Final = 65_536
#: What is raised when a wait is over, with the time-out 0 or a longer one.
_NOT_YET: Final = (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Stage(Enum):
    """How far an exchange has come."""

    #: The other end has certainly got nothing of the request.
    NOT_SENT = 0
    #: It may have got the request, and act on it.
    SENT = 1
    #: Its answer has begun.
    HEAD = 2


@dataclass(frozen=True, slots=True)
class End:
    """The answer is complete."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The exchange has failed. There are no addresses in it."""

    stage: Stage
    #: The class of what was raised, such as `ConnectionRefusedError` or `ProxyError`.
    name: str
    #: A time limit was reached.
    timed_out: bool = False
    #: The other end's certificate was not accepted; nothing was sent to it.
    bad_certificate: bool = False
    #: What the other end, or something on the way, did to the connection: `was reset` or
    #: `was closed`; empty if that is not known.
    happened: str = ""

    @property
    def words(self) -> str:
        """What became of the connection, as the end of a sentence."""
        return self.happened or f"broke ({self.name})"


#: What comes of a transfer: a head, pieces of the body, and the end; or a failure at any point.
Received: TypeAlias = Head | bytes | End | Trouble


class ConnectionEnded(Exception):
    """The connection has ended, and the answer is not complete."""


class Transfer:
    """A request on its way, and its answer.

    One thread waits and closes; it must close, however the exchange ends. Any may `wake`.
    """

    def __init__(
        self,
        kept: Kept,
        dial: Callable[[Deadline], Any],
        request: list[bytes | memoryview],
        when_over: Callable[[Transfer], object],
    ) -> None:
        """*request* is in pieces, each of which leaves in one go if there is room; with none of
        them it is one that cannot be sent. *dial* makes a connection where none is kept.
        *when_over* is called once the connection is not ours any more."""
        self._kept = kept
        self._dial = dial
        self._unsent = request
        self._when_over = when_over
        self._stage = Stage.NOT_SENT
        self._attempt: Attempt[Any] | None = None
        self._connection: Connection | None = None
        self._reader: AnswerReader | None = None
        self._unpacker: Unpacker | None = None
        #: When something of the request was last taken, while it is being sent.
        self._moved = 0.0
        #: What broke while it was sent: the answer may be there all the same.
        self._not_taken: Exception | None = None
        #: What is wrong with the answer; what came of it before that comes first.
        self._failure: Exception | None = None
        #: Whether all has been received.
        self._is_over = False
        #: The first is set before the connection is cut, and looked at before anything is sent: so
        #: no request goes out whose answer is not wanted. The second says that nobody waits.
        self._is_cut = False
        self._is_woken = False
        self._flood: Flood | None = None
        self._came = 0

    # ---- for the caller

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._stage

    def wait(self, seconds: float) -> list[Received]:
        """Return what has been received, as soon as there is something; nothing after *seconds*.

        Pieces of the body that came together are joined. Nothing comes, at once, behind the end or
        a failure, and once the transfer was woken.
        """
        if self._is_over or self._is_woken:
            return []
        until = time.monotonic() + seconds
        try:
            if self._reader is None and not self._is_sent(until):
                return []
            return self._received(until)
        except Exception as failure:  # whatever it is: the caller waits for an end or a failure
            return self._failed(failure)

    def wake(self) -> None:
        """End the present wait at once, and all later ones: the exchange is cut, wherever it is.
        To be called from any thread; nothing is waited for here."""
        self._is_woken = True
        self.cut()

    def cut(self) -> None:
        """Cut the connection. The exchange fails as if the other end had hung up."""
        with self._kept.lock:
            self._is_cut = True
            if self._connection is not None:
                self._connection.cut()
            if self._attempt is not None:
                self._attempt.give_up()

    def close(self, *, patience: float = 0.0) -> None:
        """Give the transfer up. Unless it is over, its connection is cut.

        *patience* is for an answer of which only the very end is missing: a connection that is read
        to the end can be used again.
        """
        if patience and self._connection is not None:
            until = time.monotonic() + patience
            while not (self._is_over or self._is_woken) and (left := until - time.monotonic()) > 0:
                self.wait(left)
        if not self._is_over:
            self._is_over = True
            self._let_go()

    # ---- sending

    def _is_sent(self, until: float) -> bool:
        """Send the request, or as much of it as can be sent *until* then."""
        if self._connection is None:
            if not self._unsent:
                raise ValueError
            connection = self._connected(until)
            if connection is None:
                return False
            with self._kept.lock:
                if not self._is_cut:
                    self._connection = connection
            if self._connection is None:
                connection.close()
                raise ConnectionEnded
            self._moved = time.monotonic()
        self._send(self._connection, until)
        if self._unsent:
            return False
        self._reader = AnswerReader()
        return True

    def _connected(self, until: float) -> Connection | None:
        attempt = self._attempt
        if attempt is None:
            if self._is_cut:
                raise ConnectionEnded
            kept = self._kept.take()
            if kept is not None:
                return kept
            attempt = Attempt(self._dial, CONNECT, undo=_close, name="dialing")
            with self._kept.lock:
                self._attempt = attempt
            if self._is_cut:
                attempt.give_up()
        if not attempt.wait(max(0.0, until - time.monotonic())):
            return None
        self._attempt = None
        return Connection(attempt.result())

    def _send(self, connection: Connection, until: float) -> None:
        sock, unsent = connection.sock, self._unsent
        while True:
            piece = unsent[0]
            now = time.monotonic()
            left = min(until, self._moved + SENDING) - now
            # What TLS within TLS has begun to send cannot be taken up again.
            sock.settimeout(max(0.0, left) if connection.can_pause else SENDING)
            if self._is_cut:
                raise ConnectionEnded
            self._stage = Stage.SENT
            try:
                sent = sock.send(piece)
            except _NOT_YET:
                if not connection.can_pause:
                    raise
                sent = 0
            except (ConnectionError, ssl.SSLEOFError) as failure:  # TLS says the second
                # It may have been refused before all of it was there, and the refusal have come.
                self._not_taken = failure
                self._unsent = []
                return
            if sent == len(piece):
                del unsent[0]
                if not unsent:
                    return
            elif sent:
                # From now on in a view: what is left is not copied each time.
                unsent[0] = memoryview(piece)[sent:]
            now = time.monotonic()
            if sent:
                self._moved = now
            elif now - self._moved >= SENDING:
                raise TimeoutError
            if now >= until:
                return
            breathe()

    # ---- receiving

    def _received(self, until: float) -> list[Received]:
        if (
            self._unpacker is not None
            and self._unpacker.has_more
            and (received := self._unpacked(self._unpacker))
        ):
            return received
        if self._came:
            # Now, and not when it came: then it would have waited for its turn, too.
            if self._flood is None:
                self._flood = Flood()
            self._flood.came(self._came)
            self._came = 0
        connection = self._connection
        assert connection is not None
        sock = connection.sock
        while True:
            left = until - time.monotonic()
            sock.settimeout(left if left > 0 else 0.0)
            try:
                data = sock.recv(_READ_AT_ONCE)
            except _NOT_YET:
                return []
            except ssl.SSLZeroReturnError:  # as TLS within TLS says it
                data = b""
            if self._is_cut:
                raise ConnectionEnded
            received = self._read(data)
            if received or left <= 0:
                return received
            breathe()  # what is packed may be of many bytes that bring nothing

    def _read(self, data: bytes) -> list[Received]:
        """Return what *data* brings; nothing in it is the end of the connection."""
        reader = self._reader
        assert reader is not None
        received: list[Received] = []
        try:
            if data:
                reader.feed(data)
            elif not reader.end():
                self._failure = self._not_taken or ConnectionEnded()
        except ProtocolError as failure:
            self._failure = failure
        if self._stage is Stage.SENT and reader.head is not None:
            self._stage = Stage.HEAD
            received.append(reader.head)
            try:
                self._unpacker = unpacker_of(reader.head)
            except ProtocolError as failure:
                return received + self._failed(failure)
        if reader.is_complete:
            self._give_back(reader)
        body = reader.take()
        if self._unpacker is not None:
            self._unpacker.feed(body)
            return received + self._unpacked(self._unpacker)
        if body:
            self._came += len(data)
            received.append(body)
        if self._failure is not None:
            received += self._failed(self._failure)
        elif reader.is_complete:
            received.append(self._ended())
        return received

    def _unpacked(self, unpacker: Unpacker) -> list[Received]:
        received: list[Received] = []
        try:
            if body := unpacker.take():
                received.append(body)
                self._came += len(body)
            if unpacker.has_more:
                return received
            if self._connection is None:
                unpacker.end()
        except ProtocolError as failure:
            self._failure = failure
        if self._failure is not None:
            received += self._failed(self._failure)
        elif self._connection is None:
            received.append(self._ended())
        return received

    # ---- the end

    def _give_back(self, reader: AnswerReader) -> None:
        connection = self._connection
        assert connection is not None
        with self._kept.lock:
            self._connection = None
            is_kept = (
                reader.keeps_alive
                and self._not_taken is None
                and not self._is_cut
                and self._kept.keep(connection)
            )
        if not is_kept:
            connection.close()
        self._when_over(self)

    def _ended(self) -> End:
        self._is_over = True
        self._reader = self._unpacker = None
        return End()

    def _failed(self, failure: Exception) -> list[Received]:
        self._is_over = True
        self._let_go()
        let_go(failure)
        if self._is_woken:
            return []
        return [trouble(self._stage, ConnectionEnded() if self._is_cut else failure)]

    def _let_go(self) -> None:
        """Close what is open, and forget what may be large."""
        with self._kept.lock:
            connection, self._connection = self._connection, None
            attempt, self._attempt = self._attempt, None
            if connection is not None:
                connection.cut()
                connection.close()
        if attempt is not None:
            attempt.drop()
        self._unsent = []
        self._reader = self._unpacker = self._failure = self._not_taken = None
        self._when_over(self)


def unpacker_of(head: Head) -> Unpacker | None:
    """Return what unpacks the body behind *head*, if it is packed; raises `ProtocolError`."""
    coding = head.headers.get("Content-Encoding", "identity").lower()
    return None if coding == "identity" else Unpacker(coding)


def trouble(stage: Stage, failure: Exception) -> Trouble:
    """Return what *failure* means, without its text, which may hold addresses."""
    happened = ""
    if isinstance(failure, ConnectionEnded):
        happened = "was closed"
    elif isinstance(failure, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        happened = "was reset"
    return Trouble(
        stage,
        type(failure).__name__,
        timed_out=isinstance(failure, TimeoutError),
        bad_certificate=isinstance(failure, ssl.SSLCertVerificationError),
        happened=happened,
    )


def _close(sock: Any) -> None:
    Connection(sock).close()
