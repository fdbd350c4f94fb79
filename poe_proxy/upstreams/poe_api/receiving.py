"""What is received of an answer, as reply events, whichever of the routes it comes by. Free of I/O.

Official API sheet §3 and §5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from poe_proxy import sse
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, ReplyEvent
from poe_proxy.errors import UpstreamError, UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.net.pacing import Flood
from poe_proxy.upstreams.merging import merged
from poe_proxy.upstreams.poe_api import answers, failures, native
from poe_proxy.upstreams.poe_api.wire import End, Head, Received

#: The most bytes of a refusal, of a whole answer, and of one event of a stream.
_MAX_ERROR: Final = 100_000
_MAX_ANSWER: Final = 20_000_000
MAX_EVENT: Final = 4_000_000

#: Bytes of a stream that are taken apart in one go: as many lines take a hundredth of a second.
AT_ONCE: Final = 65_536
#: Events of one answer from which on those that have come together are passed on together: each one
#: costs as much as a kilobyte of text.
MANY: Final = 256


class Stream(Protocol):
    """A streamed answer by one of the routes: the data of SSE events in, reply events out."""

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


class AnswerReader:
    """What is received in, reply events out, whether the answer is streamed or whole."""

    def __init__(self, route: Route, budget: Budget) -> None:
        self._route = route
        #: Whether the bot has said anything.
        self.has_spoken = False
        #: Whether `Done` has been yielded.
        self.is_over = False
        self._budget = budget
        #: When a refusal is taken as it is, although it is not complete; None if it is none.
        self.refused_by: float | None = None
        self._body = BodyReader(_MAX_ANSWER)
        self._decoder = sse.Decoder(at_most=MAX_EVENT)
        self._stream: Stream | None = None
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
                self._stream = self._route.stream(self._budget)
            elif isinstance(received, End):
                yield from self._route.whole(self._body.body, self._budget)
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

    def _fed(self, stream: Stream, events: list[bytes]) -> Iterator[ReplyEvent]:
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
