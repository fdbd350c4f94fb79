"""What is known of one token, on the clock of the ledger that holds the lock."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from poe_proxy.pool.health import FORGIVEN, MARGIN, backoff, next_look
from poe_proxy.pool.ledger import Outlook, Standing, TokenState
from poe_proxy.pool.limits import Limit
from poe_proxy.pool.store import Note, Remembered, Store


@dataclass(eq=False, slots=True)
class Use:
    """One request that was sent, and may still be on its way."""

    id: str
    sent_at: float

    @property
    def arrives_by(self) -> float:
        return self.sent_at + MARGIN


@dataclass(frozen=True, slots=True)
class Hold:
    """Poe's word that the token has to rest."""

    until: float
    reason: str


@dataclass(slots=True)
class Strike:
    """A failure, or several in a row, because of which others are lent first."""

    count: int
    until: float
    reason: str
    #: The lease that tries whether the token works again.
    probe: str | None = None

    @property
    def forgotten_at(self) -> float:
        return self.until + FORGIVEN


@dataclass(frozen=True, slots=True)
class Suspension:
    """A refusal by Poe, or several in a row, each found by a look."""

    count: int
    look_at: float
    reason: str
    code: str


@dataclass(eq=False, slots=True)
class Entry:
    """One token. Bots are in lower case here; an empty one stands for all."""

    name: str
    store: Store
    rank: int = 0
    concurrency: int = 1
    limits: Sequence[Limit] = ()
    #: Seconds for which its limits remember a use.
    window: float = 0.0
    is_enlisted: bool = False
    #: When it was last lent: the number of that loan among all loans.
    turn: int = 0
    in_use: int = 0
    #: Leases that wait for their next use.
    waiting: set[str] = field(default_factory=set)
    #: When it was used, in rising order: what has arrived, and what holds a place for a lease.
    used_at: list[float] = field(default_factory=list)
    #: What was sent and has not arrived, the oldest first.
    on_its_way: list[Use] = field(default_factory=list)
    #: By bot.
    holds: dict[str, Hold] = field(default_factory=dict)
    strikes: dict[str, Strike] = field(default_factory=dict)
    #: Why it is out of points, and why it is retired; None if it is not.
    no_points: str | None = None
    suspension: Suspension | None = None
    retired: str | None = None
    retired_code: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among the tokens, the next to be lent first."""
        return self.rank, self.turn

    @property
    def has_room(self) -> bool:
        return self.in_use < self.concurrency and not self.waiting

    # ---- uses

    def set_limits(self, limits: Sequence[Limit], now: float) -> None:
        """Change the limits; older uses that they have to know of come from the store."""
        self._forget(now)
        known_for = self.window
        self.limits = tuple(limits)
        self.window = max((limit.window for limit in self.limits), default=0.0)
        if self.window > known_for:
            recalled = self.store.recall(self.name, self.window)
            for age in recalled.uses:
                if age > known_for:
                    insort(self.used_at, now - age)

    def hold_place(self, now: float) -> None:
        """Count a use that may follow."""
        self._forget(now)
        self.used_at.append(now)

    def free_place(self, held_at: float) -> None:
        """Count a use no more that did not follow. It may be older than all limits remember."""
        place = bisect_left(self.used_at, held_at)
        if place < len(self.used_at) and self.used_at[place] == held_at:
            del self.used_at[place]

    def send(self, use: str, now: float) -> Use:
        """Count a use that leaves now."""
        self._forget(now)
        self.store.add_use(self.name, use)
        self.on_its_way.append(Use(use, now))
        return self.on_its_way[-1]

    def settle(self, use: Use, now: float) -> None:
        """Note that *use* has arrived by now; it may be known already."""
        if use in self.on_its_way:
            self.on_its_way.remove(use)
            self._count(use, min(now, use.arrives_by), now)

    def _settle_late(self, now: float) -> None:
        """Count what must have arrived."""
        while self.on_its_way and self.on_its_way[0].arrives_by <= now:
            use = self.on_its_way.pop(0)
            self._count(use, use.arrives_by, now)

    def _count(self, use: Use, arrived_at: float, now: float) -> None:
        insort(self.used_at, arrived_at)
        if use.id:
            self.store.settle_use(use.id, now - arrived_at)

    def _forget(self, now: float) -> None:
        """Forget uses that no limit asks for."""
        self._settle_late(now)
        old = bisect_left(self.used_at, now - self.window)
        if old:
            del self.used_at[:old]

    # ---- how long it rests

    def rest(self, now: float, bot: str = "") -> float:
        """Return the seconds until nothing holds it back for *bot*, as `TokenState.rest`."""
        held = self.held(now, bot)
        return held if held == inf else max(held, self.wait(now))

    def held(self, now: float, bot: str = "") -> float:
        """Return the seconds until Poe lets it go on; `inf` if time alone does not help."""
        if self.retired is not None or self.suspension or self.no_points is not None:
            return inf
        if not self.holds:
            return 0.0
        return max(0.0, *(hold.until - now for hold in self._holds_for(bot)))

    def wait(self, now: float) -> float:
        """Return the seconds until its limits allow one more use."""
        if not self.limits:
            return 0.0
        self._settle_late(now)
        # What is on its way counts as if it were sent this moment. Added for the question only:
        # a copy of all uses for each question would cost more than the question.
        on_its_way = len(self.on_its_way)
        self.used_at.extend([now] * on_its_way)
        try:
            return max(limit.wait(self.used_at, now) for limit in self.limits)
        finally:
            del self.used_at[len(self.used_at) - on_its_way :]

    def could_serve(self, within: float, now: float, bot: str) -> bool:
        """Return whether it is sure to be free for *bot* within so many seconds, leases aside."""
        rest = self.rest(now, bot)
        if rest <= 0.0 or rest == inf:
            return rest <= 0.0
        # At worst, what is on its way arrives at the last moment. Counted like this, time alone
        # never turns a yes into a no.
        late = max(0.0, self.on_its_way[-1].arrives_by - now) if self.on_its_way else 0.0
        return rest + late <= within

    def is_free(self, now: float, bot: str = "") -> bool:
        return self.has_room and self.rest(now, bot) <= 0.0

    def _holds_for(self, bot: str) -> Iterator[Hold]:
        if "" in self.holds:
            yield self.holds[""]
        if bot and bot in self.holds:
            yield self.holds[bot]

    # ---- strikes

    def strikes_for(self, bot: str, now: float) -> list[Strike]:
        """Return what is remembered against it for *bot*: nothing, a strike, or two."""
        if not self.strikes:
            return []
        keys = {"", bot}
        return [
            strike
            for key, strike in self.strikes.items()
            if key in keys and now < strike.forgotten_at
        ]

    def may_be_probed(self, bot: str, now: float) -> bool:
        """Return whether a lease may try if it works again."""
        return all(
            strike.until <= now and strike.probe is None for strike in self.strikes_for(bot, now)
        )

    def backoff_ends(self, bot: str, now: float) -> float:
        """Return when the last backoff ends, for *bot*."""
        return max((strike.until for strike in self.strikes_for(bot, now)), default=-inf)

    def next_chance(self, bot: str, probes: bool, now: float) -> float:
        """Return the seconds until time alone may make it one that is lent for *bot*."""
        rest = self.rest(now, bot)
        if rest > 0.0:
            return rest
        return max(
            (
                (strike.until if probes and strike.probe is None else strike.forgotten_at) - now
                for strike in self.strikes_for(bot, now)
            ),
            default=0.0,
        )

    # ---- what a ledger says of it

    def standing(self, now: float, bot: str) -> tuple[Standing, str, str]:
        """Return what holds it back for *bot*, with the reason and the code."""
        if self.retired is not None:
            return Standing.RETIRED, self.retired, self.retired_code
        if self.suspension:
            return Standing.SUSPENDED, self.suspension.reason, self.suspension.code
        if self.no_points is not None:
            return Standing.OUT_OF_POINTS, self.no_points, ""
        holds = [hold for hold in self._holds_for(bot) if hold.until > now]
        if holds:
            return Standing.LIMITED, max(holds, key=lambda hold: hold.until).reason, ""
        if self.wait(now) > 0.0:
            return Standing.RESTING, "", ""
        strikes = self.strikes_for(bot, now)
        return Standing.FIT, max(strikes, key=lambda one: one.until).reason if strikes else "", ""

    def next_look(self, now: float) -> float:
        if self.retired is not None:
            return inf
        if self.suspension:
            return max(0.0, self.suspension.look_at - now)
        return inf if self.no_points is None else 0.0

    def state(self, now: float, bot: str) -> TokenState:
        rest = self.rest(now, bot)
        standing, reason, code = self.standing(now, bot)
        return TokenState(
            is_free=self.is_enlisted and self.has_room and rest <= 0.0,
            in_use=self.in_use,
            rest=rest,
            standing=standing,
            reason=reason,
            code=code,
            next_look=self.next_look(now),
            is_struck=bool(self.strikes_for(bot, now)),
        )

    def outlook(self, now: float) -> Outlook:
        self._settle_late(now)
        ages = [now - used_at for used_at in self.used_at if used_at >= now - self.window]
        return Outlook(
            uses=(*ages, *([0.0] * len(self.on_its_way))),
            rest=self.held(now),
            in_use=self.in_use,
            bots={
                bot: hold.until - now
                for bot, hold in self.holds.items()
                if bot and hold.until > now
            },
        )

    # ---- what happens to it

    def hold(self, seconds: float, reason: str, bot: str, now: float) -> None:
        known = self.holds.get(bot)
        if known is None or known.until < now + seconds:
            self.holds[bot] = Hold(now + seconds, reason)

    def strike(self, reason: str, bot: str, now: float) -> None:
        known = self.strikes.get(bot)
        if known is None or known.forgotten_at <= now:
            known = self.strikes[bot] = Strike(0, now, reason)
        known.count += 1
        known.until = max(known.until, now + backoff(known.count))
        known.reason = reason

    def suspend(self, reason: str, code: str, now: float) -> None:
        known = self.suspension
        if self.retired is not None or (known and now < known.look_at):
            # Requests that were under way together are refused together: that is one refusal.
            return
        count = known.count + 1 if known else 1
        look = next_look(count)
        if look is None:
            self.retired, self.retired_code = reason, code
        else:
            self.suspension = Suspension(count, now + look, reason, code)

    def revive(self) -> None:
        self.holds.clear()
        self.strikes.clear()
        self.no_points = self.suspension = None

    # ---- what outlives the process

    def remember(self, known: Remembered, now: float) -> None:
        """Take up what a process before this one knew."""
        for age in known.uses:
            # Less than nothing: it is still on its way for so long.
            if age < 0.0:
                self.on_its_way.append(Use("", now - age - MARGIN))
            else:
                insort(self.used_at, now - age)
        self.on_its_way.sort(key=lambda use: use.sent_at)
        for note in known.notes:
            self._take_note(note, now)

    def _take_note(self, note: Note, now: float) -> None:
        until = now + note.seconds
        match note.cause:
            case "rest":
                self.holds[note.bot] = Hold(until, note.reason)
            case "strike":
                self.strikes[note.bot] = Strike(note.count, until, note.reason)
            case "points":
                self.no_points = note.reason
            case "suspended":
                self.suspension = Suspension(note.count, until, note.reason, note.code)
            case "retired":
                self.retired, self.retired_code = note.reason, note.code

    def keep(self, now: float) -> None:
        """Let the store remember what holds it back."""
        self.holds = {bot: hold for bot, hold in self.holds.items() if hold.until > now}
        self.strikes = {bot: one for bot, one in self.strikes.items() if one.forgotten_at > now}
        self.store.keep_notes(self.name, list(self._notes(now)))

    def _notes(self, now: float) -> Iterator[Note]:
        for bot, hold in self.holds.items():
            yield Note("rest", bot, hold.until - now, hold.reason)
        for bot, strike in self.strikes.items():
            yield Note("strike", bot, strike.until - now, strike.reason, count=strike.count)
        if self.no_points is not None:
            yield Note("points", reason=self.no_points)
        if self.suspension:
            one = self.suspension
            yield Note("suspended", "", one.look_at - now, one.reason, one.code, one.count)
        if self.retired is not None:
            yield Note("retired", reason=self.retired, code=self.retired_code)
