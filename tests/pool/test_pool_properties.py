"""What no schedule of requests may bring about: hypothesis looks for one that does.

The whole pool is there, a rotator over a ledger over a store, but for threads: the machine calls
what the alarm would call. All times are multiples of 1/1024 s, which floats add without an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from poe_proxy.errors import (
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
)
from poe_proxy.pool.ledger import MARGIN, TokenState
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.refusals import MIN_REST
from poe_proxy.pool.rotator import Lease, Token, TokenRotator

from ..fakes import Clock
from .test_ledger_properties import Paper

KINDS: Final = {"a": "cookie", "b": "cookie", "k": "key"}
BOTS: Final = ("", "GPT-5", "Veo-3")
INSTANT: Final = 1 / 1024


def _all_below(kind: type[UpstreamError]) -> Iterator[type[UpstreamError]]:
    for one in kind.__subclasses__():
        if one.__module__ == "poe_proxy.errors":
            yield one
            yield from _all_below(one)


moments = st.sampled_from([0.015625, 0.5, 2.0, 4.984375, 5.0, 10.0])
times = moments | st.sampled_from([29.0, 60.0, 299.0, 3600.0, 90_000.0])
pauses = st.builds(Rest, st.sampled_from([0.5, 2.0, 10.0, 10.0, 45.0]))
quotas = st.builds(Within, st.integers(1, 3), st.sampled_from([10.0, 60.0, 3600.0]))
terms = st.fixed_dictionaries(
    {
        "rank": st.integers(0, 1),
        "concurrency": st.sampled_from([1, 1, 1, 2, 3]),
        "limits": st.lists(pauses | quotas, min_size=1, max_size=2).map(tuple) | st.just(()),
        "bots": st.sampled_from([frozenset[str]()] * 3 + [frozenset({"gpt-5"})]),
    }
)
pools = st.dictionaries(st.sampled_from(sorted(KINDS)), terms, min_size=1)
wishes = st.fixed_dictionaries(
    {
        "kinds": st.sampled_from([None, None, None, frozenset({"cookie"}), frozenset({"key"})]),
        "bot": st.sampled_from(["", "", *BOTS]),
        "client": st.sampled_from(["", "me", "you"]),
        "streams": st.booleans(),
        "probes": st.sampled_from([True, True, False]),
        "accounts": st.sampled_from([frozenset[str]()] * 3 + [frozenset({"a", "k"})]),
        "priority": st.sampled_from([5, 5, 5, 4, 6, 9]),
    }
)
crowds = st.lists(wishes, max_size=4) | st.builds(lambda one: [one] * 4, wishes)
failures = st.one_of(
    st.sampled_from([None, None, GeneratorExit(), ZeroDivisionError()]),
    st.builds(
        lambda kind, seconds: kind("Poe says so.", retry_after=seconds),
        st.sampled_from(sorted(_all_below(UpstreamError), key=lambda one: one.__name__)),
        st.sampled_from([None, None, 0.0, 20.0]),
    ),
)


@dataclass(eq=False)
class Request:
    """A request that waits, or has its token."""

    lease: Lease[None]
    number: int
    came: float
    #: How many may be served before it, of those that want the same.
    ahead: float = 0
    #: What was sent last, until it has arrived.
    last: Sending | None = None
    #: The tokens that fitted it when it was looked at last.
    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def since(self) -> float:
        """When it came, put back by ten seconds for each step of its priority."""
        return self.came - 10 * self.lease.priority


@dataclass(eq=False)
class Sending:
    """Something that was sent. Poe counts it at any moment from then until it was there."""

    name: str
    sent_at: float
    there_by: float
    #: The limits when it was sent.
    limits: Sequence[Limit]


class House(RuleBasedStateMachine):
    """Requests come, wait, send, fail and hang up; accounts change; the process crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Paper(self.clock)
        self.terms: dict[str, dict[str, Any]] = {}
        #: Also of those that were taken out of the pool: they hold while a lease goes on.
        self.limits: dict[str, Sequence[Limit]] = {}
        self.places = 0
        self.waiting: list[Request] = []
        self.served: list[Request] = []
        self.sendings: list[Sending] = []
        #: What is over, each with its token: Poe may yet answer what was sent.
        self.over: list[tuple[Lease[None], Token[None]]] = []
        #: Until when Poe said that each token must rest.
        self.rested: dict[str, float] = {}
        #: Tokens that were taken out of the pool, and those that have left it.
        self.gone: list[Token[None]] = []
        self.left: list[Token[None]] = []
        self.requests = 0
        #: How many requests have come when accounts may change again: else nothing ever waits.
        self.calm_until = 5
        #: Whether it is past the time at which the line was to be served.
        self.is_late = False
        #: The last time at which a request that was refused may come again.
        self.promised = 0.0

    @initialize(
        terms=pools,
        patience=st.sampled_from([5.0, 30.0, 100.0]),
        places=st.sampled_from([2, 5, 20]),
        wishes=crowds,
    )
    def begin(
        self,
        terms: dict[str, dict[str, Any]],
        patience: float,
        places: int,
        wishes: list[dict[str, Any]],
    ) -> None:
        self.terms = terms
        self.patience = patience
        self.places = places
        self.start()
        self.come(wishes)

    def start(self) -> None:
        self.ledger = MemoryLedger(clock=self.clock, store=self.store)
        self.tokens = self.build()
        self.rotator = TokenRotator(
            self.tokens,
            patience=self.patience,
            places=self.places,
            clock=self.clock,
            ledger=self.ledger,
            when_left=self.left.append,
        )

    def build(self) -> list[Token[None]]:
        self.limits |= {name: terms["limits"] for name, terms in self.terms.items()}
        return [Token(name, None, kind=KINDS[name], **terms) for name, terms in self.terms.items()]

    def teardown(self) -> None:
        if self.terms:
            self.rotator.close()

    # ---- requests

    @rule(wishes=crowds)
    def come(self, wishes: list[dict[str, Any]]) -> None:
        for wish in wishes:
            self.knock(wish)

    def knock(self, wish: dict[str, Any]) -> Request | float:
        """Let a request come; return it, or the seconds after which it may come again."""
        lease = self.rotator.lease(**wish)
        free = self.free(lease)
        try:
            lease.__enter__()
        except (NoTokenFree, NoTokenLeft, UpstreamBlocked) as refusal:
            self.see_who_was_served()
            assert not free, f"refused although {free} are free"
            self.see_that_it_had_to_be_refused(lease, refusal)
            self.heed_promise(refusal)
            # Where no time helps, what is said is when it will be looked at.
            is_hopeless = all(state.rest == inf for state in self.states(lease).values())
            return inf if is_hopeless else refusal.retry_after or inf
        self.see_who_was_served()
        self.requests += 1
        request = Request(lease, self.requests, self.clock(), names=lease.names)
        if lease.token is None:
            in_line = [
                one for one in self.waiting if one.lease.token is None and not one.lease.refusal
            ]
            assert len(in_line) < self.places, "more wait than there are places"
            self.count_those_ahead(request)
            self.waiting.append(request)
        else:
            self.served.append(request)
            self.see_that_it_was_free(request)
            self.see_that_nobody_was_first(request)
        self.see_who_was_served()
        return request

    def heed_promise(self, refusal: PoeProxyError) -> None:
        self.promised = max(self.promised, self.clock() + (refusal.retry_after or 0.0))

    def see_that_it_had_to_be_refused(self, lease: Lease[None], refusal: PoeProxyError) -> None:
        """Without anyone else, it is enough that one token will be free in time."""
        if self.waiting or self.served:
            return
        states = self.states(lease)
        assert all(state.rest > self.patience for state in states.values())
        if any(state.rest < inf for state in states.values()):
            assert refusal.retry_after
            assert refusal.retry_after >= min(state.rest for state in states.values())

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """A waiting request looks after its client, and asks what became of it."""
        self.look_after(data.draw(st.sampled_from(self.waiting)))

    def look_after(self, request: Request) -> None:
        lease = request.lease
        try:
            token = lease.wait(0)
        except PoeProxyError as refusal:
            assert lease.token is None
            self.heed_promise(refusal)
            self.waiting.remove(request)
            lease.__exit__(None, None, None)
        else:
            assert token is not None or self.clock() < lease.deadline, "waits after its deadline"
        self.see_who_was_served()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(request)
        request.lease.__exit__(GeneratorExit, GeneratorExit(), None)
        self.see_who_was_served()

    # ---- leases

    @precondition(lambda self: self.served)
    @rule(data=st.data(), arrives=st.booleans())
    def send(self, data: st.DataObject, arrives: bool) -> None:
        # No two things happen at the very same moment.
        self.clock.go(INSTANT)
        self.be_in_time()
        request = data.draw(st.sampled_from(self.served))
        token = request.lease.token
        assert token is not None
        held = self.ledger.state([token.name], bot=request.lease.bot)[token.name].standing
        refusal: PoeProxyError | None = None
        try:
            may_send = request.lease.may_send(0)
        except TokenHeldBack as raised:
            may_send, refusal = False, raised
        may_go_on = held in ("fit", "resting")
        assert may_go_on or isinstance(refusal, TokenHeldBack), "sent although Poe holds it back"
        if refusal is not None:
            self.end(request, refusal)
            return
        if may_send:
            self.note(request, token)
        self.see_who_was_served()
        if may_send and arrives:
            self.arrive(request)

    def note(self, request: Request, token: Token[None]) -> None:
        now = self.clock()
        assert self.rested.get(token.name, 0.0) <= now, "sent although Poe said that it must rest"
        request.last = Sending(token.name, now, now + MARGIN, self.limits[token.name])
        self.sendings.append(request.last)

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def arrived(self, data: st.DataObject) -> None:
        self.arrive(data.draw(st.sampled_from(self.served)))

    def arrive(self, request: Request) -> None:
        request.lease.arrived()
        if request.last is not None:
            request.last.there_by = min(request.last.there_by, self.clock())
            request.last = None
        self.see_who_was_served()

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def say_something(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.served)).lease.worked()
        self.see_who_was_served()

    @precondition(lambda self: self.served)
    @rule(data=st.data(), failure=failures, follows=crowds)
    def give_back(
        self, data: st.DataObject, failure: BaseException | None, follows: list[dict[str, Any]]
    ) -> None:
        self.end(data.draw(st.sampled_from(self.served)), failure)
        self.come(follows)

    @precondition(lambda self: self.over)
    @rule(data=st.data(), seconds=st.sampled_from([None, 20.0]))
    def refuse_late(self, data: st.DataObject, seconds: float | None) -> None:
        """Poe answers behind a client that hung up."""
        lease, token = data.draw(st.sampled_from(self.over))
        failure = TokenLimited("Poe says so.", retry_after=seconds)
        lease.refused(failure)
        self.heed(token, failure)
        self.see_who_was_served()

    def end(self, request: Request, failure: BaseException | None = None) -> None:
        token = request.lease.token
        assert token is not None
        self.served.remove(request)
        request.lease.__exit__(type(failure) if failure else None, failure, None)
        self.over.append((request.lease, token))
        self.heed(token, failure)
        self.see_who_was_served()

    def heed(self, token: Token[None], failure: BaseException | None) -> None:
        if type(failure) is TokenLimited:
            rest = 30.0 if failure.retry_after is None else max(failure.retry_after, MIN_REST)
            until = self.clock() + rest
            self.rested[token.name] = max(self.rested.get(token.name, 0.0), until)

    # ---- accounts

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(
        data=st.data(),
        finds=st.sampled_from(["points", "points", "points", "nothing", "a refusal"]),
    )
    def look_at_account(self, data: st.DataObject, finds: str) -> None:
        self.calm_until = self.requests + 3
        token = data.draw(st.sampled_from(self.tokens))
        match finds:
            case "points":
                self.rotator.revive(token)
            case "nothing":
                self.rotator.exhaust(token, "The account is empty.")
            case "a refusal":
                self.rotator.suspend(token, TokenRejected("Logged out."))
        self.see_who_was_served()

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(data=st.data(), seconds=st.sampled_from([10.0, 60.0, 3600.0, inf]))
    def pause(self, data: st.DataObject, seconds: float) -> None:
        """The operator lets an account rest."""
        self.calm_until = self.requests + 3
        self.rotator.pause(data.draw(st.sampled_from(self.tokens)), seconds)
        self.see_who_was_served()

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        """The operator lends an account again, whatever Poe said of it."""
        token = data.draw(st.sampled_from(self.tokens))
        self.rested.pop(token.name, None)
        self.rotator.bring_back(token)
        self.see_who_was_served()

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(terms=pools, keeps=st.booleans(), places=st.sampled_from([1, 3, 20]))
    def reload(self, terms: dict[str, dict[str, Any]], keeps: bool, places: int) -> None:
        self.calm_until = self.requests + 5
        before = self.tokens
        if keeps:
            self.terms = {**self.terms, **terms}
            kept = [token for token in before if token.name not in terms]
        else:
            self.terms, kept = terms, []
        self.places = places
        self.tokens = [
            *kept,
            *(one for one in self.build() if one.name not in {it.name for it in kept}),
        ]
        for request in self.waiting:
            # Others may want the same from now on.
            request.ahead = inf
        self.rotator.replace(self.tokens, places=places)
        self.gone += [token for token in before if token not in self.tokens]
        self.see_who_was_served()
        for request in list(self.waiting):
            if request in self.waiting:
                self.look_after(request)

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule()
    def crash(self) -> None:
        """Leases and places are gone; what was sent, and what Poe said, is known."""
        self.calm_until = self.requests + 5
        self.is_late = False
        self.rotator.close()
        self.waiting, self.served, self.gone, self.left, self.over = [], [], [], [], []
        self.start()

    # ---- time

    @rule(seconds=times, follows=crowds)
    def pass_time(self, seconds: float, follows: list[dict[str, Any]]) -> None:
        self.clock.go(seconds)
        self.be_in_time()
        self.come(follows)

    @rule(seconds=moments, follows=crowds)
    def pass_time_while_the_alarm_sleeps(
        self, seconds: float, follows: list[dict[str, Any]]
    ) -> None:
        """Whoever comes, looks or leaves now finds the line as if it had been served in time."""
        self.clock.go(seconds)
        self.is_late = True
        self.come(follows)

    @rule()
    def be_in_time(self) -> None:
        self.is_late = False
        self.rotator.serve_due()
        self.see_who_was_served()
        for request in list(self.waiting):
            if self.clock() >= request.lease.deadline and request in self.waiting:
                self.look_after(request)

    @precondition(lambda self: self.waiting)
    @rule()
    def sleep_until_it_is_due(self) -> None:
        """The line misses nothing if it is served when it is due, and not before."""
        self.be_in_time()
        due = self.rotator.serve_due()
        if due < inf:
            before = list(self.waiting)
            self.clock.go(due * 0.984375)
            self.rotator.serve_due()
            assert all(request.lease.token is None for request in before)
            self.nobody_waits_in_vain()
            self.clock.go(due - due * 0.984375)
            self.be_in_time()

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(wish=wishes, count=st.integers(1, 6))
    def come_back(self, wish: dict[str, Any], count: int) -> None:
        """A request that may wait is served in time, and so is one that was refused and comes back
        when it may, if no other comes and each reply is given at once.

        Those that were refused before do not come back. Each was to have a token of its own, which
        the next one may get in its place, and its own one is then free at another time; so what was
        promised to them has to be over.
        """
        self.calm_until = self.requests + 5
        # Those in line may be refused meanwhile.
        self.live_until(self.clock() + self.patience)
        self.live_until(max(self.promised, self.clock()))
        # What is on its way may arrive later than it is reckoned.
        self.clock.go(MARGIN)
        self.be_in_time()
        if any(state.is_struck for state in self.states(self.rotator.lease(**wish)).values()):
            # Those in line may wait for a better one, as long as they can.
            return
        answers = [self.knock(wish) for _ in range(count)]
        now = self.clock()
        times = sorted(now + it for it in answers if isinstance(it, float | int) and it < inf)
        for request in list(self.served):
            self.end(request)
        for time in times[:4]:
            self.live_until(max(time, self.clock()))
            answers.append(self.knock(wish))
            assert isinstance(answers[-1], Request), f"refused again, for {answers[-1]} s"
        self.live_until(self.clock() + self.patience)
        for answer in answers:
            assert not isinstance(answer, Request) or not answer.lease.refusal, "waited for nothing"

    def live_until(self, time: float) -> None:
        """Let time pass; each reply that can be given is given at once."""
        for _ in range(1000):
            self.rotator.serve_due()
            self.see_who_was_served()
            if self.served:
                # Before the time of those is over that may still be served at this moment.
                for request in list(self.served):
                    self.answer(request)
                continue
            self.be_in_time()
            if self.served:
                continue
            if self.clock() >= time:
                return
            ends = [request.lease.deadline for request in self.waiting]
            self.clock.now = min(time, self.clock() + self.rotator.serve_due(), *ends, inf)
        raise AssertionError("the line does not move")

    def answer(self, request: Request) -> None:
        token = request.lease.token
        assert token is not None
        try:
            may_send = request.lease.may_send(0)
        except TokenHeldBack as refusal:
            self.end(request, refusal)
            return
        if may_send:
            self.note(request, token)
            self.arrive(request)
        self.end(request)

    # ---- what is true after each step

    def states(self, lease: Lease[None]) -> dict[str, TokenState]:
        names = [
            token.name
            for token in self.tokens
            if (lease.kinds is None or token.kind in lease.kinds)
            and (not lease.accounts or token.label in lease.accounts)
            and token.serves(lease.bot)
        ]
        return self.ledger.state(names, bot=lease.bot)

    def free(self, lease: Lease[None]) -> list[str]:
        """The tokens that could be lent to it at this moment, and to no one before it."""
        return [
            name
            for name, state in self.states(lease).items()
            if state.is_free
            and not state.is_struck
            and not any(name in self.states(other.lease) for other in self.waiting)
        ]

    def see_that_it_was_free(self, request: Request) -> None:
        lease = request.lease
        assert lease.token is not None
        assert lease.token in self.tokens
        assert lease.token.name in self.states(lease), "it does not fit"
        others = [one for one in self.served if one.lease.token is lease.token]
        assert len(others) <= lease.token.concurrency

    def see_who_was_served(self) -> None:
        """In the order in which they came, but for priority; in the places of their client for
        streams."""
        lucky = [one for one in self.waiting if one.lease.token is not None]
        self.waiting = [one for one in self.waiting if one.lease.token is None]
        for request in lucky:
            self.served.append(request)
            self.see_that_it_was_free(request)
            self.see_that_nobody_was_first(request)

    def see_that_nobody_was_first(self, request: Request) -> None:
        """Without a client's key, requests are served as they came, but for their priority; with
        one, no other client is served later than it would have been."""
        token = request.lease.token
        assert token is not None
        if self.ledger.state([token.name], bot=request.lease.bot)[token.name].is_struck:
            # Others may wait for a better one.
            return
        for other in self.waiting:
            if other.lease.token is None and self.wants_the_same(other, request):
                other.ahead -= 1
                assert other.ahead >= 0, "overtaken"
                if not other.lease.client and not request.lease.client:
                    is_first = other.number > request.number or request.since < other.since
                    assert is_first, "out of order"

    def wants_the_same(self, one: Request, other: Request) -> bool:
        return (
            one.lease.refusal is None
            and one.lease.names == other.lease.names
            and one.lease.bot == other.lease.bot
        )

    def count_those_ahead(self, request: Request) -> None:
        for other in self.waiting:
            if other.lease.token is None and other.lease.names == request.lease.names:
                request.ahead += 1
                if request.since < other.since:
                    other.ahead += 1
            if (
                request.lease.streams
                and request.lease.client == other.lease.client != ""
                and not other.lease.streams
            ):
                # It may have to change places, so that those between the two go before it.
                other.ahead = inf

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if not self.terms or self.is_late:
            return
        for request in self.waiting:
            if request.lease.refusal is None:
                for name, state in self.states(request.lease).items():
                    assert not state.is_free or state.is_struck, f"waits although {name} is free"

    @invariant()
    def no_lease_is_lost(self) -> None:
        if not self.terms:
            return
        counts = dict.fromkeys((token.name for token in self.tokens), 0)
        for request in self.served:
            token = request.lease.token
            assert token is not None
            counts[token.name] = counts.get(token.name, 0) + 1
        states = self.ledger.state(list(counts))
        assert counts == {name: state.in_use for name, state in states.items()}
        in_line = [one for one in self.waiting if one.lease.refusal is None]
        assert len(in_line) == self.rotator.census()["waiting"]

    @invariant()
    def what_has_left_is_known_once(self) -> None:
        used = {request.lease.token for request in self.served}
        expected = [token for token in self.gone if token not in used]
        assert {*expected} == {*self.left}
        assert len(self.left) == len({*self.left})

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        """Wherever between its sending and its arrival Poe counts each use."""
        for place, sending in enumerate(self.sendings):
            before = sorted(
                one.there_by for one in self.sendings[:place] if one.name == sending.name
            )
            for limit in sending.limits:
                match limit:
                    case Within(calls, window):
                        recent = [at for at in before if at > sending.sent_at - window]
                        assert len(recent) < calls
                    case Rest(seconds, _):
                        assert all(at + seconds <= sending.sent_at for at in before)


TestHouse = House.TestCase
TestHouse.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, derandomize=True, database=None
)
