"""What no schedule of requests, and of the lives of workers, may bring about in a shared pool.

Several workers share a Redis. They come and go, freeze, lose messages and answers, and are cut off;
Redis forgets. All times are multiples of 1/1024 s, which floats add without an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from poe_proxy.errors import (
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    PoolUnavailable,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
)
from poe_proxy.pool.ledger import MARGIN, TokenState
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.pool.redis.ledger import RedisLedger
from poe_proxy.pool.refusals import MIN_REST
from poe_proxy.pool.rotator import Lease, Token
from poe_proxy.rules import SENDS_WITHIN
from poe_proxy.shared.calling import StoreAway

from ...shared.redis_server import RedisServer
from ..test_pool_properties import INSTANT, crowds, failures, terms
from .workers import Hand, Pool, Worker

KINDS = {"c": "cookie", "k": "key", "m": "key"}

pools = st.dictionaries(st.sampled_from(sorted(KINDS)), terms, min_size=1)
#: A worker is dead after 15 s without a sign of life.
moments = st.sampled_from([0.015625, 0.5, 2.0, 4.984375, 5.0, 10.0])
times = moments | st.sampled_from([29.0, 60.0, 299.0, 3600.0])


class Host:
    """A worker as the machine sees it."""

    def __init__(self, worker: Worker, now: float) -> None:
        self.worker = worker
        #: Since when nothing was heard of it.
        self.silent_since = now
        #: Whether it does nothing, and whether Redis is away for it.
        self.is_frozen = self.is_cut_off = False
        #: Whether it was taken for dead, and has not been heard of since.
        self.was_buried = False

    def __repr__(self) -> str:
        return self.worker.name

    @property
    def is_there(self) -> bool:
        return not self.is_frozen and not self.is_cut_off


class Request:
    """A request that waits, or has its token."""

    def __init__(self, host: Host, lease: Lease[None], number: int, came: float) -> None:
        self.host = host
        self.lease = lease
        self.number = number
        self.came = came
        #: Whether its worker was buried since it had its token: others may have it.
        self.is_lost = False
        #: Whether it had to join the line anew, so that nobody knows its place.
        self.has_moved = False
        #: What was sent last, until it has arrived.
        self.last: Sending | None = None

    def __repr__(self) -> str:
        return f"<{self.number} of {self.host}>"

    @property
    def since(self) -> float:
        """When it came, put back by ten seconds for each step of its priority."""
        return self.came - 10 * self.lease.priority


class Sending:
    """Something that was sent. Poe counts it at any moment from then until it was there."""

    def __init__(self, name: str, host: Host, now: float, limits: Sequence[Limit]) -> None:
        self.name = name
        self.host = host
        self.sent_at = now
        self.there_by = now + MARGIN
        #: The limits when it was sent.
        self.limits = limits


class Houses(RuleBasedStateMachine):
    """Requests come to any worker, wait, send, fail and hang up; workers die, and Redis forgets."""

    client: ClassVar[redis.Redis | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(self.client)
        self.clock = self.pool.clock
        #: Asks on behalf of nobody.
        self.onlooker = RedisLedger(Hand(self.pool.redis, self.pool.prefix, self.clock, ""))
        self.terms: dict[str, dict[str, Any]] = {}
        self.limits: dict[str, Sequence[Limit]] = {}
        self.tokens: dict[str, Token[None]] = {}
        self.hosts: list[Host] = []
        self.waiting: list[Request] = []
        self.served: list[Request] = []
        self.sendings: list[Sending] = []
        #: Leases of workers that were killed, and when they were heard of last.
        self.left_behind: list[tuple[str, float]] = []
        #: The same of what they had in line.
        self.ghosts: list[float] = []
        self.over: list[tuple[Lease[None], Token[None]]] = []
        #: Until when Poe said that each token must rest; to whom, and when.
        self.rested: dict[str, tuple[float, Host, float]] = {}
        self.places = 20
        self.requests = 0
        #: How many requests have come when accounts may change again: else nothing ever waits.
        self.calm_until = 5

    @initialize(
        terms=pools,
        patience=st.sampled_from([30.0, 100.0]),
        places=st.sampled_from([2, 5, 20]),
        workers=st.integers(2, 3),
        wishes=crowds,
    )
    def begin(
        self,
        terms: dict[str, dict[str, Any]],
        patience: float,
        places: int,
        workers: int,
        wishes: list[dict[str, Any]],
    ) -> None:
        self.terms, self.patience, self.places = terms, patience, places
        self.build()
        for _ in range(workers):
            self.hosts.append(self.new_host())
        self.pass_some(4.0)
        for wish in wishes:
            self.knock(self.hosts[0], wish)
        self.settle()

    def build(self) -> None:
        self.limits |= {name: terms["limits"] for name, terms in self.terms.items()}
        self.tokens = {
            name: Token(name, None, kind=KINDS[name], has_home=KINDS[name] == "cookie", **terms)
            for name, terms in self.terms.items()
        }

    def new_host(self) -> Host:
        worker = self.pool.worker(*self.tokens.values(), patience=self.patience, places=self.places)
        return Host(worker, self.clock())

    def teardown(self) -> None:
        for one in self.pool.workers:
            one.close()
        self.pool.forget()

    # ---- requests

    def there(self) -> list[Host]:
        return [host for host in self.hosts if host.is_there]

    @rule(data=st.data(), wishes=crowds)
    def come(self, data: st.DataObject, wishes: list[dict[str, Any]]) -> None:
        for wish in wishes:
            host = data.draw(st.sampled_from(self.hosts))
            if not host.is_frozen:
                self.knock(host, wish)
        self.settle()

    def knock(self, host: Host, wish: dict[str, Any]) -> None:
        self.requests += 1
        lease: Lease[None] = host.worker.rotator.lease(**wish)
        request = Request(host, lease, self.requests, self.clock())
        self.speaks(host)
        try:
            lease.__enter__()
        except (NoTokenFree, NoTokenLeft, UpstreamBlocked) as refusal:
            self.see_that_it_had_to_be_refused(lease, refusal)
            return
        except PoolUnavailable:
            self.see_that_it_is_away(host)
            host.worker.courier.has_lost = False
            return
        self.waiting.append(request)
        # Where its answer was lost, it may have its token since.
        request.has_moved = host.worker.courier.has_lost
        host.worker.courier.has_lost = False
        line = f"{self.pool.prefix}line"
        if self.pool.redis.zscore(line, lease.id) is not None:
            assert self.pool.redis.zcard(line) <= self.places, "more wait than may"

    def see_that_it_had_to_be_refused(self, lease: Lease[None], refusal: PoeProxyError) -> None:
        """Without anyone else, it is enough that one token will be free in time."""
        if self.waiting or self.served or self.left_behind or self.ghosts or self.closed():
            return
        if not all(host.is_there for host in self.hosts):
            return  # what it has given up is not known yet
        states = self.states(lease)
        assert all(state.rest > self.patience for state in states.values()), states
        if any(state.rest < inf for state in states.values()):
            assert refusal.retry_after
            assert refusal.retry_after >= min(state.rest for state in states.values())

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.waiting))
        if request.host.is_frozen:
            return
        self.speaks(request.host)
        self.waiting.remove(request)
        request.lease.__exit__(GeneratorExit, GeneratorExit(), None)
        self.settle()

    # ---- leases

    @precondition(lambda self: self.served)
    @rule(data=st.data(), arrives=st.booleans())
    def send(self, data: st.DataObject, arrives: bool) -> None:
        # No two things happen at the very same moment.
        self.pass_some(INSTANT)
        request = data.draw(st.sampled_from(self.served))
        if request.host.is_frozen:
            return
        token = request.lease.token
        assert token is not None
        was_lost = request.is_lost or request.host.was_buried
        self.speaks(request.host)
        try:
            may_send = request.lease.may_send(0)
        except TokenHeldBack as refusal:
            self.end(request, refusal)
        except PoolUnavailable as refusal:
            self.see_that_it_is_away(request.host)
            self.end(request, refusal)
        else:
            assert not may_send or not was_lost, "sent although others may have it"
            if may_send:
                self.note(request, token)
                if arrives:
                    self.arrive(request)
        self.settle()

    def note(self, request: Request, token: Token[None]) -> None:
        now = self.clock()
        until, host, since = self.rested.get(token.name, (0.0, request.host, 0.0))
        # What other workers are told in the moment in which it is sent comes too late.
        is_just_told = host is not request.host and now - since <= SENDS_WITHIN
        assert until <= now or is_just_told, "sent although Poe said that it must rest"
        sending = Sending(token.name, request.host, now, self.limits[token.name])
        request.last = sending
        self.sendings.append(sending)

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def arrived(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.served))
        if not request.host.is_frozen:
            self.speaks(request.host)
            self.arrive(request)
            self.settle()

    def arrive(self, request: Request) -> None:
        request.lease.arrived()
        if request.last is not None:
            request.last.there_by = min(request.last.there_by, self.clock())
            request.last = None

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def say_something(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.served))
        if not request.host.is_frozen:
            self.speaks(request.host)
            request.lease.worked()
            self.settle()

    @precondition(lambda self: self.served)
    @rule(data=st.data(), failure=failures)
    def give_back(self, data: st.DataObject, failure: BaseException | None) -> None:
        request = data.draw(st.sampled_from(self.served))
        if not request.host.is_frozen:
            self.speaks(request.host)
            self.end(request, failure)
            self.settle()

    @precondition(lambda self: self.over)
    @rule(data=st.data(), seconds=st.sampled_from([None, 20.0]))
    def refuse_late(self, data: st.DataObject, seconds: float | None) -> None:
        """Poe answers behind a client that hung up."""
        lease, token = data.draw(st.sampled_from(self.over))
        host = next((one for one in self.hosts if one.worker.rotator is lease._pool), None)
        if host is None or not host.is_there:
            return
        self.speaks(host)
        failure = TokenLimited("Poe says so.", retry_after=seconds)
        lease.refused(failure)
        self.heed(host, token, failure)
        self.settle()

    def end(self, request: Request, failure: BaseException | None = None) -> None:
        token = request.lease.token
        assert token is not None
        self.served.remove(request)
        request.lease.__exit__(type(failure) if failure else None, failure, None)
        self.over.append((request.lease, token))
        self.heed(request.host, token, failure)

    def heed(self, host: Host, token: Token[None], failure: BaseException | None) -> None:
        # What a worker notes while it is cut off is known to the others later.
        if type(failure) is TokenLimited and host.is_there:
            rest = 30.0 if failure.retry_after is None else max(failure.retry_after, MIN_REST)
            until = self.clock() + rest
            if until > self.rested.get(token.name, (0.0,))[0]:
                self.rested[token.name] = (until, host, self.clock())

    # ---- accounts

    @precondition(lambda self: self.requests >= self.calm_until and self.there())
    @rule(
        data=st.data(),
        what=st.sampled_from(["points", "points", "nothing", "a refusal", "pause", "back"]),
        seconds=st.sampled_from([10.0, 60.0, inf]),
    )
    def look_at_account(self, data: st.DataObject, what: str, seconds: float) -> None:
        self.calm_until = self.requests + 3
        host = data.draw(st.sampled_from(self.there()))
        self.speaks(host)
        name = data.draw(st.sampled_from(sorted(self.tokens)))
        rotator, token = host.worker.rotator, self.tokens[name]
        match what:
            case "points":
                rotator.revive(token)
            case "nothing":
                rotator.exhaust(token, "The account is empty.")
            case "a refusal":
                rotator.suspend(token, TokenRejected("Logged out."))
            case "pause":
                rotator.pause(token, seconds)
            case "back":
                self.rested.pop(name, None)
                rotator.bring_back(token)
        self.settle()

    @precondition(lambda self: self.requests >= self.calm_until)
    @precondition(lambda self: all(host.is_there for host in self.hosts))
    @rule(terms=pools, keeps=st.booleans(), places=st.sampled_from([1, 3, 20]))
    def reload(self, terms: dict[str, dict[str, Any]], keeps: bool, places: int) -> None:
        self.calm_until = self.requests + 5
        self.terms = {**self.terms, **terms} if keeps else terms
        self.places = places
        self.build()
        for host in self.hosts:
            self.speaks(host)
            host.worker.rotator.replace(self.tokens.values(), places=places)
        self.settle()

    # ---- workers

    @precondition(lambda self: self.requests >= self.calm_until)
    @rule(data=st.data(), is_orderly=st.booleans())
    def end_of_a_worker(self, data: st.DataObject, is_orderly: bool) -> None:
        """It is killed, or stopped; another one takes its place."""
        self.calm_until = self.requests + 5
        place = data.draw(st.integers(0, len(self.hosts) - 1))
        host = self.hosts[place]
        if host.is_there and is_orderly:
            self.speaks(host)
            with suppress(StoreAway):
                host.worker.courier.call("quit", {})
        elif not host.was_buried:
            names = [
                one.lease.token.name
                for one in self.served
                if one.host is host and one.lease.token and not one.is_lost
            ]
            self.left_behind += [(name, host.silent_since) for name in names]
            # Until it is buried, what it has in line may be served.
            self.ghosts += [host.silent_since for one in self.waiting if one.host is host]
        host.worker.close()
        self.pool.workers.remove(host.worker)
        self.waiting = [one for one in self.waiting if one.host is not host]
        self.served = [one for one in self.served if one.host is not host]
        self.hosts[place] = self.new_host()
        self.settle()

    @precondition(lambda self: any(host.is_there for host in self.hosts[1:]))
    @rule(data=st.data(), is_cut_off=st.booleans())
    def silence(self, data: st.DataObject, is_cut_off: bool) -> None:
        """A worker freezes, or loses its connection; the first one never does."""
        host = data.draw(st.sampled_from([one for one in self.hosts[1:] if one.is_there]))
        if is_cut_off:
            host.is_cut_off = True
            host.worker.courier.trouble = "cut off"
        else:
            host.is_frozen = True

    @precondition(lambda self: not all(host.is_there for host in self.hosts))
    @rule(data=st.data())
    def return_of_a_worker(self, data: st.DataObject) -> None:
        host = data.draw(st.sampled_from([one for one in self.hosts if not one.is_there]))
        was_cut_off = host.is_cut_off
        host.is_frozen = host.is_cut_off = False
        self.speaks(host)
        if was_cut_off:
            for one in self.waiting:
                one.has_moved = one.has_moved or one.host is host
            host.worker.courier.back()
        self.settle()

    @rule(data=st.data())
    def lose_an_answer(self, data: st.DataObject) -> None:
        """To the next call of a worker."""
        host = data.draw(st.sampled_from(self.hosts))
        host.worker.courier.loses = 1

    @rule(data=st.data())
    def lose_messages(self, data: st.DataObject) -> None:
        """Those that a worker is told in what follows."""
        data.draw(st.sampled_from(self.hosts)).worker.miss()

    @precondition(lambda self: self.requests >= self.calm_until)
    @precondition(lambda self: all(host.is_there for host in self.hosts))
    @rule()
    def forget(self) -> None:
        """Redis loses all that it knew. All are told so by what they hear, or ask next."""
        self.calm_until = self.requests + 5
        self.pool.forget()
        self.rested.clear()
        self.left_behind.clear()
        self.ghosts.clear()
        living = set(self.hosts)
        # What the dead had used is lost; it is for this that cookies rest.
        self.sendings = [
            one for one in self.sendings if one.host in living or KINDS[one.name] == "cookie"
        ]
        for one in self.waiting:
            one.has_moved = True
        for host in self.hosts:
            host.worker.courier.loses = 0
            host.worker.presence.beat()
        self.settle()

    # ---- time

    @rule(seconds=times)
    def pass_time(self, seconds: float) -> None:
        self.pass_some(seconds)
        self.settle()

    def pass_some(self, seconds: float) -> None:
        """Let time pass; who is there gives signs of life."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            # Nothing happens in between but that some are buried.
            step = 4.0 if end - self.clock.now < 100.0 else 14.0
            self.clock.now = min(end, self.clock.now + step)
            for host in self.hosts:
                if host.is_there:
                    self.speaks(host)
                    host.worker.courier.loses = 0
                    host.worker.presence.beat()
        self.bury()

    def speaks(self, host: Host) -> None:
        """A worker is about to be heard of."""
        self.bury()
        if host.is_there:
            host.silent_since = self.clock()

    def bury(self) -> None:
        """Whoever was silent for too long is dead for the others."""
        now = self.clock()
        for host in self.hosts:
            if now >= host.silent_since + 15.0 and not host.was_buried and not host.is_there:
                host.was_buried = True
                for one in self.served:
                    one.is_lost = one.is_lost or one.host is host
                for one in self.waiting:
                    one.has_moved = one.has_moved or one.host is host
        self.left_behind = [one for one in self.left_behind if now < one[1] + 15.0]
        self.ghosts = [one for one in self.ghosts if now < one + 15.0]

    # ---- what is true after each step

    def settle(self) -> None:
        """Let all hear what they were told, and look at the line."""
        for host in self.there():
            if host.was_buried:
                host.worker.presence.beat()
                host.was_buried = False
        for _ in range(2):
            for host in self.there():
                host.worker.hear()
                self.speaks(host)
                host.worker.rotator.serve_due()
                # What is asked for a second time is answered.
                host.worker.courier.loses = 0
        for request in list(self.waiting):
            if request.host.is_frozen or request.lease.token is not None:
                continue
            if request.lease.refusal is not None or self.clock() >= request.lease.deadline:
                self.look_after(request)
        self.see_who_was_served()
        self.nobody_waits_in_vain()
        self.no_lease_is_lost()
        self.no_limit_is_exceeded()

    def look_after(self, request: Request) -> None:
        self.speaks(request.host)
        try:
            request.lease.wait(0)
        except PoeProxyError as refusal:
            if isinstance(refusal, PoolUnavailable):
                self.see_that_it_is_away(request.host)
            self.waiting.remove(request)
            request.lease.__exit__(None, None, None)
        else:
            assert request.lease.token is not None, "waits after its deadline"

    def see_that_it_is_away(self, host: Host) -> None:
        """Redis is, for this worker; or an answer was just lost."""
        assert host.is_cut_off or host.worker.courier.has_lost

    def states(self, lease: Lease[None]) -> dict[str, TokenState]:
        names = [
            name
            for name, token in self.tokens.items()
            if (lease.kinds is None or token.kind in lease.kinds)
            and (not lease.accounts or token.label in lease.accounts)
            and token.serves(lease.bot)
        ]
        return self.onlooker.state(names, bot=lease.bot) if names else {}

    def home(self, name: str) -> str | None:
        found = self.pool.redis.hget(f"{self.pool.prefix}t:{name}", "home")
        return found.decode() if isinstance(found, bytes) else None

    def closed(self) -> bool:
        """Whether nothing is lent, because Redis has forgotten what was used."""
        until = self.pool.redis.get(f"{self.pool.prefix}closed_until")
        return isinstance(until, bytes) and self.clock() < float(until)

    def see_who_was_served(self) -> None:
        """In the order in which they came, in whatever worker."""
        lucky = [one for one in self.waiting if one.lease.token is not None]
        self.waiting = [one for one in self.waiting if one.lease.token is None]
        for request in lucky:
            request.is_lost = request.host.was_buried
            self.served.append(request)
            self.see_that_it_was_free(request)
            self.see_that_nobody_was_first(request)

    def see_that_it_was_free(self, request: Request) -> None:
        lease = request.lease
        assert lease.token is not None
        assert lease.token is self.tokens[lease.token.name]
        assert lease.token.name in self.states(lease), "it does not fit"
        others = [one for one in self.served if one.lease.token is lease.token and not one.is_lost]
        assert len(others) <= lease.token.concurrency or self.limits_have_changed(others)
        if lease.token.has_home:
            hosts = {id(one.host) for one in others}
            assert len(hosts) <= 1, "two sessions at a time"

    def limits_have_changed(self, others: list[Request]) -> bool:
        """Whether some were lent under other terms: their token is another one."""
        return any(one.lease.token is not others[-1].lease.token for one in others)

    def see_that_nobody_was_first(self, request: Request) -> None:
        token = request.lease.token
        assert token is not None
        if token.has_home or request.has_moved or request.lease.client:
            return
        if self.onlooker.state([token.name], bot=request.lease.bot)[token.name].is_struck:
            return  # others may wait for a better one
        for other in self.waiting:
            if (
                other.host.is_there
                and not other.has_moved
                and not other.lease.client
                and other.lease.refusal is None
                and (other.lease.names, other.lease.bot) == (request.lease.names, request.lease.bot)
            ):
                is_first = other.number > request.number or request.since < other.since
                assert is_first, "out of order"

    def nobody_waits_in_vain(self) -> None:
        if self.closed():
            return
        for request in self.waiting:
            if not request.host.is_there or request.lease.refusal is not None:
                continue
            for name, state in self.states(request.lease).items():
                if state.is_free and not state.is_struck:
                    at_home = {None, request.host.worker.name}
                    is_at_hand = not self.tokens[name].has_home or self.home(name) in at_home
                    assert not is_at_hand, f"waits although {name} is free"

    def no_lease_is_lost(self) -> None:
        """What is lent is what requests have, but for workers whose end is not known yet."""
        counts = dict.fromkeys(self.tokens, 0)
        for request in self.served:
            token = request.lease.token
            assert token is not None
            if not request.host.was_buried:
                counts[token.name] = counts.get(token.name, 0) + 1
        for name, _ in self.left_behind:
            counts[name] = counts.get(name, 0) + 1
        unknown = [host for host in self.hosts if not host.is_there and not host.was_buried]
        states = self.onlooker.state([name for name in counts if name in self.tokens])
        for name, state in states.items():
            if unknown:
                # It may give back what it cannot say yet, or have what it does not know of yet.
                continue
            if self.ghosts:
                assert counts[name] <= state.in_use <= counts[name] + len(self.ghosts)
            else:
                assert counts[name] == state.in_use, f"{name}: {counts[name]}, {state.in_use}"

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
                        assert len(recent) < calls, "a limit is exceeded"
                    case Rest(seconds, _):
                        assert all(at + seconds <= sending.sent_at for at in before), "no pause"


class OnServer(Houses):
    """On a real redis-server."""


@pytest.fixture(scope="module", autouse=True)
def _server(redis_server: RedisServer) -> Iterator[None]:
    OnServer.client = redis_server.client
    yield
    OnServer.client = None


_HOW = {"deadline": None, "derandomize": True, "database": None}
TestHouses = Houses.TestCase
TestHouses.settings = settings(max_examples=6, stateful_step_count=20, **_HOW)
TestOnServer = OnServer.TestCase
TestOnServer.settings = settings(max_examples=60, stateful_step_count=40, **_HOW)
