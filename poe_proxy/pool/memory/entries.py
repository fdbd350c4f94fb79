"""All that is known of one token, and whether it may be lent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from poe_proxy.pool.ledger import Outlook, Standing, TokenState
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.memory.health import Health, Verdict
from poe_proxy.pool.memory.uses import Uses
from poe_proxy.pool.store import Store


@dataclass(eq=False, slots=True)
class Entry:
    """One token. Bots are spelled as `ledger.handle` does it."""

    name: str
    store: Store
    uses: Uses = field(init=False)
    health: Health = field(default_factory=Health)
    #: Whether it may be lent at all; otherwise it was withdrawn.
    is_enlisted: bool = False
    rank: int = 0
    concurrency: int = 1
    #: When it was last lent: the number of that loan among all loans.
    turn: int = 0
    in_use: int = 0
    #: Leases that wait for their next use.
    waiting: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.uses = Uses(self.name, self.store)

    def set_limits(self, limits: Sequence[Limit], clock: Callable[[], float]) -> None:
        """Change the limits; what the new ones have to know of comes from the store."""
        known_for = self.uses.window
        self.uses.set_limits(limits, clock())
        if self.uses.window <= known_for:
            return
        remembered = self.store.recall(self.name, self.uses.window)
        # Only now: ages are those at the moment of reading, and a file takes its time. With an
        # earlier one each use would be older than it is, and the next pause too short.
        now = clock()
        self.uses.remember([age for age in remembered.uses if age > known_for], now)
        if known_for < 0.0:
            for note in remembered.notes:
                self.health.take(note, now)

    def keep(self, now: float) -> None:
        """Let the store keep what holds it back."""
        self.store.keep_notes(self.name, list(self.health.notes(now)))

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among the tokens, the next to be lent first."""
        return self.rank, self.turn

    @property
    def has_room(self) -> bool:
        """Whether it may be lent once more as far as its leases go."""
        return self.in_use < self.concurrency and not self.waiting

    def rest(self, now: float, bot: str = "") -> float:
        """Return the seconds until nothing else holds it back, as `TokenState.rest`."""
        rest = self.health.rest(now, bot)
        return rest if rest == inf else max(rest, self.uses.wait(now))

    def is_free(self, now: float, bot: str = "") -> bool:
        """Return whether it may be lent now, strikes aside."""
        return self.has_room and self.rest(now, bot) <= 0.0

    def is_struck(self, now: float, bot: str) -> bool:
        """Return whether others are lent first."""
        return bool(self.health.strikes_for(bot, now))

    def may_be_probed(self, now: float, bot: str) -> bool:
        """Return whether a lease may probe whether it works again."""
        strikes = self.health.strikes_for(bot, now)
        return all(strike.until <= now and strike.probe is None for strike in strikes)

    def backoff_ends(self, now: float, bot: str) -> float:
        """Return when the last backoff of its strikes ends."""
        return max((strike.until for strike in self.health.strikes_for(bot, now)), default=-inf)

    def could_serve(self, within: float, now: float, bot: str) -> bool:
        """Return whether its rest is over within so many seconds, however late a use arrives.

        Time alone never turns a yes into a no.
        """
        rest = self.rest(now, bot)
        if rest <= 0.0:
            return True
        return rest != inf and rest + self.uses.unsettled_for(now) <= within

    def next_chance(self, now: float, bot: str, *, probes: bool) -> float:
        """Return the seconds until time alone may let it be lent, strikes included."""
        rest = self.rest(now, bot)
        if rest > 0.0:
            return rest
        return max(
            (
                (strike.until if probes and strike.probe is None else strike.forgotten_at) - now
                for strike in self.health.strikes_for(bot, now)
            ),
            default=0.0,
        )

    def state(self, now: float, bot: str) -> TokenState:
        """Return its state as a ledger gives it."""
        rest = self.rest(now, bot)
        verdict = self.health.verdict(now, bot) or self._verdict(rest, now, bot)
        return TokenState(
            is_free=self.is_enlisted and self.has_room and rest <= 0.0,
            in_use=self.in_use,
            rest=rest,
            standing=verdict.standing,
            reason=verdict.reason,
            code=verdict.code,
            next_look=self.health.next_look(now),
            is_struck=self.is_struck(now, bot),
        )

    def _verdict(self, rest: float, now: float, bot: str) -> Verdict:
        """Return how it stands if nothing but its limits holds it back."""
        if rest > 0.0:
            return Verdict(Standing.RESTING)
        strikes = self.health.strikes_for(bot, now)
        last = max(strikes, key=lambda strike: strike.until, default=None)
        return Verdict(Standing.FIT, last.reason if last else "")

    def outlook(self, now: float) -> Outlook:
        """Return its outlook as a ledger gives it."""
        return Outlook(
            uses=self.uses.ages(now),
            rest=max(0.0, self.health.rest(now)),
            in_use=self.in_use,
            bots=self.health.rests_of_bots(now),
            settles=self.uses.unsettled_for(now),
        )
