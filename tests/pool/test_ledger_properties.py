"""What no schedule of verbs may bring about, wherever the ledger keeps its state: hypothesis looks
for one that does.

All times are multiples of 1/64 s, which floats add and subtract without an error: nothing here is
allowed a tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf
from typing import Any, Final, TypeVar

import fakeredis
import redis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from poe_proxy.pool.ledger import MARGIN, Ledger, Outlook, Standing, TokenState, Want
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.redis.ledger import RedisLedger
from poe_proxy.pool.store import Note, Remembered, Store

from ..fakes import Clock
from ..shared.redis_server import RedisServer
from .redis.direct import Direct

T = TypeVar("T")

NAMES: Final = ("a", "b", "c")
BOTS: Final = ("", "GPT-5", "Veo-3")


def weighed(**weights: int) -> st.SearchStrategy[str]:
    """One of the names, each as often as its weight says."""
    return st.sampled_from([name for name, weight in weights.items() for _ in range(weight)])


names = weighed(a=2, b=2, c=1)
bots = st.sampled_from(["", "", "GPT-5", "GPT-5", "Veo-3"])
moments = st.sampled_from([0.015625, 0.5, 2.5, 4.984375, 5.0, 9.984375, 10.0])
times = moments | moments | st.sampled_from([30.0, 60.0, 299.984375, 300.0, 3600.0, 90_000.0])
seldom = st.integers(0, 7).map(lambda number: number == 7)
pauses = st.builds(Rest, st.sampled_from([0.5, 2.0, 10.0]), st.sampled_from([0.0, 4.0]))
quotas = st.builds(Within, st.integers(1, 3), st.sampled_from([10.0, 60.0, 3600.0]))
terms = st.fixed_dictionaries(
    {
        "rank": st.integers(0, 1),
        "concurrency": st.integers(1, 3),
        "limits": st.lists(pauses | quotas, max_size=2).map(tuple),
    }
)
#: The graver, the rarer: what is set aside is of no use to the other rules.
verdicts = weighed(
    strike=6, rest=3, revive=3, clear=2, suspend=2, pause=1, bring_back=2, exhaust=1, retire=1
)
#: What a request, or one of the leases that have a token, does next.
deeds = weighed(
    join=3, hang_up=1, use=3, arrive=1, give_back=2, use_and_give_back=2, use_arrive_and_give_back=3
)
acts = st.fixed_dictionaries(
    {
        "what": deeds,
        "place": st.integers(0, 99),
        "wish": st.fixed_dictionaries(
            {
                "names": st.sampled_from(["a", "b", "ab", "ab", "abc"]),
                "bot": bots,
                "patience": st.sampled_from([0.015625, 10.0, 30.0, 100.0, inf]),
                "probes": st.booleans(),
            }
        ),
    }
)


class Paper(Store):
    """A store that outlives each ledger of a test, on the same clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By name and use: when it was sent, and when it had arrived.
        self._uses: dict[str, dict[str, tuple[float, float | None]]] = {}
        #: By name, with the time at which they were written.
        self._notes: dict[str, tuple[float, Sequence[Note]]] = {}

    def recall(self, name: str, window: float) -> Remembered:
        now = self._clock()
        uses = self._uses.get(name, {}).values()
        ages = [now - (sent + MARGIN if arrived is None else arrived) for sent, arrived in uses]
        written_at, notes = self._notes.get(name, (now, ()))
        return Remembered(
            uses=sorted((age for age in ages if age <= window), reverse=True),
            notes=[
                Note(
                    note.cause,
                    note.bot,
                    note.seconds - (now - written_at),
                    note.reason,
                    note.code,
                    note.count,
                )
                for note in notes
            ],
        )

    def add_use(self, name: str, use: str) -> None:
        known = self._uses.setdefault(name, {})
        assert use not in known
        known[use] = (self._clock(), None)

    def settle_use(self, use: str, ago: float) -> None:
        for known in self._uses.values():
            if use in known:
                sent, arrived = known[use]
                assert arrived is None
                known[use] = (sent, self._clock() - ago)
                return
        raise AssertionError(f"{use} was never added")

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        self._notes[name] = (self._clock(), notes)


