"""How things are, in numbers, and in one fact."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from poe_proxy.errors import TokenLimited, TokenRejected
from poe_proxy.history import History
from poe_proxy.moments import stamp
from poe_proxy.overview import NOT_RELOADED, Overview
from poe_proxy.pool.known import Funds, Grant
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.rotator import TokenRotator
from poe_proxy.record import Record

from .fakes import Clock, site_told
from .pool.fixtures import token, use

START = 1_800_000_000.0


class Looked:
    """A pool of three, and what is told of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        limits = (Within(5, 60.0), Within(50, 86400.0), Rest(10.0))
        self.a, self.b = token("a", limits=limits), token("b")
        self.key = token("key", kind="key", rank=9)
        self.pool: TokenRotator[Any] = TokenRotator(
            [self.a, self.b, self.key], clock=self.clock, patience=30.0, places=7
        )
        self.store = "ok"
        self.site: dict[str, Any] | None = None
        self.history = History(self.wall)
        self.overview = Overview(
            self.pool,
            self.history,
            store=lambda: self.store,
            site=lambda: self.site,
            clock=self.clock,
            wall=self.wall,
        )

    def wall(self) -> float:
        return START + self.clock()

    def told(self) -> Any:
        self.clock.go(1.0)
        return self.overview.numbers()

    def facts(self) -> list[tuple[str, str]]:
        return [(one["level"], one["fact"]) for one in self.told()["facts"]]

    def tell(self, number: int, **noted: object) -> None:
        for _ in range(number):
            record = Record()
            record.method, record.route, record.status = "POST", "/v1/chat/completions", 200
            for name, value in noted.items():
                setattr(record, name, value)
            self.history.tell(record)


@pytest.fixture
def looked() -> Looked:
    return Looked()


def test_an_account_is_told_with_its_uses(looked: Looked) -> None:
    """In each of its windows, and why it is not free; what is not known is None."""
    use(looked.pool)
    a, b, _ = looked.told()["accounts"]

    assert ("a", "resting", "2027-01-15T08:16:50Z") == (a["label"], a["state"], a["until"])
    assert [
        {"used": 1, "limit": 5, "seconds": 60.0, "is_day": False},
        {"used": 1, "limit": 50, "seconds": 86400.0, "is_day": True},
    ] == a["windows"]
    assert ("free", None, [], None, None) == (
        b["state"],
        b["until"],
        b["windows"],
        b["points"],
        b["succeeded_at"],
    )


@pytest.mark.parametrize(
    ("seconds", "until"), [(600.0, "2027-01-15T08:26:40Z"), (inf, None)], ids=["a while", "ever"]
)
def test_a_rest_is_told_with_its_end(looked: Looked, seconds: float, until: str | None) -> None:
    """If it has one."""
    looked.pool.pause(looked.a, seconds)
    account = looked.told()["accounts"][0]

    assert ("paused", "paused", until) == (account["state"], account["code"], account["until"])


def test_the_numbers_are_put_together_once_a_second(looked: Looked) -> None:
    """However many look; sooner only when something was done."""
    before = looked.told()
    looked.pool.exhaust(looked.a, "Empty.")
    assert looked.overview.numbers() is before
    looked.overview.forget()
    assert "out_of_points" == looked.overview.numbers()["accounts"][0]["state"]


def test_the_next_grant_is_told_until_it_comes(looked: Looked) -> None:
    """In the row of the account, and where accounts are out of points the first one of these."""
    now = looked.wall()
    for one, seconds in ((looked.a, 60.0), (looked.b, 30.0)):
        looked.pool.points.note(one.name, Funds(0, Grant(now + seconds, 300)))
    looked.pool.exhaust(looked.a, "Empty.")
    told = looked.told()
    a, _, c = told["accounts"]

    assert ("2027-01-15T08:17:40Z", 300) == (a["next_grant_at"], a["next_grant_points"])
    assert (None, None) == (c["next_grant_at"], c["next_grant_points"])
    assert a["next_grant_at"] == told["facts"][0]["next_grant_at"]
    looked.clock.go(60.0)
    told = looked.told()
    assert told["accounts"][0]["next_grant_at"] is None
    assert told["facts"][0]["next_grant_at"] is None


# ---- facts


def test_nothing_is_wrong_where_all_is_well(looked: Looked) -> None:
    """Accounts that are used, or rest for a while, are no trouble."""
    use(looked.pool)
    use(looked.pool, TokenLimited("Slow down."))

    assert [] == looked.facts()


def test_the_worst_comes_first(looked: Looked) -> None:
    """No account at all, then what else there is."""
    looked.pool.suspend(looked.a, TokenRejected("Log in."))
    looked.pool.exhaust(looked.b, "Empty.")
    assert [("poor", "suspended"), ("poor", "out_of_points")] == looked.facts()
    looked.pool.pause(looked.key, inf)
    looked.store = "No space left on device"

    assert [
        ("bad", "none_usable"),
        ("bad", "store_away"),
        ("poor", "suspended"),
        ("poor", "out_of_points"),
    ] == looked.facts()


def test_a_site_that_has_changed_is_news_for_a_quarter_of_an_hour(looked: Looked) -> None:
    """After that it would have failed again."""
    looked.tell(1, code="upstream_changed", site_changed=True, status=502)
    assert [("bad", "upstream_changed")] == looked.facts()
    looked.clock.go(900.0)
    assert [] == looked.facts()


def test_a_failure_may_come_of_a_change_whatever_its_code_is(looked: Looked) -> None:
    """Such as where nobody can look whether a message arrived."""
    looked.tell(1, code="upstream_uncertain", status=502)
    assert [] == looked.facts()
    looked.tell(1, code="upstream_uncertain", site_changed=True, status=502)
    assert [("bad", "upstream_changed")] == looked.facts()


