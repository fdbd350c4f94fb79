"""Budgets by the clock, wherever they are kept: what is held, charged, added and given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Barrier, Thread

import fakeredis
import pytest

from poe_proxy.clients.budgets import Refused, Share
from poe_proxy.clients.client import Limits
from poe_proxy.pool.store.journal import Journal

from ..shared.redis_server import RedisServer
from .desks import HOUR, Desk, Maker, in_memory, in_redis

STORES = ("memory", "file", "fake redis", "redis")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Maker]:
    """A memory of this process, and those that outlive it."""
    if request.param == "memory":
        yield in_memory()
    elif request.param == "file":
        journal = Journal(tmp_path / "state")
        yield in_memory(journal)
        journal.close()
    elif request.param == "fake redis":
        yield in_redis(fakeredis.FakeRedis())
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield in_redis(server.client)


# ---- requests


def test_so_many_go_within_a_minute(store: Maker) -> None:
    """Within any sixty seconds; what is said of the wait is true to the second."""
    desk = Desk(store, per_minute=2)

    assert desk.ask()
    desk.go(40)
    assert desk.ask()
    assert Refused("per_minute", 2, 20.0) == desk.check()
    desk.go(19.9)
    assert not desk.ask()
    desk.go(0.125)
    assert desk.ask()
    assert not desk.ask()


def test_what_was_never_sent_counts_no_longer_once_it_is_over(store: Maker) -> None:
    """A request that was refused further on, or whose client hung up in line, is given back."""
    desk = Desk(store, per_minute=1, per_day=1, at_a_time=1)

    assert desk.check() is None
    assert desk.check()
    desk.budgets.add("1")
    assert desk.ask()


def test_a_second_try_is_no_second_request(store: Maker) -> None:
    """However often it is sent to Poe, the client has asked once."""
    desk = Desk(store, per_minute=5, per_day=5)
    assert desk.send()
    desk.budgets.charge("1")

    assert (1, 1) == (
        desk.budgets.standing("alice").requests,
        desk.budgets.standing("alice").under_way,
    )
    assert Share(most=5, left=4, seconds=60.0) == desk.budgets.left("alice").of_requests


def test_so_many_are_under_way_at_a_time(store: Maker) -> None:
    """Until the last byte of an answer is sent. How long that takes is known from those before."""
    desk = Desk(store, at_a_time=2)
    assert desk.send()
    desk.go(30)
    desk.budgets.add("1")

    assert [True, True, False] == [desk.send(), desk.send(), desk.send()]
    desk.go(10)
    assert Refused("at_a_time", 2, 20.0) == desk.check()
    desk.budgets.add("2")
    assert desk.send()


@pytest.mark.parametrize("limit", ["per_minute", "per_day", "at_a_time"])
def test_of_many_that_come_together_no_more_go_than_may(limit: str, store: Maker) -> None:
    """Sixty-four at the same moment."""
    desk = Desk(store, **{limit: 10})
    barrier = Barrier(64)
    sent: list[str] = []

    def come(id: str) -> None:
        barrier.wait()
        if desk.budgets.check("alice", id) is None:
            desk.budgets.charge(id)
            sent.append(id)

    threads = [Thread(target=come, args=(str(number),)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 10 == len(sent) == desk.budgets.standing("alice").requests


# ---- days and months


def test_a_day_has_so_many_requests_and_begins_anew(store: Maker) -> None:
    """At DAY_STARTS, which is at one here."""
    desk = Desk(store, begins=HOUR, per_day=2)

    assert [True, True, False] == [desk.ask(), desk.ask(), desk.ask()]
    assert Refused("per_day", 2, 19 * HOUR) == desk.check()
    desk.go(19 * HOUR - 1)
    assert not desk.ask()
    desk.go(1)
    assert desk.ask()


@pytest.mark.parametrize(
    ("limit", "spend"),
    [("tokens_per_day", {"tokens": 60}), ("points_per_day", {"points": 60})],
)
def test_a_budget_of_a_day_is_used_up(limit: str, spend: dict[str, int], store: Maker) -> None:
    """What is under way may go beyond it; then nothing more is asked until the next day."""
    desk = Desk(store, **{limit: 100})

    assert [True, True, False] == [desk.ask(**spend) for _ in range(3)]
    assert 120 == sum(asdict(desk.budgets.standing("alice"))[name] for name in spend)
    desk.go(18 * HOUR)
    assert desk.ask(**spend)


def test_points_that_poe_told_of_are_known_apart(store: Maker) -> None:
    """Those of a day."""
    desk = Desk(store)
    desk.ask(points=60, is_exact=True)
    desk.ask(points=7)
    desk.ask(points=30, is_exact=True)
    now = desk.budgets.standing("alice")

    assert (97, 90) == (now.points, now.exact_points)
    desk.go(18 * HOUR)
    assert 0 == desk.budgets.standing("alice").exact_points


def test_a_budget_of_a_month_outlasts_its_days(store: Maker) -> None:
    """Points of all days of the month count; on the first there are all of them again."""
    desk = Desk(store, points_per_month=100)
    desk.wall.go(-10 * 24 * HOUR)

    assert desk.ask(points=60)
    desk.go(24 * HOUR)
    assert desk.ask(points=40)
    desk.go(24 * HOUR)
    assert Refused("points_per_month", 100, 8 * 24 * HOUR + 18 * HOUR) == desk.check()
    assert (0, 100) == (
        desk.budgets.standing("alice").points,
        desk.budgets.standing("alice").points_of_month,
    )
    desk.go(8 * 24 * HOUR + 18 * HOUR)
    assert desk.ask()


def test_the_limit_that_lasts_longest_is_told(store: Maker) -> None:
    """To come back after the shorter one would be in vain."""
    desk = Desk(store, per_minute=1, tokens_per_day=10, points_per_month=10)
    assert desk.ask(tokens=10)

    assert Refused("tokens_per_day", 10, 18 * HOUR) == desk.check()
    assert 18 * HOUR == desk.budgets.wait("alice")


def test_a_wait_leaves_out_the_request_that_asks(store: Maker) -> None:
    """It is about to be over."""
    desk = Desk(store, per_minute=1)
    assert desk.check() is None

    assert (0.0, 60.0) == (desk.budgets.wait("alice", "1"), desk.budgets.wait("alice"))


def test_a_clock_that_is_set_back_gives_nothing_back(store: Maker) -> None:
    """What a day had is known when that day comes again."""
    desk = Desk(store, per_day=1)
    assert desk.ask()
    desk.wall.go(24 * HOUR)
    assert desk.ask()
    desk.wall.go(-24 * HOUR)

    assert not desk.ask()


def test_a_reload_changes_limits_and_no_counts(store: Maker) -> None:
    """What was used is used; who is no longer there is no longer counted against."""
    desk = Desk(store, per_day=5)
    assert desk.ask()
    assert desk.send()

    desk.budgets.replace({"alice": Limits(per_day=1), "bob": Limits()}, begins=0.0)
    assert not desk.ask()
    desk.budgets.replace({"bob": Limits()}, begins=0.0)
    desk.budgets.add("2", tokens=3)
    assert 3 == desk.budgets.standing("alice").tokens


@pytest.mark.parametrize("store", STORES[1:], indirect=True)
def test_counts_outlive_the_process(store: Maker) -> None:
    """The day, the month and the last minute."""
    desk = Desk(store, per_minute=3, per_day=5, points_per_month=100)
    for _ in range(2):
        assert desk.ask(tokens=7, points=20, is_exact=True)
    desk.start()

    now = desk.budgets.standing("alice")
    assert (2, 14, 40, 40, 40) == (
        *(now.requests, now.tokens, now.points, now.exact_points, now.points_of_month),
    )
    assert [True, False] == [desk.ask(), desk.ask()]
    refused = desk.check()
    assert refused is not None
    assert "per_minute" == refused.limit


# ---- what is told of it


@pytest.mark.parametrize(
    ("limits", "act", "expected"),
    [
        ({}, Desk.ask, None),
        ({"at_a_time": 1}, Desk.ask, None),
        ({"per_minute": 3}, Desk.check, Share(most=3, left=2, seconds=60.0)),
        ({"per_minute": 3}, Desk.ask, Share(most=3, left=2, seconds=60.0)),
        ({"per_day": 3}, Desk.ask, Share(most=3, left=2, seconds=18 * HOUR)),
        (
            {"per_minute": 9, "per_day": 3},
            Desk.ask,
            Share(most=3, left=2, seconds=18 * HOUR),
        ),
    ],
)
def test_of_several_limits_the_tightest_is_told(
    limits: dict[str, int], act: Callable[[Desk], object], expected: Share | None, store: Maker
) -> None:
    """With what is left of it, and when all of it is left again."""
    desk = Desk(store, **limits)
    act(desk)

    assert expected == desk.budgets.left("alice").of_requests
