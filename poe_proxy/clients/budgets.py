"""What each client has used and may still use, wherever it is kept: the verbs that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol, TypeAlias

from poe_proxy.clients.client import Limits
from poe_proxy.values import value

#: The limits by their names in `CLIENTS`.
Name: TypeAlias = Literal[
    "per_minute", "at_a_time", "per_day", "tokens_per_day", "points_per_day", "points_per_month"
]
#: Those that are budgets: a client that has used one up comes again on another day.
BUDGETS: Final[frozenset[Name]] = frozenset(
    {"tokens_per_day", "points_per_day", "points_per_month"}
)


@value()
class Refused:
    """The limit that stands in the way of a request: the one that does so for longest."""

    limit: Name
    most: int
    #: Seconds until it does so no longer, as far as time alone decides that.
    seconds: float


@value(kw_only=True)
class Share:
    """One limit on what is counted within a time: what of it is left, and when all of it is."""

    most: int
    left: int
    seconds: float


@value(kw_only=True)
class Left:
    """What is left to a client of what is counted: of its limits on requests the one with the least
    left, and its budget of tokens; None where it has no such limit."""

    of_requests: Share | None = None
    of_tokens: Share | None = None


@value(kw_only=True)
class Standing:
    """What a client has used."""

    #: Requests that were sent on this day; and those that are under way.
    requests: int = 0
    under_way: int = 0
    tokens: int = 0
    points: int = 0
    #: How many of this day's points Poe itself told of; the others are estimated.
    exact_points: int = 0
    points_of_month: int = 0
    #: When its next day and its next month begin, in seconds since 1970.
    next_day: float = 0.0
    next_month: float = 0.0


class Budgets(Protocol):
    """Requests, tokens and points of each client.

    A client is known by its name, a request by its id, which is never used again. Only plain values
    go in and come out, so that they may be kept in this process or on another machine.

    *Atomic*: each verb is one step. *Clock*: the budgets have their own.
    """

    def replace(self, limits: Mapping[str, Limits], *, begins: float) -> None:
        """Know these clients with their *limits* from now on; what was used stays. Days begin so
        many seconds after midnight in UTC."""

    def check(self, name: str, request: str) -> Refused | None:
        """Hold a place for *request* and return None, or return what stands in its way.

        A place counts as a request: of a hundred that come together, no more pass than may be sent.
        What is under way may go beyond a budget of tokens or points, as nobody knows its cost.

        Raises `PoolUnavailable` if that cannot be known.
        """

    def charge(self, request: str) -> None:
        """Note that *request* is sent now; only the first time counts."""

    def add(
        self, request: str, *, tokens: int = 0, points: int = 0, is_exact: bool = False
    ) -> None:
        """End *request*, and add what it took; *is_exact* says whether Poe told of the points. A
        place that was never charged is given back."""

    def wait(self, name: str, request: str = "") -> float:
        """Return the seconds until `check` would hold a place, as if *request* were over."""

    def left(self, name: str, request: str = "") -> Left:
        """Return what is left to the client; a place that *request* holds is left out."""

    def standing(self, name: str) -> Standing:
        """Return what the client has used."""

    def standings(self, names: Iterable[str]) -> Mapping[str, Standing]:
        """Return what each of these clients has used, by name."""
