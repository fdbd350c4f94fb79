"""The budgets of clients that ask several workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import fakeredis
import pytest

from poe_proxy.clients.budgets import Refused
from poe_proxy.clients.client import Limits
from poe_proxy.clients.redis import RedisBudgets
from poe_proxy.errors import PoolUnavailable
from poe_proxy.shared.courier import Courier
from poe_proxy.shared.link import Link
from poe_proxy.shared.presence import Presence, name_of_worker
from poe_proxy.shared.teller import Teller

from ..fakes import Clock
from ..shared.direct import Direct
from ..shared.redis_server import RedisServer
from .desks import HOUR, MIDNIGHT

LIMITED = "alice"
FREE = "bob"


class Worker:
    """One of the workers of a pool."""

    def __init__(self, house: House, name: str, **limits: int) -> None:
        self.caller = Direct(house.client, house.clock, worker=name, pool=house.pool)
        self.teller = Teller(self.caller)
        self.budgets = RedisBudgets(self.caller, self.teller, clock=house.clock, wall=house.clock)
        self.budgets.replace({LIMITED: Limits(**limits), FREE: Limits()}, begins=0.0)
        self.acts = self.caller.verbs
        self.acts.clear()

    def send(self, request: str, name: str = LIMITED) -> bool:
        """Send a request if it may be; it is under way then."""
        if self.budgets.check(name, request):
            return False
        self.budgets.charge(request)
        return True


class House:
    """A pool with a clock of its own."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = Clock()
        self.clock.now = MIDNIGHT + 6 * HOUR
        self.pool = os.urandom(4).hex()


