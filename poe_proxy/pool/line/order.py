"""The order in which requests are served: values only, without a clock and without a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from poe_proxy.rules import HEAD_START, STEP

#: The priority of those that have none of their own.
USUAL: Final = 5


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
    def priority(self) -> int:
        """How much it is preferred to others: the higher, the more."""

    @property
    def joined(self) -> float:
        """When it came."""


P = TypeVar("P", bound=Place)
K = TypeVar("K")


class Line(Generic[P]):
    """Requests in the order in which they came, but for this: of those that want the same tokens,
    a higher priority goes before a lower one; and of one client, streamed answers go before whole
    ones, in the places that its requests hold.

    Each step of priority counts as `STEP` seconds of waiting: what has waited for longer than that
    is not overtaken. A chat does not wait for the title and the tags that its own client asked for
    just before it, and no other client loses anything by that; a whole answer that has waited for
    `HEAD_START` seconds is overtaken by no stream that comes then. What waits for other tokens is
    never overtaken. All that is decided when a request comes: whoever is served, or leaves, changes
    nothing for the others.
    """

    def __init__(self) -> None:
        #: What came, by number, in the order of serving. Whoever overtakes others has the number
        #: of the first of them, each of these that of the next one, and the last one the newest:
        #: the numbers of all others stay as they are.
        self._places: dict[int, P] = {}
        self._numbers: dict[str, int] = {}
        self._next = 0
        self._whole: Counter[str] = Counter()
        self._priorities: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[P]:
        return iter(self._places.values())

    def add(self, place: P) -> None:
        """Let *place* join the line."""
        overtakes = self.would_overtake(place)
        self._next += 1
        self._put(place, self._next)
        self._priorities[place.priority] += 1
        if place.client and not place.streams:
            self._whole[place.client] += 1
        if overtakes:
            self._overtake(place)

    def remove(self, place: P) -> bool:
        """Let *place* leave the line; return whether it was there."""
        number = self._numbers.pop(place.id, None)
        if number is None:
            return False
        del self._places[number]
        _count_down(self._priorities, place.priority)
        if place.client and not place.streams:
            _count_down(self._whole, place.client)
        return True

    def would_overtake(self, place: P) -> bool:
        """Return whether *place* might go before others that came earlier."""
        if place.streams and place.client in self._whole:
            return True
        mine = place.priority
        return any(mine > priority for priority in self._priorities)

    def in_order(self) -> Sequence[P]:
        """Return the places in the order in which they are served."""
        return list(self._places.values())

    def _overtake(self, place: P) -> None:
        """Let *place*, which came last, go before those that it overtakes."""
        alike = [number for number, one in self._places.items() if one.names == place.names]
        came = _since(place)
        # The requests of one client have one priority, but for a reload; their order stays.
        self._move_up(place, alike, lambda one: _since(one) > came and not _are_of_one(one, place))
        if place.streams and place.client:
            own = [number for number in alike if self._places[number].client == place.client]
            latest = place.joined - HEAD_START
            self._move_up(place, own, lambda one: not one.streams and one.joined > latest)

    def _move_up(self, place: P, numbers: Sequence[int], yields: Callable[[P], bool]) -> None:
        """Let *place* go before those right before it that yield, among those of these *numbers*;
        one that does not yield ends it."""
        at = self._numbers[place.id]
        for number in reversed(numbers):
            if number >= at:
                continue
            other = self._places[number]
            if not yields(other):
                break
            self._put(other, at)
            at = number
        self._put(place, at)

    def _put(self, place: P, number: int) -> None:
        self._places[number] = place
        self._numbers[place.id] = number


def _since(place: Place) -> float:
    """Return since when a place counts as waiting: its priority puts that back."""
    return place.joined - STEP * place.priority


def _are_of_one(one: Place, other: Place) -> bool:
    """Whether both are of one client."""
    return one.client == other.client != ""


def _count_down(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
