"""What is known of the tokens, wherever it is kept: the verbs that a ledger must have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from math import inf
from typing import Protocol

from poe_proxy.pool.limits import Limit
from poe_proxy.rules import MARGIN as MARGIN
from poe_proxy.values import value


def handle(bot: str) -> str:
    """Return the one spelling of a bot's handle: Poe does not regard case."""
    return bot.casefold()


class Standing(StrEnum):
    """What holds a token back, the gravest first; `FIT` if nothing does but its own leases."""

    RETIRED = "retired"
    SUSPENDED = "suspended"
    OUT_OF_POINTS = "out_of_points"
    #: The operator lets it rest.
    PAUSED = "paused"
    #: Poe said that it has to rest, for one bot or for all.
    LIMITED = "limited"
    #: Its own limits.
    RESTING = "resting"
    FIT = "fit"


@value()
class TokenState:
    """What is known of one token at one moment, for one bot or for any."""

    #: Whether it has room and nothing holds it back.
    is_free: bool
    #: How many leases have it.
    in_use: int
    #: Seconds until its rest is over and its limits allow a use: 0.0 if that is so now, `inf` if
    #: only `revive` can end it, or nothing.
    rest: float
    standing: Standing
    #: Why, in Poe's words where there are any; why it was struck, if it is fit but for that.
    reason: str = ""
    #: The `code` of the failure behind it; empty if there was none.
    code: str = ""
    #: Seconds until a suspended token may be looked at; 0.0 for one that is out of points, as
    #: that may be at any time; otherwise `inf`.
    next_look: float = inf
    #: Whether it has failed and not answered since, so that others are lent first.
    is_struck: bool = False


@value()
class Outlook:
    """What decides when a token can be used next, and after that."""

    #: Seconds since each use that its limits remember, the oldest first.
    uses: Sequence[float]
    #: Seconds until Poe's rests are over; `inf` if only `revive` can end it, or nothing.
    rest: float
    in_use: int
    #: Seconds until the rests for single bots are over.
    bots: Mapping[str, float] = field(default_factory=dict)
    #: Seconds until all that was sent has arrived at the latest. What is on its way counts among
    #: the uses as if it were sent this moment, and by then as one of that time.
    settles: float = 0.0


@value()
class Want:
    """What a lease in line could be served with."""

    lease: str
    #: Of the tokens that fit. A frozenset that wants share is the quickest in a long line.
    names: Collection[str]
    bot: str = ""
    #: Seconds that it will still wait. What rests for longer does not count as a choice.
    within: float = inf
    #: Whether it may be served with a token whose last use for the bot failed, although others
    #: could serve.
    probes: bool = True


@value()
class Served:
    """What `Ledger.serve` did."""

    #: The names of the tokens that were lent, by lease.
    lent: Mapping[str, str]
    #: Seconds until the passing of time alone may let the rest of the line be served; `inf` if
    #: only another verb can.
    due: float


