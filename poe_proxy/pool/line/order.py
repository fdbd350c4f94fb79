"""The order in which requests are served: values only, without a clock and without a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

#: Seconds by which a streamed answer is taken to have come earlier than it did, where it is to be
#: served before or after a whole one of its own client: no whole answer is overtaken for longer.
HEAD_START: Final = 5.0


class Place(Protocol):
    """What the line has to know of a request that waits."""

    @property
    def id(self) -> str:
        """Its own, and no other's."""

    @property
    def names(self) -> frozenset[str]:
        """The tokens that fit it."""

    @property
    def client(self) -> str:
        """The key of its client; empty if it has none."""

    @property
    def streams(self) -> bool:
        """Whether its client reads the answer as it is written, and so is waiting for it."""

    @property
    def joined(self) -> float:
        """When it came."""


P = TypeVar("P", bound=Place)


class Line(Generic[P]):
    """Requests in the order in which they came, but for this: of one client, and for the same
    tokens, streamed answers go before whole ones, in the places that these requests hold.

    So a chat does not wait for the title and the tags that its own client asked for just before
    it, and no other client loses anything. A whole answer that has waited for `HEAD_START` seconds
    is overtaken by no stream that comes then. The order of two requests never changes.
    """

    def __init__(self) -> None:
        #: What came, by number, in rising order. What is served, or leaves, takes the number with
        #: it that it was to be served by; those of its client keep the order in which they came.
        self._places: dict[int, P] = {}
        self._numbers: dict[str, int] = {}
        self._next = 0
        self._streamed: Counter[str] = Counter()
        self._whole: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[P]:
        return iter(self._places.values())

    def add(self, place: P) -> None:
        """Let *place* join the line."""
        self._next += 1
        self._places[self._next] = place
        self._numbers[place.id] = self._next
        if place.client:
            (self._streamed if place.streams else self._whole)[place.client] += 1

    def remove(self, place: P) -> bool:
        """Let *place* leave the line; return whether it was there."""
        if place.id not in self._numbers:
            return False
        if self._is_mixed(place.client):
            self._move_up(place)
        del self._places[self._numbers.pop(place.id)]
        if place.client:
            count = self._streamed if place.streams else self._whole
            count[place.client] -= 1
            if not count[place.client]:
                del count[place.client]
        return True

    def would_overtake(self, place: P) -> bool:
        """Return whether *place* might go before others that came earlier."""
        return place.streams and place.client in self._whole

    def in_order(self) -> Sequence[P]:
        """Return the places in the order in which they are served."""
        if not self._streamed.keys() & self._whole.keys():
            return list(self._places.values())
        held: dict[tuple[str, frozenset[str]], list[int]] = {}
        for number, place in self._places.items():
            if self._is_mixed(place.client):
                held.setdefault((place.client, place.names), []).append(number)
        ordered = self._places.copy()
        for numbers in held.values():
            requests = _streamed_first([self._places[number] for number in numbers])
            ordered.update(zip(numbers, requests, strict=True))
        return list(ordered.values())

    def _is_mixed(self, client: str) -> bool:
        return client in self._streamed and client in self._whole

    def _move_up(self, place: P) -> None:
        """Let *place* have the number that it is to be served by; others may get other ones."""
        numbers = [
            number
            for number, other in self._places.items()
            if other.client == place.client and other.names == place.names
        ]
        came = [self._places[number] for number in numbers]
        at = _streamed_first(came).index(place)
        came.remove(place)
        came.insert(at, place)
        for number, other in zip(numbers, came, strict=True):
            self._places[number] = other
            self._numbers[other.id] = number


def _streamed_first(requests: Sequence[P]) -> list[P]:
    """Return the requests of one client, given as they came, in the order of serving."""
    return sorted(requests, key=lambda one: one.joined - HEAD_START * one.streams)
