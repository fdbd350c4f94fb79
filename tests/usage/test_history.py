"""What requests by key have really cost, by Poe's own history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.errors import TokenRejected, UpstreamTimeout
from poe_proxy.upstreams.base import Charge, ChargesPage
from poe_proxy.usage import history as module
from poe_proxy.usage.file import UsageFile
from poe_proxy.usage.history import BUSY, History
from poe_proxy.usage.matching import names
from poe_proxy.usage.rows import row

from ..fakes import log_lines, until
from .fixtures import micro, record, seconds

MORNING = "2026-11-28T09:00:00+00:00"
#: When the history is read.
READ = "2026-11-28T12:00:00+00:00"
MINUTE = 60_000_000


class Account:
    """A key at Poe, with a history."""

    def __init__(self, *charges: Charge, at_a_time: int = 100) -> None:
        self.all = [*charges]
        self.at_a_time = at_a_time
        self.asked: list[str] = []
        self.failure: Exception | None = None

    def charges(self, after: str = "") -> ChargesPage:
        self.asked.append(after)
        if self.failure:
            raise self.failure
        newest = sorted(self.all, key=lambda one: -one.at)
        start = next((place for place, one in enumerate(newest, 1) if one.id == after), 0)
        end = start + self.at_a_time
        return ChargesPage(newest[start:end], end < len(newest))


def charge(
    minute: int = 0, points: int = 7, *, bot: str = "Claude-Sonnet-4.5", **more: Any
) -> Charge:
    """One so many minutes after nine."""
    at = micro(MORNING) + minute * MINUTE + 500_000
    return Charge(more.pop("id", f"q{minute}"), bot, at, points, **more)


class House:
    """A file, and what reads the histories of its accounts."""

    def __init__(self, path: Path) -> None:
        self.file = UsageFile(path)
        self.accounts: dict[str, object] = {}
        self.now = seconds(READ)
        self.history = History(
            self.file,
            lambda: self.accounts.items(),
            bots=lambda: names([("Claude-Sonnet-4.5", "", "Claude Sonnet 4.5")]),
            first=0.0,
            every=3600.0,
            wall=lambda: self.now,
        )

    def used(self, *minutes: int, **more: Any) -> None:
        """Requests so many minutes after nine."""
        at = seconds(MORNING)
        self.file.add([row(record(at + 60.0 * minute, **more)) for minute in minutes])

    def points(self) -> list[int | None]:
        """What the requests have cost, as far as it is known."""
        return [points for (points,) in self.file.read("SELECT points FROM requests ORDER BY id")]

    def charged(self) -> int:
        """The points of all charges that are known."""
        found: int = self.file.read("SELECT total(points) FROM charges")[0][0]
        return found


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    house = House(tmp_path / "usage.sqlite3")
    yield house
    house.file.close()


def test_what_a_request_has_cost_is_known_after_the_reading(house: House) -> None:
    """Poe may call the bot by another of its names."""
    house.used(0, 10)
    house.accounts["key 1"] = Account(charge(0, 7), charge(10, 9, bot="claude sonnet 4.5"))
    house.history.read()

    assert [7, 9] == house.points()


def test_an_account_without_open_requests_is_not_asked(house: House) -> None:
    """Nor one that has no history, such as a cookie; nor are requests that failed open."""
    account = Account(charge())
    house.accounts |= {"key 1": account, "cookie 1": object()}
    house.used(0, account="cookie 1")
    house.used(0, sent=0.0)
    house.used(0, code="upstream_timeout", tokens=None)
    house.history.read()
    assert [] == account.asked

    house.used(0)
    house.history.read()
    house.history.read()

    assert [""] == account.asked
    assert [None, None, None, 7] == house.points()


def test_what_is_not_ours_is_in_the_sum_of_the_day_alone(house: House) -> None:
    """What else was done with the key; but not what was asked on the site."""
    house.used(0)
    house.accounts["key 1"] = Account(
        charge(0, 7), charge(30, 100), charge(40, 1000, is_api=False), charge(50, 10, bot="gpt")
    )
    house.history.read()

    assert [7] == house.points()
    assert 117 == house.charged()


def test_what_is_not_certain_remains_an_estimate(house: House) -> None:
    """The key was used elsewhere at the same time."""
    house.used(0)
    house.accounts["key 1"] = Account(charge(0, 7), charge(0, 100, id="other"))
    house.history.read()

    assert [None] == house.points()
    assert 107 == house.charged()


def test_a_charge_is_believed_after_a_while(house: House) -> None:
    """One of nothing later: what it costs may be told behind it."""
    house.used(0, 1)
    account = house.accounts["key 1"] = Account(charge(0, 7), charge(1, 0))
    house.now = seconds(MORNING) + 300
    house.history.read()
    assert [None, None] == house.points()

    house.now = seconds(MORNING) + 900
    house.history.read()
    assert [7, None] == house.points()

    account.all[1] = charge(1, 9)
    house.now = seconds(MORNING) + 4500
    house.history.read()

    assert [7, 9] == house.points()


def test_a_charge_is_not_put_to_a_request_whose_own_is_still_to_come(house: House) -> None:
    """It is of another client, who asked the same bot meanwhile."""
    house.now = now = seconds(MORNING)
    house.file.add([
        row(record(now - 1000, client="alice", took=100.0)),
        row(record(now - 980, client="bob")),
    ])  # fmt: skip
    house.accounts["key 1"] = Account(
        Charge("hers", "Claude-Sonnet-4.5", micro(MORNING) - 999_500_000, 0),
        Charge("his", "Claude-Sonnet-4.5", micro(MORNING) - 979_500_000, 700),
    )
    house.history.read()

    assert [None, None] == house.points()


@pytest.mark.parametrize("at", [-2.0, 10.0])
def test_a_foreign_charge_does_not_pass_for_one_that_is_to_come(house: House, at: float) -> None:
    """The request's own charge is not believed yet."""
    house.used(0, took=100.0)
    house.accounts["key 1"] = Account(
        Charge("own", "Claude-Sonnet-4.5", micro(MORNING) + 30_000_000, 0),
        Charge("other", "Claude-Sonnet-4.5", micro(MORNING) + round(at * 1e6), 700),
    )
    house.now = seconds(MORNING) + 1000
    house.history.read()

    assert [None] == house.points()


