"""What failed on one token, and how long that is remembered.

Without a clock and without a lock: the ledger has both. All times are on its clock. Bots are
spelled as `ledger.handle` does it; an empty one stands for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from poe_proxy.errors import TokenExhausted
from poe_proxy.pool.ledger import Standing
from poe_proxy.pool.store import Note
from poe_proxy.rules import (
    FIRST_BACKOFF,
    FIRST_COSTLY_BACKOFF,
    FORGIVEN_AFTER,
    LOOKS,
    MOST_BACKOFF,
    MOST_COSTLY_BACKOFF,
)

#: The refusals, a look apart, after which a token is retired.
LAST_REFUSAL: Final = len(LOOKS) + 1


def backoff(strikes: int, *, costly: bool = False) -> float:
    """Return the seconds for which a token is passed over after so many *strikes* in a row."""
    first, most = FIRST_BACKOFF, MOST_BACKOFF
    if costly:
        first, most = FIRST_COSTLY_BACKOFF, MOST_COSTLY_BACKOFF
    return min(most, first * 2.0 ** min(strikes - 1, 30))


def next_look(refusals: int) -> float | None:
    """Return the seconds until the look that follows so many *refusals*; None: there is none."""
    return LOOKS[refusals - 1] if refusals < LAST_REFUSAL else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds a token back, and why."""

    standing: Standing
    reason: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """Poe said that the token has to rest."""

    until: float
    reason: str
    code: str


@dataclass(slots=True)
class Strike:
    """The token failed, or did so several times in a row: others are lent first."""

    count: int
    until: float
    reason: str
    #: The lease that probes whether the token works again.
    probe: str | None = None

    @property
    def forgotten_at(self) -> float:
        return self.until + FORGIVEN_AFTER


@dataclass(frozen=True, slots=True)
class Suspension:
    """Poe refused the token, or did so at several looks in a row."""

    count: int
    #: When it may be looked at, and from when on a refusal counts as one more.
    look_at: float
    due: float
    reason: str
    code: str