@dataclass
class Waiter:
    """A lease in line."""

    lease: str
    names: frozenset[str]
    bot: str
    deadline: float
    probes: bool


@dataclass
class Sending:
    """Something that was sent. Poe counts it at any moment from then until it was there."""

    name: str
    sent_at: float
    there_by: float
    #: The limits when it was sent.
    limits: Sequence[Limit]


@dataclass
class Borrower:
    """A lease that has a token."""

    lease: str
    name: str
    bot: str
    #: When it was lent, until something is sent.
    held_at: float | None
    last: Sending | None = None
    #: Whether it has to wait with its next use.
    waits: bool = False


class Pool(RuleBasedStateMachine):
    """Leases come, wait, send and go; tokens fail and recover; the process crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledger = self.open()
        self.terms: dict[str, dict[str, Any]] = {}
        #: What the ledger knows: also what was withdrawn since it began.
        self.known: set[str] = set()
        self.limits: dict[str, Sequence[Limit]] = {}
        self.turns = dict.fromkeys(NAMES, 0)
        self.line: list[Waiter] = []
        self.lent: dict[str, Borrower] = {}
        self.sendings: list[Sending] = []
        self.leases = 0
        self.due = inf

    # ---- where the state is

    def open(self) -> Ledger:
        """Return the ledger of the first process."""
        self.store = Paper(self.clock)
        return MemoryLedger(clock=self.clock, store=self.store)

    def reopen(self) -> Ledger:
        """Return the ledger of the next one: all that is known is known to it, but for the leases
        and whose turn it is."""
        self.known = set(self.terms)
        self.turns = dict.fromkeys(NAMES, 0)
        return MemoryLedger(clock=self.clock, store=self.store)

    def possible(self, terms: dict[str, Any]) -> dict[str, Any]:
        """Return *terms* as this ledger can be held to them."""
        return terms

    # ---- tokens

    @initialize(terms=st.lists(terms, min_size=2, max_size=2))
    def begin(self, terms: list[dict[str, Any]]) -> None:
        for name, its in zip("ab", terms, strict=True):
            self.reload(name, its, is_withdrawn=False)

    @rule(name=names, terms=terms, is_withdrawn=seldom)
    def reload(self, name: str, terms: dict[str, Any], is_withdrawn: bool) -> None:
        """Enlist a token, on other terms perhaps, or withdraw it."""
        terms = self.possible(terms)
        if not is_withdrawn:
            self.ledger.enlist(name, **terms)
            self.terms[name] = terms
            self.limits[name] = terms["limits"]
            self.known.add(name)
        elif name in self.terms:
            self.ledger.withdraw(name)
            del self.terms[name]
        self.serve()

    @rule(name=names, bot=bots, seconds=times, verdict=verdicts)
    def judge(self, name: str, bot: str, seconds: float, verdict: str) -> None:
        if name not in self.known:
            return
        match verdict:
            case "strike":
                self.ledger.strike(name, "Overloaded.", bot=bot)
            case "clear":
                self.ledger.clear(name, bot=bot)
            case "rest":
                self.ledger.rest(name, seconds, f"{seconds} s.", bot=bot)
            case "suspend":
                self.ledger.suspend(name, "Who are you?", "upstream_auth")
            case "exhaust":
                self.ledger.exhaust(name, "No points.")
            case "revive":
                self.ledger.revive(name)
            case "pause":
                self.ledger.pause(name, inf if bot else seconds)
            case "bring_back":
                self.ledger.bring_back(name)
                self.see_that_only_limits_hold(name)
            case "retire":
                self.ledger.retire(name, "Logged out.")
        self.serve()

    def see_that_only_limits_hold(self, name: str) -> None:
        """Whatever was said of it before, and for whichever bot."""
        states = [self.ledger.state([name], bot=bot)[name] for bot in BOTS]
        assert {Standing.RESTING, Standing.FIT} >= {state.standing for state in states}
        assert not any(state.is_struck for state in states)

    # ---- leases

    @rule(acts=st.lists(acts, min_size=2, max_size=8))
    def work(self, acts: list[dict[str, Any]]) -> None:
        for act in acts:
            place, what = act["place"], act["what"]
            if what == "join":
                # A line that is long for ever makes the run slow.
                for _ in range(min(1 + place % 3, 6 - len(self.line))):
                    self.join(**act["wish"])
            elif what == "hang_up":
                del self.line[place % 6 : place % 6 + 1]
            elif self.lent:
                borrower = list(self.lent.values())[place % len(self.lent)]
                if "use" in what:
                    self.use(borrower)
                if "arrive" in what:
                    self.arrive(borrower)
                if "give_back" in what:
                    del self.lent[borrower.lease]
                    self.ledger.give_back(borrower.lease)
            self.serve()

    def join(self, names: str, bot: str, patience: float, probes: bool) -> None:
        self.leases += 1
        deadline = self.clock() + patience
        waiter = Waiter(f"lease {self.leases}", frozenset(names), bot, deadline, probes)
        self.line.append(waiter)

    def use(self, borrower: Borrower) -> None:
        expected = self.wait_of(borrower)
        wait = self.ledger.use(borrower.lease)
        assert expected == wait
        borrower.waits = wait > 0.0
        if borrower.waits:
            return
        now = self.clock()
        borrower.held_at = None
        borrower.last = Sending(borrower.name, now, now + MARGIN, self.limits[borrower.name])
        self.see_that_no_limit_is_exceeded(borrower.last)
        self.sendings.append(borrower.last)

    def arrive(self, borrower: Borrower) -> None:
        self.ledger.arrived(borrower.lease)
        if borrower.last:
            borrower.last.there_by = min(borrower.last.there_by, self.clock())

    def wait_of(self, borrower: Borrower) -> float:
        """Return what the next use has to wait for: all uses but the place that is held for it."""
        outlook = self.ledger.outlook([borrower.name])[borrower.name]
        now = self.clock()
        used_at = [now - age for age in outlook.uses]
        # Where nothing was limited, the place may be forgotten by now: then all that is noted for
        # that moment was sent.
        sent = sum(
            one.name == borrower.name and one.there_by == borrower.held_at for one in self.sendings
        )
        if borrower.held_at is not None and used_at.count(borrower.held_at) > sent:
            used_at.remove(borrower.held_at)
        limits = self.limits[borrower.name]
        return max(
            outlook.rest,
            outlook.bots.get(borrower.bot.lower(), 0.0),
            *(limit.wait(used_at, now) for limit in limits),
        )

    def see_that_no_limit_is_exceeded(self, sending: Sending) -> None:
        """Wherever between its sending and its arrival Poe counts each use before this one."""
        uses = sorted(one.there_by for one in self.sendings if one.name == sending.name)
        for limit in sending.limits:
            match limit:
                case Within(calls, window):
                    assert calls > sum(use > sending.sent_at - window for use in uses)
                case Rest(seconds, _):
                    assert all(use + seconds <= sending.sent_at for use in uses)
                    assert 0.0 == limit.wait(uses, sending.sent_at)

    # ---- time, and its end

    @rule(seconds=times, is_the_end=seldom)
    def pass_time(self, seconds: float, is_the_end: bool) -> None:
        self.clock.go(seconds)
        if is_the_end:
            self.crash()
        self.serve()

    @rule(fraction=st.sampled_from([0.25, 0.984375, 1.0, 1.0]))
    def sleep(self, fraction: float) -> None:
        """Before it is due nothing is lent: a line that sleeps so long misses nothing."""
        is_due = self.due < inf and fraction == 1.0
        self.clock.go(3600.0 if self.due == inf else floor(self.due * fraction * 64) / 64)
        assert not self.serve() or is_due

    def crash(self) -> None:
        """All that is known is known to the next process, but for the leases."""
        before = {name: self.lasting(name) for name in self.terms}
        self.ledger = self.reopen()
        self.line, self.lent = [], {}
        for name, terms in self.terms.items():
            self.ledger.enlist(name, **terms)
        assert before == {name: self.lasting(name) for name in self.terms}

    def lasting(self, name: str) -> list[object]:
        """Return what a crash changes nothing about."""
        outlook = self.ledger.outlook([name])[name]
        states = [self.ledger.state([name], bot=bot)[name] for bot in BOTS]
        own = (Standing.RESTING, Standing.FIT)
        return [outlook.rest, outlook.bots] + [
            (
                None if state.standing in own else (state.standing, state.reason, state.code),
                state.next_look,
                state.is_struck,
            )
            for state in states
        ]

    # ---- the line

    def wants(self) -> list[Want]:
        now = self.clock()
        return [
            Want(one.lease, one.names, one.bot, one.deadline - now, one.probes) for one in self.line
        ]

    def serve(self) -> list[str]:
        """Serve the line, and see that it was done well; return the leases that were served."""
        self.line = [one for one in self.line if one.deadline >= self.clock()]
        if not self.line:
            self.due = inf
            return []
        before = Look(self.ledger, self.terms, self.lent.values(), self.clock())
        wants = self.wants()
        served = self.ledger.serve(wants)
        after = Look(self.ledger, self.terms, self.lent.values(), self.clock())
        for want in wants:
            name = served.lent.get(want.lease)
            fit = [one for one in want.names if before.is_free(one, want.bot)]
            sound = [one for one in fit if not before.is_struck(one, want.bot)]
            first = min(map(self.place, sound), default=None)
            if name is None:
                assert first is None, "passed over while a token is free"
                assert not fit or after.has_better(want, late=0.0), "waits for nothing better"
                continue
            assert name in fit, "lent while it is not free, or out of order"
            if before.is_struck(name, want.bot):
                # Of two that were never lent, either may be the first.
                may_probe = want.probes and (first is None or self.place(name) <= first)
                assert may_probe or not after.has_better(want, late=MARGIN), "others come first"
            else:
                assert first == self.place(name), "lent out of turn"
            before.lend(name)
            self.turns[name] = max(self.turns.values()) + 1
            self.lent[want.lease] = Borrower(want.lease, name, want.bot, self.clock())
        self.line = [one for one in self.line if one.lease not in served.lent]
        self.due = served.due
        self.see_that_it_is_due(after)
        self.ask_twice(wants, served.lent)
        return list(served.lent)

    def place(self, name: str) -> tuple[int, int]:
        return self.terms[name]["rank"], self.turns[name]

    def see_that_it_is_due(self, after: Look) -> None:
        """It is due at all if time alone can help, and no later than that."""
        rests = [
            after.rest(name, one.bot)
            for one in self.line
            for name in one.names
            if after.has_room(name) and 0.0 < after.rest(name, one.bot)
        ]
        assert 0.0 < self.due <= min(rests, default=inf)

    def ask_twice(self, wants: list[Want], lent: Mapping[str, str]) -> None:
        """Nothing was left for a second look, and no want is served twice."""
        outlook = self.ledger.outlook(sorted(self.known))
        again = self.ledger.serve(wants)
        assert (lent, self.due) == (again.lent, again.due)
        assert outlook == self.ledger.outlook(sorted(self.known))

    # ---- what is true at all times

    @invariant()
    def leases_are_counted(self) -> None:
        counts = dict.fromkeys(sorted(self.known), 0)
        for borrower in self.lent.values():
            counts[borrower.name] += 1
        states = self.ledger.state(counts)
        assert counts == {name: state.in_use for name, state in states.items()}


class Look:
    """What the ledger says of all tokens at one moment, and what becomes of it by lending."""

    def __init__(
        self,
        ledger: Ledger,
        terms: Mapping[str, Mapping[str, Any]],
        lent: Any,
        now: float,
    ) -> None:
        self._terms = dict(terms)
        self._now = now
        self._outlooks: dict[str, Outlook] = dict(ledger.outlook(list(terms)))
        self._states: dict[str, Mapping[str, TokenState]] = {
            bot: ledger.state(list(terms), bot=bot) for bot in BOTS
        }
        self._waited_for = {one.name for one in lent if one.waits}
        self._loans = dict.fromkeys(terms, 0)

    def rest(self, name: str, bot: str) -> float:
        """Return the seconds until nothing but leases holds the token back."""
        uses = [self._now - age for age in self._outlooks[name].uses]
        uses += [self._now] * self._loans[name]
        waits = [limit.wait(uses, self._now) for limit in self._terms[name]["limits"]]
        return max(self._states[bot][name].rest, *waits, 0.0)

    def has_room(self, name: str) -> bool:
        if name not in self._terms or name in self._waited_for:
            return False
        in_use = self._outlooks[name].in_use + self._loans[name]
        return bool(in_use < self._terms[name]["concurrency"])

    def is_free(self, name: str, bot: str) -> bool:
        return self.has_room(name) and self.rest(name, bot) == 0.0

    def is_struck(self, name: str, bot: str) -> bool:
        return self._states[bot][name].is_struck

    def has_better(self, want: Want, *, late: float) -> bool:
        """Return whether a token that did not fail could serve in time, and *late* seconds more."""
        return any(
            name in self._terms
            and not self.is_struck(name, want.bot)
            and self.rest(name, want.bot) + late <= want.within
            and self.rest(name, want.bot) < inf
            for name in want.names
        )

    def lend(self, name: str) -> None:
        self._loans[name] += 1


class RedisPool(Pool):
    """The same in Redis, where the turns outlive the process; whoever is dead gives back."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        super().__init__()

    def open(self) -> Ledger:
        self.direct = Direct(self.client, self.clock)
        return RedisLedger(self.direct)

    def reopen(self) -> Ledger:
        for lease in self.lent:
            self.ledger.give_back(lease)
        return RedisLedger(self.direct)

    def possible(self, terms: dict[str, Any]) -> dict[str, Any]:
        # How long a pause is that varies does not follow from its time there.
        limits = tuple(
            Rest(limit.seconds) if isinstance(limit, Rest) else limit for limit in terms["limits"]
        )
        return {**terms, "limits": limits}


