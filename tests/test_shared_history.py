"""What the requests of all workers were like, as the status page of each shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest

from poe_proxy.history import MOST_FAILURES, MOST_MODELS, OTHER, History, Minute
from poe_proxy.shared.teller import Teller
from poe_proxy.shared_history import KEPT, SharedHistory

from .fakes import Clock
from .shared.direct import Direct
from .shared.redis_server import RedisServer
from .test_history import MIDNIGHT, failed, record


class Worker:
    """One of the workers of a pool, which may have labels and a clock of its own."""

    def __init__(self, house: House, name: str, *, label: str = "cookie-1") -> None:
        self.caller = Direct(house.client, house.clock, worker=name, pool=house.pool)
        self.teller = Teller(self.caller)
        self.wall = Clock()
        self.wall.now = house.clock.now
        self.house = house
        self.history = SharedHistory(
            self.caller,
            self.teller,
            names=lambda: {label: "0123456789abcdef"},
            clock=house.clock,
            wall=self.wall,
        )


class House:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = Clock()
        self.clock.now = MIDNIGHT
        self.pool = os.urandom(4).hex()
        self.workers = [Worker(self, "a"), Worker(self, "b", label="cookie-7")]

    def go(self, seconds: float) -> None:
        self.clock.go(seconds)
        for one in self.workers:
            one.wall.go(seconds)

    def told(self) -> None:
        """Let all have told what they know, and nobody know it still."""
        for one in self.workers:
            one.teller.tell()
        self.go(KEPT)


@pytest.fixture(params=["fake redis", "redis"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "fake redis":
        yield House(fakeredis.FakeRedis())
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield House(server.client)


def _all(history: History) -> list[object]:
    """Return all that is shown."""
    accounts = history.accounts()
    return [
        history.minutes(),
        history.failures(),
        [
            (one.name, one.bot, one.hours, one.requests, one.failures, one.first_text)
            for one in history.models()
        ],
        [
            (label, one.succeeded_at, one.failed_at, one.code, one.first_text)
            for label, one in accounts.items()
        ],
    ]


RECORDS = (
    record(first_text=102.0),
    record(first_text=103.5, joined=100.5, queued=1.0),
    failed("rate_limit_exceeded", status=429, account=""),
    failed(),
    failed(),
    failed(model="gpt-5", bot="GPT-5", message="It took too long."),
    record(moved_from=("cookie-1",), moves=("token_limited",), account=""),
    failed(method="GET"),
    failed("client_closed", status=499),
)


def test_one_worker_alone_shows_what_it_would_by_itself(house: House) -> None:
    """Number for number, but for waits, which are known to a twentieth."""
    alone = History(house.clock)
    one = house.workers[0]
    for given in RECORDS:
        alone.tell(given)
        one.history.tell(given)
        house.go(50.0)

    assert _all(alone) == _all(one.history)
    waits, known = alone.waits(), one.history.waits()
    assert waits is not None
    assert known is not None
    assert waits.median == known.median == 0.0
    assert waits.most == pytest.approx(known.most, rel=0.05)


def test_each_shows_what_all_have_told(house: House) -> None:
    """An account is the same whatever it is called there."""
    one, other = (worker.history for worker in house.workers)
    one.tell(record(first_text=102.0))
    other.tell(failed(account="cookie-7"))
    other.tell(record(account="cookie-7", first_text=104.0))
    house.told()

    for history, label in ((one, "cookie-1"), (other, "cookie-7")):
        assert Minute(int(MIDNIGHT // 60), 3, 0) == history.minutes()[-1]
        assert ["upstream_timeout"] == [failure.code for failure in history.failures()]
        model, account = history.models()[0], history.accounts()[label]
        assert (3, 1, 3.0) == (model.requests, model.failures, model.first_text)
        assert (MIDNIGHT, MIDNIGHT, "upstream_timeout", 3.0) == (
            *(account.succeeded_at, account.failed_at, account.code, account.first_text),
        )


def test_what_a_worker_knows_it_shows_at_once(house: House) -> None:
    """Nobody has to wait for the next telling."""
    house.workers[0].history.tell(failed())

    assert 1 == len(house.workers[0].history.failures())


def test_what_a_killed_worker_has_told_is_there(house: House) -> None:
    """And goes as it would."""
    one, other = house.workers
    one.history.tell(failed())
    house.told()
    house.workers.remove(one)

    assert (1, 1) == (len(other.history.failures()), other.history.models()[0].failures)
    house.go(25 * 3600.0)
    assert (1, []) == (len(other.history.failures()), other.history.models())


def test_a_batch_that_comes_twice_counts_once(house: House) -> None:
    """Its answer had been lost."""
    one = house.workers[0]
    one.caller.twice = frozenset({"tell"})
    one.history.tell(failed(first_text=101.0))

    assert (1, 1) == (one.history.minutes()[-1].requests, one.history.models()[0].requests)
    assert [1] == [failure.times for failure in one.history.failures()]


def test_clocks_of_workers_do_not_matter(house: House) -> None:
    """All times are Redis's: one is three minutes ahead, one behind."""
    one, other = house.workers
    one.wall.go(180.0)
    other.wall.go(-180.0)
    one.history.tell(failed(client="first"))
    house.told()
    other.history.tell(failed(client="second"))
    house.told()

    assert 2 == one.history.minutes()[-1].requests
    assert ["second", "first"] == [failure.client for failure in one.history.failures()]
    assert all(abs(one.at - MIDNIGHT) < 2 for one in one.history.failures())


