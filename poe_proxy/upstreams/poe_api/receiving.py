"""What is received of an answer, as reply events, whichever of the routes it comes by. Free of I/O.

Official API sheet §3 and §5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from poe_proxy import sse
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, ReplyEvent
from poe_proxy.errors import UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.net.http1 import Head
from poe_proxy.net.pacing import IN_A_ROW, LARGE, Flood
from poe_proxy.net.transfer import End, Received, Trouble
from poe_proxy.upstreams.merging import Together
from poe_proxy.upstreams.poe_api import answers, failures, native, wire

#: The most bytes of a refusal, of a whole answer, and of one event of a stream.
_MAX_ERROR: Final = 100_000
_MAX_ANSWER: Final = 20_000_000
MAX_EVENT: Final = 4_000_000

#: Bytes of a stream that are taken apart in one go: as many lines take a hundredth of a second.
AT_ONCE: Final = 65_536
#: Events that are read in one go: as many plain ones take a quarter of a millisecond. With a turn
#: for the others after each `IN_A_ROW`, one would take 3.3 µs in place of 2.0.
IN_A_GO: Final = 4 * IN_A_ROW


class Stream(Protocol):
    """A streamed answer by one of the routes: the data of SSE events in, reply events out."""

    is_over: bool

    def read(self, found: Iterable[bytes], said: Together) -> None: ...

    def feed(self, data: bytes) -> list[ReplyEvent]: ...

    def close(self) -> list[ReplyEvent]: ...


@dataclass(frozen=True, slots=True)
class Route:
    """One of the routes on which Poe is asked for answers, and how its answers are read."""

    path: str
    headers: Mapping[str, str]
    stream: Callable[[Budget], Stream]
    whole: Callable[[bytes | bytearray, Budget], list[ReplyEvent]]


CHAT: Final = Route("/v1/chat/completions", {}, answers.Stream, answers.whole_answer)
MESSAGES: Final = Route(native.PATH, native.HEADERS, native.Stream, native.whole_answer)


class BodyReader:
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
            case Trouble():
                # The same if its explanation broke off.
                self.check()
                raise wire.failure(received)

    @property
    def is_good(self) -> bool:
        """Whether the status says that the body is what was asked for."""
        return self.head is not None and self.head.status == 200

    def check(self) -> None:
        """Raise what the status means, with as much of the body as is there, unless it is good."""
        if self.head is not None and not self.is_good:
            raise failures.of_answer(self.head.status, self.head.headers, bytes(self.body))


class AnswerReader:
    """What is received in, reply events out, whether the answer is streamed or whole."""

    def __init__(self, route: Route, budget: Budget) -> None:
        self.route = route
        #: Whether the bot has said anything.
        self.has_spoken = False
        #: Whether `Done` has been returned.
        self.is_over = False
        self._budget = budget
        self._body = BodyReader(_MAX_ANSWER)
        self._decoder = sse.Decoder(at_most=MAX_EVENT)
        self._stream: Stream | None = None
        self._said = Together()
        self._flood = Flood()
        #: Events, and as much as counts for one, that the flood has not been told of.
        self._came = 0

    @property
    def is_refusal(self) -> bool:
        """Whether the status says that there is no answer."""
        return self._body.head is not None and not self._body.is_good

    def refuse(self) -> None:
        """Raise the refusal without waiting for the rest of it."""
        self._body.check()

    def take(self, received: Received) -> None:
        """Take what came; raises the `UpstreamError` that it is or means. What was said before it
        is kept for `said`."""
        stream = self._stream
        if stream is not None and stream.is_over:
            return
        if stream is not None and isinstance(received, bytes):
            if len(received) <= AT_ONCE:
                self._take_apart(stream, received)
                return
            for start in range(0, len(received), AT_ONCE):
                self._take_apart(stream, received[start : start + AT_ONCE])
        elif stream is not None and isinstance(received, End):
            self._end(stream)
        else:
            self._body.take(received)
            if isinstance(received, Head) and _is_stream(received):
                self._stream = self.route.stream(self._budget)
            elif isinstance(received, End):
                self._said.add(self.route.whole(self._body.body, self._budget))

    def said(self) -> list[ReplyEvent]:
        """Return what all means that was taken since the last call, up to `Done`; texts in a row
        are one."""
        events = self._said.taken()
        if events:
            self.has_spoken = True
            self.is_over = isinstance(events[-1], Done)
        return events

    def _take_apart(self, stream: Stream, piece: bytes) -> None:
        try:
            found = self._decoder.feed(piece)
        except ValueError:
            raise UpstreamProtocolError("Poe's answer is too large.") from None
        if not found:
            self._flood.came(len(piece))  # it may be of many lines
            return
        # Half a megabyte of events that say nothing may come at once.
        self._came += len(piece) // LARGE
        if len(found) <= IN_A_GO:
            self._read(stream, found)
            return
        for at in range(0, len(found), IN_A_GO):
            self._read(stream, found[at : at + IN_A_GO])

    def _read(self, stream: Stream, found: Sequence[bytes]) -> None:
        stream.read(found, self._said)
        self._came += len(found)
        # Told of each event, it would take a fifth of the time of a plain one.
        if self._came >= IN_A_GO:
            self._flood.came((self._came - 1) * LARGE)
            self._came = 0

    def _end(self, stream: Stream) -> None:
        for data in self._decoder.flush():
            try:
                self._said.add(stream.feed(data))
            except UpstreamProtocolError:
                raise UpstreamInterrupted("Poe's reply broke off in a chunk.") from None
        self._said.add(stream.close())


def _is_stream(head: Head) -> bool:
    kind = head.headers.get("Content-Type", "")
    return head.status == 200 and kind.lower().startswith("text/event-stream")