class Both(Ledger):
    """Does on one ledger what is done on another, and sees that both answer the same."""

    def __init__(self, one: Ledger, other: Ledger) -> None:
        self._both = one, other

    def __getattribute__(self, verb: str) -> Any:
        if verb.startswith("_"):
            return super().__getattribute__(verb)
        return lambda *args, **kwargs: self._do(verb, *args, **kwargs)

    def _do(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        one, other = (getattr(ledger, verb)(*args, **kwargs) for ledger in self._both)
        assert one == other, f"{verb}{args}{kwargs}: {one} here, and {other} there"
        return one


class BothPools(RedisPool):
    """The ledger of one process is the model for that in Redis."""

    def open(self) -> Ledger:
        self.store = Paper(self.clock)
        return Both(MemoryLedger(clock=self.clock, store=self.store), super().open())

    def crash(self) -> None:
        """What becomes of it is another matter in each of them."""


def explore(pool: Callable[[], Pool], examples: int, steps: int) -> None:
    """Let hypothesis look for a schedule that breaks the pool."""
    # Without shrinking, which may take minutes: add it while you look for a fault.
    run_state_machine_as_test(
        pool,
        settings=settings(
            derandomize=True,
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
        ),
    )


def test_in_this_process() -> None:
    explore(Pool, 150, 40)


def test_in_the_script() -> None:
    """On a Redis in this process, which takes its time."""
    client = fakeredis.FakeRedis()
    explore(lambda: RedisPool(client), 20, 25)


def test_in_redis(redis_server: RedisServer) -> None:
    explore(lambda: RedisPool(redis_server.client), 60, 40)


def test_in_redis_as_in_this_process(redis_server: RedisServer) -> None:
    """The same acts have the same answers."""
    explore(lambda: BothPools(redis_server.client), 100, 40)