class Ledger(Protocol):
    """Uses, rests, points and standing of each token, and which leases have it.

    A token is known by its name, a lease by its id; both are plain strings, and an id is never
    used again. Only plain values go in and come out, so the ledger may live in this process, in
    a file or on another machine.

    *Atomic*: each verb is one step. Several threads, or processes that share a store, may call
    at the same time, and between two calls anything may have changed.
    *Units*: times are seconds, as floats.
    *Clock*: the ledger has its own. Only durations go in and come out, so that processes that
    share a store need not agree on the time.
    *Bots*: handles, compared without regard to case; an empty one stands for no bot in particular.

    No verb waits for a token. A name that was never enlisted raises `KeyError`, but for `serve`,
    which ignores it.
    """

    def enlist(
        self, name: str, *, rank: int = 0, concurrency: int = 1, limits: Sequence[Limit] = ()
    ) -> None:
        """Make a token known, or change the terms of a known one; what is known of it stays.

        Lower ranks are lent first. *concurrency* is how many leases may have it at a time.
        """

    def withdraw(self, name: str) -> None:
        """Lend the token no more. Its leases go on, and what is known of it stays."""

    def serve(self, line: Iterable[Want]) -> Served:
        """Lend each free token to the first in *line* that it fits, all at the same moment.

        A token is free if it has room for one more lease, if none of its leases waits for its
        next `use`, and if no rest, limit or standing holds it back, for the bot of the want
        either. Of several, one of the lowest rank is lent, and of these the one that was lent
        least recently. A token that was struck is passed over while another of the names could
        serve within the time that the want has; once that is over it may be lent to one lease at
        a time that probes, until `clear`.

        A use is noted at once, to hold its place until something is sent. A lease that has a
        token already keeps it, and notes nothing.
        """

    def use(self, lease: str) -> float:
        """Note that something is sent now and return 0.0, or return the seconds until it may be.

        What `serve` noted does not stand in the way of the first use, which replaces it; each
        further use counts as one more. Whatever holds the token back holds back the use: limits,
        rests, also for the bot, and standing, for which it returns `inf`. After any result but
        0.0 the token is not lent again until *lease* has had its use, or is given back.

        Raises `KeyError` if *lease* has no token.
        """

    def arrived(self, lease: str) -> None:
        """Note that the last use of *lease* has arrived at Poe by now.

        Until then a use counts as if it were sent this moment, for `MARGIN` seconds at most: it
        is then somewhere on its way, and Poe counts it from its arrival. Does nothing if all uses
        have arrived, or if *lease* has no token.
        """

    def give_back(self, lease: str) -> None:
        """End *lease*; its uses stay noted. Does nothing if it has no token, or no longer.

        A use that has not arrived is on its way still: a client that hangs up calls nothing back.
        It counts as if it were sent this moment until `MARGIN` seconds after its sending.
        """

    def rest(
        self, name: str, seconds: float, reason: str = "", code: str = "", *, bot: str = ""
    ) -> None:
        """Hold the token back for *seconds*, for *bot* or for all; one that ends later stays."""

    def strike(self, name: str, reason: str = "", *, bot: str = "", costly: bool = False) -> None:
        """Note that the token failed, for *bot* or for all: for a while others are lent first.

        For how long grows with each strike, as `health.backoff` says, until `clear`; strikes
        before that time is over count as one. *costly* is whether a client lost its request.
        """

    def clear(self, name: str, *, bot: str = "") -> bool:
        """Note that the token answered for *bot*: strikes, also those for all bots, are over.
        Return whether there were any."""

    def exhaust(self, name: str, reason: str = "") -> None:
        """Note that the account is out of points: its token rests until `revive`."""

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        """Set the token aside until `revive`; it is to be looked at again after a while.

        After each refusal that a look finds, the next look is later, as `health.next_look` says;
        after the last of them the token is retired. Refusals while no look is due say nothing new.
        """

    def reconsider(self, name: str) -> None:
        """Let a token that is suspended or retired be looked at now: it may be accepted again."""

    def revive(self, name: str) -> None:
        """End what `exhaust` and `suspend` began, and each `rest` for want of points, as its code
        says. What Poe said of its pace stays, and what failed, and retirement."""

    def pause(self, name: str, seconds: float) -> None:
        """Hold the token back for *seconds*, because the operator says so; `inf`: until
        `bring_back`. What was said of it before holds no longer."""

    def bring_back(self, name: str) -> None:
        """End all that holds the token back but its own limits, and forget what failed: the
        operator says so. What Poe still has against it, it will say again."""

    def retire(self, name: str, reason: str) -> None:
        """Set the token aside for good. *reason* is for the operator to read."""

    def state(self, names: Collection[str], *, bot: str = "") -> Mapping[str, TokenState]:
        """Return what is known of each of *names* for *bot*, all at the same moment, by name."""

    def outlook(self, names: Collection[str]) -> Mapping[str, Outlook]:
        """Return what decides when each of *names* can be used next, by name."""