@dataclass(eq=False, slots=True)
class Health:
    """What holds one token back beside its limits, and the strikes against it."""

    #: By bot.
    rests: dict[str, Rest] = field(default_factory=dict)
    strikes: dict[str, Strike] = field(default_factory=dict)
    #: Why there are no points; None if there are some.
    no_points: str | None = None
    #: Until when the operator lets it rest.
    paused_until: float = -inf
    suspension: Suspension | None = None
    retirement: Verdict | None = None

    # ---- how it is

    def rest(self, now: float, bot: str = "") -> float:
        """Return the seconds until Poe and the operator let it go on; `inf` if time alone does not
        help.

        Less than nothing if that was so long ago.
        """
        if self.retirement or self.suspension or self.no_points is not None:
            return inf
        paused = self.paused_until - now
        if not self.rests:
            return max(0.0, paused)
        return max(paused, max((rest.until - now for rest in self._rests_for(bot)), default=0.0))

    def verdict(self, now: float, bot: str) -> Verdict | None:
        """Return the gravest of what holds it back for *bot*; None if nothing does."""
        if self.retirement:
            return self.retirement
        if self.suspension:
            return Verdict(Standing.SUSPENDED, self.suspension.reason, self.suspension.code)
        if self.no_points is not None:
            return Verdict(Standing.OUT_OF_POINTS, self.no_points)
        if self.paused_until > now:
            return Verdict(Standing.PAUSED, code=Standing.PAUSED)
        last = max(self._rests_for(bot), key=lambda rest: rest.until, default=None)
        if last and last.until > now:
            return Verdict(Standing.LIMITED, last.reason, last.code)
        return None

    def rests_of_bots(self, now: float) -> dict[str, float]:
        """Return the seconds until the rests for single bots are over."""
        return {
            bot: rest.until - now for bot, rest in self.rests.items() if bot and rest.until > now
        }

    def next_look(self, now: float) -> float:
        """Return the seconds until it may be looked at, as `TokenState.next_look`."""
        if self.retirement:
            return inf
        if self.suspension:
            return max(0.0, self.suspension.look_at - now)
        return inf if self.no_points is None else 0.0

    def _rests_for(self, bot: str) -> Iterator[Rest]:
        return (rest for about, rest in self.rests.items() if about in ("", bot))

    def strikes_for(self, bot: str, now: float) -> list[Strike]:
        """Return what is remembered against it for *bot*: a strike for it, or for all, or both."""
        if not self.strikes:
            return []
        return [
            strike
            for about, strike in self.strikes.items()
            if about in ("", bot) and now < strike.forgotten_at
        ]

    # ---- what happens to it

    def set_to_rest(self, seconds: float, reason: str, code: str, bot: str, now: float) -> None:
        """Note a rest; one that ends later stays."""
        known = self.rests.get(bot)
        if known is None or known.until < now + seconds:
            self.rests[bot] = Rest(now + seconds, reason, code)

    def strike(self, reason: str, bot: str, now: float, *, costly: bool = False) -> None:
        """Note a failure; one that is forgotten does not count."""
        known = self.strikes.get(bot)
        if known is None or known.forgotten_at <= now:
            known = self.strikes[bot] = Strike(0, now, reason)
        if known.until <= now:
            # Requests that were under way together fail together: that counts once.
            known.count += 1
        known.until = max(known.until, now + backoff(known.count, costly=costly))
        known.reason = reason

    def clear(self, bot: str) -> bool:
        """Forget the failures for *bot* and for all; return whether there were any."""
        if not self.strikes:
            return False
        known = [self.strikes.pop(about, None) for about in {"", bot}]
        return any(known)

    def suspend(self, reason: str, code: str, now: float) -> None:
        """Note a refusal by Poe, unless a look is still to come."""
        known = self.suspension
        if known and now < known.due:
            # Requests that were under way together are refused together, and a look that comes too
            # early says nothing new: that is one refusal.
            if known.look_at <= now:
                self.suspension = replace(known, look_at=known.due)
            return
        count = known.count + 1 if known else 1
        look = next_look(count)
        if look is None:
            self.retire(reason, code)
        else:
            self.suspension = Suspension(count, now + look, now + look, reason, code)

    def reconsider(self, now: float) -> None:
        """Let a refusal be looked at anew, and now; that of a retired token for one last time."""
        if retired := self.retirement:
            count = LAST_REFUSAL - 1
            self.suspension = Suspension(count, now, now, retired.reason, retired.code)
            self.retirement = None
        elif self.suspension:
            self.suspension = replace(self.suspension, look_at=now)

    def revive(self) -> None:
        """Forget what a look at its account disproves: that it is refused, or without points."""
        self.no_points = self.suspension = None
        self.rests = {
            bot: rest for bot, rest in self.rests.items() if rest.code != TokenExhausted.code
        }

    def forget(self) -> None:
        """Forget all that holds it back, and its failures."""
        self.rests, self.strikes = {}, {}
        self.no_points = self.suspension = self.retirement = None
        self.paused_until = -inf

    def retire(self, reason: str, code: str = "") -> None:
        """Note that nothing brings it back."""
        self.retirement = Verdict(Standing.RETIRED, reason, code)

    def release(self, lease: str) -> None:
        """Let another lease probe what *lease* did."""
        for strike in self.strikes.values():
            if strike.probe == lease:
                strike.probe = None

    # ---- what outlives the process

    def notes(self, now: float) -> Iterator[Note]:
        """Return all that is known; what is over is forgotten."""
        self.rests = {bot: rest for bot, rest in self.rests.items() if rest.until > now}
        self.strikes = {bot: one for bot, one in self.strikes.items() if one.forgotten_at > now}
        for bot, rest in self.rests.items():
            yield Note("rest", bot, rest.until - now, rest.reason, rest.code)
        for bot, strike in self.strikes.items():
            yield Note("strike", bot, strike.until - now, strike.reason, count=strike.count)
        if self.no_points is not None:
            yield Note("points", reason=self.no_points)
        if self.paused_until > now:
            yield Note("paused", seconds=self.paused_until - now)
        if refused := self.suspension:
            seconds = refused.due - now
            yield Note("suspended", "", seconds, refused.reason, refused.code, refused.count)
        if self.retirement:
            yield Note("retired", reason=self.retirement.reason, code=self.retirement.code)

    def take(self, note: Note, now: float) -> None:
        """Take up what a process before this one knew."""
        until = now + note.seconds
        match note.cause:
            case "rest":
                self.rests[note.bot] = Rest(until, note.reason, note.code)
            case "strike":
                self.strikes[note.bot] = Strike(note.count, until, note.reason)
            case "points":
                self.no_points = note.reason
            case "paused":
                self.paused_until = until
            case "suspended":
                self.suspension = Suspension(note.count, until, until, note.reason, note.code)
            case "retired":
                self.retire(note.reason, note.code)
