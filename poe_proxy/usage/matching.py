"""Which charges of Poe's history are for which requests. Free of I/O.

Nothing in a reply names its charge (official API sheet §8): bot and time must do. A charge fits a
request if it is of the same bot, and was made while the request was under way. What fits each other
forms a knot, and a knot is only untied if the charges in it are as many as the requests have asked
for, and all requests are of one client: then its sum is exact, whoever asked first. Anything else
remains an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from poe_proxy.net.pacing import breathe
from poe_proxy.usage.rows import MICROSECONDS

#: Seconds by which Poe's clock may differ from ours, the way there included.
APART: Final = 3
#: The most requests of a knot that is untied: of more, too much may be by chance.
MOST_TIED: Final = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that an account has answered."""

    id: int
    client: str
    bot: str
    #: When it was sent and when its answer had ended, in microseconds since 1970.
    sent: int
    ended: int
    #: How often it was sent.
    sends: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A charge of the account."""

    id: str
    bot: str
    at: int
    points: int


def matched(
    requests: Iterable[Sent], charges: Iterable[Taken], complete: float = inf
) -> Iterator[tuple[Sent, list[Taken]]]:
    """Yield each request whose charges are certain, with them. Bots are the same if their names
    are. All charges before *complete* are there, in microseconds since 1970."""
    by_bot: dict[str, tuple[list[Sent], list[Taken]]] = {}
    for request in requests:
        by_bot.setdefault(request.bot, ([], []))[0].append(request)
    for charge in charges:
        if charge.bot in by_bot:
            by_bot[charge.bot][1].append(charge)
    for of_bot in by_bot.values():
        yield from _matched(*of_bot, complete)


def _matched(
    requests: list[Sent], charges: list[Taken], complete: float
) -> Iterator[tuple[Sent, list[Taken]]]:
    """Do so for one bot, in one way along the time."""
    requests.sort(key=lambda one: (one.sent, one.id))
    charges.sort(key=lambda one: (one.at, one.id))
    apart = APART * MICROSECONDS
    next_charge = next_request = 0
    while next_request < len(requests):
        knot = [requests[next_request]]
        # What belongs to no request comes before the first of a knot.
        while next_charge < len(charges) and charges[next_charge].at < knot[0].sent - apart:
            next_charge += 1
        until = knot[0].ended + apart
        next_request += 1
        while next_request < len(requests) and requests[next_request].sent - apart <= until:
            knot.append(requests[next_request])
            until = max(until, requests[next_request].ended + apart)
            next_request += 1
        first = next_charge
        while next_charge < len(charges) and charges[next_charge].at <= until:
            next_charge += 1
        if until < complete:
            yield from _untied(knot, charges[first:next_charge])
        breathe()


def _untied(knot: Sequence[Sent], charges: Sequence[Taken]) -> Iterator[tuple[Sent, list[Taken]]]:
    sends = sum(one.sends for one in knot)
    if not charges or len(charges) != sends or len(knot) > MOST_TIED:
        return
    if len({one.client for one in knot}) > 1 and not _are_apart(knot, charges):
        return
    left = iter(charges)
    for request in knot:
        yield request, [next(left) for _ in range(request.sends)]


def _are_apart(knot: Sequence[Sent], charges: Sequence[Taken]) -> bool:
    """Whether each charge lies within one request of the knot alone."""
    apart = APART * MICROSECONDS
    left = iter(charges)
    for place, request in enumerate(knot):
        own = [next(left) for _ in range(request.sends)]
        others = (*knot[:place], *knot[place + 1 :])
        if not all(
            request.sent - apart <= one.at <= request.ended + apart
            and not any(other.sent - apart <= one.at <= other.ended + apart for other in others)
            for one in own
        ):
            return False
    return True


def names(bots: Iterable[tuple[str, ...]]) -> Mapping[str, str]:
    """Return one name for each name in *bots*, which has the names of each bot."""
    found: dict[str, str] = {}
    for all_of_them in bots:
        for name in all_of_them:
            if name:
                found.setdefault(plain(name), plain(all_of_them[0]))
    return found


def plain(name: str) -> str:
    """Return a bot's name without what is written in several ways: case, blanks and signs."""
    return "".join(one for one in name.lower() if one.isalnum())