def test_a_free_bot_costs_nothing_in_the_end(house: House) -> None:
    """After two hours it is believed."""
    house.used(0)
    house.accounts["key 1"] = Account(charge(0, 0))
    house.history.read()

    assert [0] == house.points()


def test_only_what_is_new_is_read(house: House) -> None:
    """Page by page, up to what is known; the first time, up to the day of the first request."""
    account = house.accounts["key 1"] = Account(
        *(charge(minute, id=f"q{minute:04}") for minute in range(-2000, 10)), at_a_time=100
    )
    house.used(0)
    house.history.read()
    # 540 minutes and 10 of that day, and the page in which it begins.
    assert 6 == len(account.asked)
    assert account.asked[:2] == ["", "q-090"]

    account.asked.clear()
    account.all += [charge(minute) for minute in range(170, 180)]
    house.used(175, client="bob")
    house.now += 3600
    house.history.read()

    assert [""] == account.asked
    assert [7, 7] == house.points()


def test_pages_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Poe's say the same again and again."""
    monkeypatch.setattr(module, "MOST_PAGES", 3)
    house.used(-400, -299, 0)
    account = Account(*(charge(minute, id=f"q{minute:04}") for minute in range(-500, 1)))
    house.accounts["key 1"] = account
    with log_lines() as log:
        house.history.read()
    assert 3 == len(account.asked)
    # 300 charges: the oldest is 299 minutes before nine, and there may be others beside it.
    assert [None, None, 7] == house.points()
    assert "key 1: " in log.getvalue()
    assert "charges before 2026-11-28T04:01:00Z are left out" in log.getvalue()

    class Same(Account):
        def charges(self, after: str = "") -> ChargesPage:
            self.asked.append(after)
            return ChargesPage([charge(175)], has_more=True)

    same = house.accounts["key 1"] = Same()
    house.history.read()
    assert 2 == len(same.asked)