@pytest.fixture(params=["fake redis", "redis"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "fake redis":
        yield House(fakeredis.FakeRedis())
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield House(server.client)


def test_what_all_workers_send_counts_together(house: House) -> None:
    """A limit is that of the client, however many workers it asks."""
    one, other = (Worker(house, name, per_minute=3) for name in "ab")

    assert [True, True, True] == [one.send("1"), other.send("2"), one.send("3")]
    assert Refused("per_minute", 3, 60.0) == other.budgets.check(LIMITED, "4")
    assert (3, 3) == (
        other.budgets.standing(LIMITED).requests,
        other.budgets.standing(LIMITED).under_way,
    )


@pytest.mark.parametrize("limit", ["per_minute", "per_day", "at_a_time"])
def test_of_many_that_come_to_all_workers_no_more_go_than_may(house: House, limit: str) -> None:
    """Sixty-four at the same moment, on two of them."""
    workers = [Worker(house, name, **{limit: 10}) for name in "ab"]
    barrier = Barrier(64)
    sent: list[str] = []

    def come(number: int) -> None:
        barrier.wait()
        if workers[number % 2].send(str(number)):
            sent.append(str(number))

    threads = [Thread(target=come, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 10 == len(sent) == workers[0].budgets.standing(LIMITED).requests


class RealWorker:
    """A worker as the server has it."""

    def __init__(self, server: RedisServer, pool: str, **limits: int) -> None:
        self.pool = pool
        name = name_of_worker()
        link = Link(server.url, pool)
        self.courier = Courier(link, worker=name)
        self.presence = Presence(self.courier, link.listener(5.0), name, version="1")
        self.budgets = RedisBudgets(self.courier, Teller(self.courier))
        self.budgets.replace({LIMITED: Limits(**limits)}, begins=0.0)
        self.presence.on_stranger.append(self.budgets.adopt)
        self.presence.start()

    def close(self) -> None:
        self.presence.close()
        self.courier.close()


@pytest.mark.parametrize("limit", ["per_minute", "per_day", "at_a_time"])
def test_it_is_exact_over_the_couriers_of_two_workers(
    redis_server: RedisServer, limit: str
) -> None:
    """Sixty-four at the same moment; what is over is over, whoever says so."""
    pool = os.urandom(4).hex()
    workers = [RealWorker(redis_server, pool, **{limit: 10}) for _ in range(2)]
    barrier = Barrier(64)
    sent: list[str] = []

    def come(number: int) -> None:
        budgets = workers[number % 2].budgets
        barrier.wait()
        if budgets.check(LIMITED, f"{number}") is None:
            budgets.charge(f"{number}")
            sent.append(f"{number}")
        else:
            budgets.add(f"{number}")

    try:
        threads = [Thread(target=come, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in workers:
            # What each has noted is there before what it asks for now.
            now = worker.budgets.standing(LIMITED)
        assert (10, 10, 10) == (len(sent), now.requests, now.under_way)
        for worker in workers:
            for request in sent:  # a worker does not know those of the other
                worker.budgets.add(request, tokens=7, points=3)
        for worker in workers:
            now = worker.budgets.standing(LIMITED)
        assert (10, 0, 70, 30) == (now.requests, now.under_way, now.tokens, now.points)
    finally:
        for worker in workers:
            worker.close()


def test_what_a_real_redis_forgets_is_told_before_all_else(redis_server: RedisServer) -> None:
    """Places that are taken stay so; what was on its way counts, and nothing twice."""
    worker = RealWorker(redis_server, os.urandom(4).hex(), at_a_time=2)
    try:
        assert worker.budgets.check(LIMITED, "1") is None
        worker.budgets.charge("1")
        assert worker.budgets.check(LIMITED, "2") is None
        prefix = f"poe:{{{worker.pool}}}:2:"
        for key in redis_server.client.scan_iter(f"{prefix}*"):
            redis_server.client.delete(key)
        worker.budgets.charge("2")

        assert worker.budgets.check(LIMITED, "3")
        now = worker.budgets.standing(LIMITED)
        assert (1, 2) == (now.requests, now.under_way)
    finally:
        worker.close()


def test_a_client_without_limits_costs_its_requests_nothing(house: House) -> None:
    """What it uses is added up, and told together, now and then."""
    one, other = (Worker(house, name) for name in "ab")
    for number in range(5):
        assert one.send(str(number), FREE)
    for number in range(4):
        one.budgets.add(str(number), tokens=7, points=3, is_exact=number == 0)
    one.budgets.left(FREE, "0")
    one.budgets.wait(FREE)
    assert [] == one.acts

    one.budgets.beat()
    now = other.budgets.standing(FREE)
    assert ["tell"] == one.acts
    assert (5, 1, 28, 12, 3) == (
        *(now.requests, now.under_way, now.tokens, now.points, now.exact_points),
    )
    assert now == one.budgets.standing(FREE)


def test_the_headers_of_an_answer_cost_no_second_call(house: House) -> None:
    """What is left was said along with the place, and with what is refused."""
    one = Worker(house, "a", per_minute=2, tokens_per_day=100)
    assert one.send("1")
    assert one.send("2")
    before = one.acts.copy()
    house.clock.go(10)
    left = one.budgets.left(LIMITED, "2").of_requests
    assert left is not None
    assert (0, 50.0) == (left.left, left.seconds)
    assert one.acts == before

    assert Refused("per_minute", 2, 50.0) == one.budgets.check(LIMITED, "3")
    before = one.acts.copy()
    house.clock.go(10)
    assert 40.0 == one.budgets.wait(LIMITED, "3")
    left = one.budgets.left(LIMITED, "3").of_requests
    assert left is not None
    assert (0, 40.0) == (left.left, left.seconds)
    assert one.acts == before


def test_a_place_is_the_same_however_often_it_is_asked_for(house: House) -> None:
    """An answer that was lost is asked for once more."""
    one = Worker(house, "a", at_a_time=1)

    assert one.budgets.check(LIMITED, "1") is None
    assert one.budgets.check(LIMITED, "1") is None
    assert one.budgets.check(LIMITED, "2")


def test_what_is_told_twice_counts_once(house: House) -> None:
    """A note whose answer was lost is brought once more."""
    one = Worker(house, "a", per_day=5)
    one.caller.twice = frozenset({"tell"})
    assert one.send("1")
    one.budgets.add("1", tokens=7, points=3)
    assert one.send("2", FREE)
    one.budgets.add("2", tokens=5, points=2)

    now, free = one.budgets.standing(LIMITED), one.budgets.standing(FREE)
    assert (1, 7, 3) == (now.requests, now.tokens, now.points)
    assert (1, 5, 2) == (free.requests, free.tokens, free.points)


def test_while_redis_is_away_nobody_with_limits_goes_on(house: House) -> None:
    """Nobody knows what is left; a client without limits goes on, and is counted later."""
    one = Worker(house, "a", per_day=5)
    assert one.send("1")
    one.caller.trouble = "It is away."

    with pytest.raises(PoolUnavailable) as raised:
        one.budgets.check(LIMITED, "2")
    assert 5.0 == raised.value.retry_after
    assert one.send("3", FREE)
    one.budgets.add("2")
    one.budgets.add("1", tokens=7)
    one.budgets.add("3", tokens=5)
    assert 0.0 == one.budgets.wait(LIMITED)
    assert one.budgets.left(LIMITED).of_requests is None

    one.caller.trouble = ""
    now, free = one.budgets.standing(LIMITED), one.budgets.standing(FREE)
    assert (1, 0, 7) == (now.requests, now.under_way, now.tokens)
    assert (1, 0, 5) == (free.requests, free.under_way, free.tokens)


def test_what_was_known_is_shown_while_redis_is_away(house: House) -> None:
    """The page has to say something of each client."""
    one = Worker(house, "a", per_day=5)
    assert one.send("1")
    before = one.budgets.standing(LIMITED)
    one.caller.trouble = "It is away."

    assert before == one.budgets.standing(LIMITED)
    assert 0 == one.budgets.standing(FREE).requests
    assert MIDNIGHT + 24 * HOUR == one.budgets.standing(FREE).next_day


def test_a_place_that_its_worker_does_not_know_is_given_back(house: House) -> None:
    """The call for it had been given up, and came late; a place of this moment stays."""
    one, other = (Worker(house, name, at_a_time=2) for name in "ab")
    assert one.send("1")
    one.caller.call("b_check", one.budgets._about(LIMITED, "late"))
    one.budgets.beat()
    assert other.budgets.check(LIMITED, "2")

    house.clock.go(11)
    one.budgets.beat()
    assert other.budgets.check(LIMITED, "3") is None
    assert 2 == other.budgets.standing(LIMITED).under_way


@pytest.mark.parametrize("quits", [True, False])
def test_the_places_of_a_worker_that_is_gone_are_free(house: House, quits: bool) -> None:
    """It said so itself, or died; what it had sent still counts."""
    one, other = (Worker(house, name, at_a_time=2, per_day=3) for name in "ab")
    one.caller.hello(lives=15.0)
    assert one.send("1")
    assert one.budgets.check(LIMITED, "2") is None
    assert one.send("3", FREE)
    one.budgets.beat()
    assert other.budgets.check(LIMITED, "4")
    assert 1 == other.budgets.standing(FREE).under_way

    if quits:
        one.caller.call("quit")
    else:
        house.clock.go(15.0)
    assert [True, True, False] == [other.send("5"), other.send("6"), other.send("7")]
    assert Refused("per_day", 3, 18 * HOUR - house.clock.now + MIDNIGHT + 6 * HOUR) == (
        other.budgets.check(LIMITED, "8")
    )
    assert 0 == other.budgets.standing(FREE).under_way


def test_a_worker_that_only_froze_goes_on_with_its_requests(house: House) -> None:
    """It was taken for dead: they have their places again, and end as they would."""
    one, other = (Worker(house, name, at_a_time=2, tokens_per_day=100) for name in "ab")
    one.caller.hello(lives=15.0)
    assert one.send("1")
    house.clock.go(16.0)
    assert [True, True] == [other.send("2"), other.send("3")]

    one.budgets.beat()
    assert 3 == other.budgets.standing(LIMITED).under_way
    one.budgets.add("1", tokens=7)
    now = other.budgets.standing(LIMITED)
    assert (2, 7) == (now.under_way, now.tokens)


def test_what_redis_has_forgotten_is_told_again(house: House) -> None:
    """Requests that are under way have their places, sent or not; they end as they would."""
    one = Worker(house, "a", at_a_time=2)
    assert one.send("1")
    assert one.budgets.check(LIMITED, "2") is None
    house.client.flushall()
    one.budgets.adopt()

    assert one.budgets.check(LIMITED, "3")
    assert 2 == one.budgets.standing(LIMITED).under_way
    one.budgets.charge("2")
    for request in "123":
        one.budgets.add(request, tokens=7)
    now = one.budgets.standing(LIMITED)
    assert (0, 14) == (now.under_way, now.tokens)


def test_a_client_that_gets_limits_has_its_requests_counted(house: House) -> None:
    """Those that are under way at the reload."""
    one = Worker(house, "a")
    assert one.send("1", FREE)
    one.budgets.replace({FREE: Limits(at_a_time=1, per_day=5)}, begins=0.0)

    assert one.budgets.check(FREE, "2")
    one.budgets.add("1", tokens=7)
    assert one.send("3", FREE)
    now = one.budgets.standing(FREE)
    assert (2, 1, 7) == (now.requests, now.under_way, now.tokens)


def test_names_of_clients_cannot_meet(house: House) -> None:
    """A name may have a colon."""
    one = Worker(house, "a", per_minute=1)
    for number, name in enumerate((LIMITED, f"held:{LIMITED}", f"{LIMITED}:held", "all:1")):
        one.budgets.replace({name: Limits(per_minute=1)}, begins=0.0)
        assert [True, False] == [
            one.send(str(10 * number), name),
            one.send(str(10 * number + 1), name),
        ]


def test_months_are_those_of_the_calendar(house: House) -> None:
    """Leap years, too: points of a month are forgotten with its last day."""
    one = Worker(house, "a", points_per_month=10)
    for begins, then in (
        ("2027-02-01", "2027-03-01"),
        ("2028-02-29", "2028-03-01"),
        ("2028-12-31", "2029-01-01"),
        ("2100-02-28", "2100-03-01"),
    ):
        first, last = (_seconds(day) for day in (begins, then))
        house.clock.now = first + HOUR
        assert one.send(begins)
        one.budgets.add(begins, points=10)
        assert Refused("points_per_month", 10, last - first - HOUR) == one.budgets.check(
            LIMITED, "no"
        )
        house.clock.now = last
        assert one.budgets.check(LIMITED, then) is None
        one.budgets.add(then)


def _seconds(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