def test_failures_that_are_the_same_are_one(house: House) -> None:
    """Also those of two workers; and there are so many at most."""
    one, other = (worker.history for worker in house.workers)
    for _ in range(3):
        one.tell(failed())
        other.tell(failed())
        house.told()
    assert [6] == [failure.times for failure in one.failures()]

    for number in range(MOST_FAILURES + 10):
        other.tell(failed(client=f"client {number}"))
        if number % 20 == 0:
            house.told()
    house.told()
    assert [f"client {number}" for number in range(MOST_FAILURES + 9, 9, -1)] == [
        failure.client for failure in one.failures()
    ]


def test_of_too_many_models_the_rest_counts_together(house: House) -> None:
    """Names are chosen by clients."""
    for worker in house.workers:
        for number in range(3 * MOST_MODELS):
            worker.history.tell(record(model=f"{worker.history} {number}"))
    house.told()
    models = house.workers[0].history.models()

    assert MOST_MODELS == len(models)
    assert OTHER == models[0].name
    fields = house.client.hkeys(f"poe:{{{house.pool}}}:2:h:hour:{int(MIDNIGHT // 3600)}")
    assert 2 * MOST_MODELS + 2 >= len(fields)


def test_names_may_be_anything(house: House) -> None:
    """Halves of characters, signs of the script's own."""
    one = house.workers[0]
    for name in ("\ud83d", 'a"b', "n x", "%s %", "\0", "模型"):
        one.history.tell(failed(model=name, first_text=101.0))

    assert {"?", 'a"b', "n x", "%s %", "\0", "模型"} == {m.name for m in one.history.models()}
    assert {1} == {m.requests for m in one.history.models()}


def test_the_last_hour_and_the_last_quarter_pass(house: House) -> None:
    """And what is older goes from Redis in the end."""
    one = house.workers[0]
    for _ in range(400):
        one.history.tell(record(queued=2.0))
        one.teller.tell()
        house.go(60.0)
    house.told()

    assert 59 == sum(minute.requests for minute in one.history.minutes())
    assert 240 >= house.client.hlen(f"poe:{{{house.pool}}}:2:h:minutes")
    waits = one.history.waits()
    assert waits is not None
    assert 2.0 == pytest.approx(waits.median, rel=0.05)
    house.go(1000.0)
    assert one.history.waits() is None


def test_while_redis_is_away_each_shows_its_own(house: House) -> None:
    """What it has to tell does not grow for ever, and is told when Redis is back."""
    one, other = house.workers
    other.history.tell(failed(account="cookie-7"))
    house.told()
    one.caller.trouble = "It is away."
    for number in range(100):
        one.history.tell(failed(client=f"client {number}"))
    assert MOST_FAILURES == len(one.history.failures())
    assert 100 == one.history.minutes()[-1].requests
    assert one.history.clients() is None

    one.caller.trouble = ""
    house.told()
    assert 101 == other.history.minutes()[-1].requests
    assert "client 99" == other.history.failures()[0].client


def test_what_is_known_of_clients_is_of_all_workers(house: House) -> None:
    """When they were seen, and why they were refused."""
    one, other = (worker.history for worker in house.workers)
    one.tell(record(at=MIDNIGHT - 5.0))
    for history in (one, other):
        history.tell(failed("rate_limit_exceeded", status=429, account="", at=MIDNIGHT))
        house.told()
    one.tell(failed(method="GET", client="bob", at=MIDNIGHT))
    house.told()

    known = other.clients()
    assert known is not None
    assert (pytest.approx(MIDNIGHT, abs=2), {"rate_limit_exceeded": 2}) == known["alice"]
    assert {"alice", "bob"} == {*known}