@pytest.mark.parametrize("failure", [UpstreamTimeout("late"), TokenRejected("no"), ValueError("?")])
def test_a_failure_is_of_one_account_alone(house: House, failure: Exception) -> None:
    """The others are read, and it is tried again the next time."""
    bad, good = Account(charge(0, 7)), Account(charge(0, 9))
    bad.failure = failure
    house.accounts |= {"key 1": bad, "key 2": good}
    house.used(0)
    house.used(0, account="key 2")
    with log_lines() as log:
        house.history.read()
    assert [None, 9] == house.points()
    assert "key 1" in log.getvalue()

    bad.failure = None
    house.history.read()
    assert [7, 9] == house.points()


def test_it_reads_by_itself_until_it_is_stopped(house: House) -> None:
    """Nobody has to ask for it, and the thread ends."""
    house.used(0)
    house.accounts["key 1"] = Account(charge(0, 7))
    house.history.start()
    until(lambda: [7] == house.points())
    house.history.stop()

    assert house.history.wait(60)


def test_it_reads_some_minutes_after_the_start_and_then_every_hour(house: House) -> None:
    """As often as Poe can well be asked."""
    happened: list[object] = []

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            happened.append(timeout)
            return happened.count("read") == 2

    def accounts() -> Iterator[tuple[str, object]]:
        happened.append("read")
        return iter(())

    history = History(house.file, accounts)
    history._stopped = Stopped()
    history.start()

    assert history.wait(60)
    assert [300.0, "read", 3600.0, "read", 3600.0] == happened


def test_one_worker_at_a_time_reads_a_history_and_one_for_each_file(house: House) -> None:
    """An account that another one asks just now is asked two minutes later; one whose history
    another worker has read into this file is not."""
    answers = {"key 1": {"ask": False}, "key 2": {"read": False}, "key 3": {}}
    asked: list[tuple[str, str, float]] = []

    def may_read(what: str, label: str, seconds: float) -> bool:
        asked.append((what, label, seconds))
        return answers[label].get(what, True)

    accounts = {label: Account(charge(0, 7)) for label in answers}
    for label in answers:
        house.used(0, account=label)
    history = History(
        house.file, accounts.items, every=3600.0, may_read=may_read, wall=lambda: house.now
    )

    assert not history.read()
    assert [None, None, 7] == house.points()
    assert [[], [], [""]] == [account.asked for account in accounts.values()]
    assert [
        ("ask", "key 1", BUSY),
        *(("ask", "key 2", BUSY), ("read", "key 2", 3240.0)),
        *(("ask", "key 3", BUSY), ("read", "key 3", 3240.0)),
    ] == asked
    answers["key 1"]["ask"] = True
    assert history.read()
    assert [7, None, 7] == house.points()


def test_who_could_not_ask_comes_again_sooner(house: House) -> None:
    """Not an hour later."""
    waits: list[float | None] = []

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return len(waits) == 3

    may = iter([False, True, True])
    history = History(house.file, lambda: [("key 1", Account())], may_read=lambda *of: next(may))
    history._stopped = Stopped()
    history.start()

    assert history.wait(60)
    assert [300.0, BUSY, 3600.0] == waits


def test_nothing_is_read_before_it_is_time(tmp_path: Path) -> None:
    """A restart asks nobody."""
    file = UsageFile(tmp_path / "usage.sqlite3")
    history = History(file, lambda: pytest.fail("asked"))
    history.start()
    history.stop()

    assert history.wait(60)