def test_the_site_is_told_as_it_is_known(looked: Looked) -> None:
    """Nothing, where nothing is asked by cookie."""
    assert looked.told()["site"] is None
    looked.site = site_told()
    assert site_told() == looked.told()["site"]
    assert [] == looked.told()["facts"]


@pytest.mark.parametrize("outcome", ["same", "unusable", "failed"])
def test_what_is_done_about_a_change_belongs_to_the_fact(looked: Looked, outcome: str) -> None:
    """While it is looked for, and what came of that."""
    looked.site = site_told(running=True)
    looked.tell(1, code="upstream_changed", site_changed=True, status=502)
    (fact,) = looked.told()["facts"]
    assert {"level": "bad", "fact": "upstream_changed", "doing": "looking", "at": None} == fact

    at = stamp(looked.wall())
    looked.site = site_told(outcome=outcome, at=at, not_before=stamp(looked.wall() + 3600.0))
    (fact,) = looked.told()["facts"]
    assert (outcome, at) == (fact["doing"], fact["at"])


def test_a_change_that_is_mended_is_no_fact(looked: Looked) -> None:
    """As soon as it is, until it fails again; requests that failed in the same second are from
    before."""
    looked.tell(1, code="upstream_changed", site_changed=True, status=502)
    assert [("bad", "upstream_changed")] == looked.facts()
    looked.clock.go(0.75)
    looked.tell(1, code="upstream_changed", site_changed=True, status=502)
    mended = {"outcome": "mended", "at": stamp(looked.wall())}
    looked.site = site_told(**mended)
    assert [] == looked.facts()

    next_look = stamp(looked.wall() + 3600.0)
    looked.site = site_told(**mended, not_before=next_look)
    looked.tell(1, code="upstream_changed", site_changed=True, status=502)
    (fact,) = looked.told()["facts"]
    assert ("later", next_look) == (fact["doing"], fact["at"])


def test_an_account_that_has_answered_since_meets_no_change(looked: Looked) -> None:
    """Such as after a request that was under way while it was mended; what another account
    answers says nothing of it."""
    looked.tell(1, code="upstream_changed", site_changed=True, status=502, account="a")
    looked.clock.go(2.0)
    looked.tell(1, account="b")
    assert [("bad", "upstream_changed")] == looked.facts()

    looked.tell(1, account="a")
    assert [] == looked.facts()
    looked.clock.go(2.0)
    looked.tell(1, code="upstream_changed", site_changed=True, status=502, account="a")
    assert [("bad", "upstream_changed")] == looked.facts()


def test_many_refusals_are_a_fact(looked: Looked) -> None:
    """More than one of twenty in ten minutes; one of two says nothing."""
    looked.tell(1, status=429, code="rate_limit_exceeded")
    assert [] == looked.facts()
    looked.tell(20)
    assert [] == looked.facts()
    looked.tell(1, status=429, code="rate_limit_exceeded")
    assert [("poor", "many_refused")] == looked.facts()


def test_a_long_wait_is_a_fact(looked: Looked) -> None:
    """More than half of what a request may wait; and the line is told."""
    looked.pool.replace([looked.b])
    with looked.pool.lease(), looked.pool.lease():
        looked.clock.go(15.0)
        line = looked.told()["line"]

        assert (1, 7, 16.0) == (line["waiting"], line["places"], line["longest_seconds"])
        assert [("poor", "long_line")] == looked.facts()


def test_a_reload_that_was_refused_is_a_fact(looked: Looked) -> None:
    """Until one succeeds."""
    looked.overview.reloaded({"outcome": NOT_RELOADED, "problems": {"PORT": ["No."]}})
    assert [("poor", "not_reloaded")] == looked.facts()
    assert {"PORT": ["No."]} == looked.told()["reload"]["problems"]
    looked.overview.reloaded({"outcome": "reloaded", "problems": {}})
    assert [] == looked.facts()


# ---- a pool that several workers share


def test_all_workers_of_a_shared_pool_are_told(looked: Looked) -> None:
    """With their hosts; what one does not say of itself is not known."""
    workers = [
        {
            "host": "one", "pid": 7, "version": "0.1.0", "started": START + 0.25, "under_way": 3,
            "homes": 1, "labels": "more",
        },
        {"host": "two"},
        {"host": "one", "pid": 8, "version": "0.1.0", "started": START - 60},
    ]  # fmt: skip
    looked.overview = Overview(
        looked.pool,
        looked.history,
        store=lambda: looked.store,
        workers=lambda: workers,
        clock=looked.clock,
        wall=looked.wall,
    )
    told = looked.told()

    assert (3, 2) == (told["workers"], told["hosts"])
    assert "2027-01-15T07:59:00Z" == told["since"]  # the same, whichever of them is asked
    assert {
        "host": "one", "pid": 7, "version": "0.1.0", "since": "2027-01-15T08:00:00Z",
        "under_way": 3, "homes": 1,
    } == told["processes"][0]  # fmt: skip
    assert {
        "host": "two", "pid": None, "version": "", "since": None, "under_way": None, "homes": None,
    } == told["processes"][1]  # fmt: skip
    assert {"kind": "redis", "up": True, "trouble": None} == told["store"]

    looked.store = "it froze"
    assert ("bad", "redis_away") == looked.facts()[0]
    workers.clear()
    assert (1, 1, []) == tuple(looked.told()[name] for name in ("workers", "hosts", "processes"))


def test_one_worker_alone_is_told_as_ever(looked: Looked) -> None:
    """Nobody shares its pool."""
    told = looked.told()

    assert (1, 1, []) == (told["workers"], told["hosts"], told["processes"])
    assert "file" == told["store"]["kind"]
