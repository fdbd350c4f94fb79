"""What is known of the tokens, wherever it is kept: the verbs that a store must have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from poe_proxy.pool.limits import Limit


@dataclass(frozen=True, slots=True)
class TokenState:
    """What is known of one token at one moment."""

    #: Whether `Ledger.take` would lend it now.
    is_free: bool
    #: How many leases have it.
    in_use: int
    #: Seconds until its rest is over and its limits allow a use: 0.0 if that is so now, `inf` if
    #: it is out of points or retired.
    rest: float
    #: Whether it rests until `Ledger.revive`.
    is_out_of_points: bool
    #: Why Poe no longer takes it; None while it does.
    retired: str | None


class Ledger(Protocol):
    """Uses, rests, points and retirement of each token, and which leases have it.

    A token is known by its name, a lease by its id; both are plain strings, and an id is never
    used again. Only plain values go in and come out, so the ledger may live in this process, in
    a file or on another machine.

    *Atomic*: each verb is one step. Several threads, or processes that share a store, may call
    at the same time, and between two calls anything may have changed.
    *Units*: times are seconds, as floats.
    *Clock*: the ledger has its own. Only durations go in and come out, so that processes that
    share a store need not agree on the time.

    No verb waits for a token. A name that was never enlisted raises `KeyError`; only `take`
    ignores it.
    """

    def enlist(
        self, name: str, *, rank: int = 0, concurrency: int = 1, limits: Sequence[Limit] = ()
    ) -> None:
        """Make a token known, or change the terms of a known one; what is known of it stays.

        Lower ranks are lent first. *concurrency* is how many leases may have it at a time.
        """

    def take(self, names: Collection[str], lease: str) -> str | None:
        """Lend one of *names* to *lease*; return its name, or None if none of them is free.

        A token is free if it has room for one more lease, if none of its leases waits for its
        next `use`, and if no rest, limit or retirement holds it back. Of several, one of the
        lowest rank is lent, and of these the one that was lent least recently.

        A use is noted at once, to hold its place until something is sent. The same call once
        more returns the same token, and notes nothing.
        """

    def use(self, lease: str) -> float:
        """Note that something is sent now and return 0.0, or return the seconds until it may be.

        What `take` noted does not stand in the way of the first use, which replaces it; each
        further use counts as one more. Only limits are heeded. After any result but 0.0 the
        token is not lent again until *lease* has had its use, or is given back.

        Raises `KeyError` if *lease* has no token.
        """

    def give_back(self, lease: str) -> None:
        """End *lease*; its uses stay noted. Does nothing if it has no token, or no longer."""

    def rest(self, name: str, seconds: float) -> None:
        """Hold the token back for *seconds*; a rest that ends later stays as it is."""

    def exhaust(self, name: str) -> None:
        """Note that the account is out of points: its token rests until `revive`."""

    def revive(self, name: str) -> None:
        """End each rest that `rest` and `exhaust` began; limits and retirement stay."""

    def retire(self, name: str, reason: str) -> None:
        """Set the token aside for good. *reason* is for the operator to read."""

    def state(self, names: Collection[str]) -> Mapping[str, TokenState]:
        """Return what is known of each of *names*, all at the same moment, by name."""
