"""The budgets by the clock: what is held, charged, added and given back."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Barrier, Thread

import pytest

from poe_proxy.clients.budgets import Refused, Share
from poe_proxy.clients.client import Limits
from poe_proxy.clients.memory import MemoryBudgets
from poe_proxy.pool.store.journal import Journal
from poe_proxy.pool.store.tallies import Tallies

from ..fakes import Clock

#: 2026-11-30, 00:00 UTC.
MIDNIGHT = 1_796_083_200.0 - 86_400.0
HOUR = 3600.0


class Desk:
    """Budgets of one client, whose requests are numbered."""

    def __init__(self, store: Tallies | None = None, begins: float = 0.0, **limits: int) -> None:
        self.clock, self.wall = Clock(), Clock()
        self.wall.now = MIDNIGHT + 6 * HOUR
        self.store, self.begins = store, begins
        self.limits = Limits(**limits)
        self.number = 0
        self.start()

    def start(self) -> None:
        """Let a new process begin."""
        self.budgets = MemoryBudgets(store=self.store, clock=self.clock, wall=self.wall)
        self.budgets.replace({"alice": self.limits}, begins=self.begins)

    def go(self, seconds: float) -> None:
        self.clock.go(seconds)
        self.wall.go(seconds)

    def check(self) -> Refused | None:
        self.number += 1
        return self.budgets.check("alice", str(self.number))

    def send(self) -> bool:
        """Send a request if it may be; it is under way then."""
        if self.check():
            return False
        self.budgets.charge(str(self.number))
        return True

    def ask(self, tokens: int = 0, points: int = 0, *, is_exact: bool = False) -> bool:
        """Send a request if it may be, and have it answered."""
        is_sent = self.send()
        self.budgets.add(str(self.number), tokens=tokens, points=points, is_exact=is_exact)
        return is_sent


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tallies | None]:
    """A memory of this process, and one that outlives it."""
    if request.param == "memory":
        yield None
        return
    journal = Journal(tmp_path / "state")
    yield journal
    journal.close()


# ---- requests


def test_so_many_go_within_a_minute(store: Tallies | None) -> None:
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


def test_what_was_never_sent_counts_no_longer_once_it_is_over() -> None:
    """A request that was refused further on, or whose client hung up in line, is given back."""
    desk = Desk(per_minute=1, per_day=1, at_a_time=1)

    assert desk.check() is None
    assert desk.check()
    desk.budgets.add("1")
    assert desk.ask()


def test_a_second_try_is_no_second_request() -> None:
    """However often it is sent to Poe, the client has asked once."""
    desk = Desk(per_minute=5, per_day=5)
    assert desk.send()
    desk.budgets.charge("1")

    assert (1, 1) == (
        desk.budgets.standing("alice").requests,
        desk.budgets.standing("alice").under_way,
    )
    assert Share(most=5, left=4, seconds=60.0) == desk.budgets.left("alice").of_requests


def test_so_many_are_under_way_at_a_time() -> None:
    """Until the last byte of an answer is sent. How long that takes is known from those before."""
    desk = Desk(at_a_time=2)
    assert desk.send()
    desk.go(30)
    desk.budgets.add("1")

    assert [True, True, False] == [desk.send(), desk.send(), desk.send()]
    desk.go(10)
    assert Refused("at_a_time", 2, 20.0) == desk.check()
    desk.budgets.add("2")
    assert desk.send()


@pytest.mark.parametrize("limit", ["per_minute", "per_day", "at_a_time"])
def test_of_many_that_come_together_no_more_go_than_may(limit: str) -> None:
    """Sixty-four at the same moment."""
    desk = Desk(**{limit: 10})
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


def test_a_day_has_so_many_requests_and_begins_anew(store: Tallies | None) -> None:
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
def test_a_budget_of_a_day_is_used_up(limit: str, spend: dict[str, int]) -> None:
    """What is under way may go beyond it; then nothing more is asked until the next day."""
    desk = Desk(**{limit: 100})

    assert [True, True, False] == [desk.ask(**spend) for _ in range(3)]
    assert 120 == sum(asdict(desk.budgets.standing("alice"))[name] for name in spend)
    desk.go(18 * HOUR)
    assert desk.ask(**spend)


def test_points_that_poe_told_of_are_known_apart(store: Tallies | None) -> None:
    """Those of a day, also after a restart where there is a file."""
    desk = Desk(store)
    desk.ask(points=60, is_exact=True)
    desk.ask(points=7)
    if store is not None:
        desk.start()
    desk.ask(points=30, is_exact=True)
    now = desk.budgets.standing("alice")

    assert (97, 90) == (now.points, now.exact_points)
    desk.go(18 * HOUR)
    assert 0 == desk.budgets.standing("alice").exact_points


def test_a_budget_of_a_month_outlasts_its_days(store: Tallies | None) -> None:
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


def test_the_limit_that_lasts_longest_is_told() -> None:
    """To come back after the shorter one would be in vain."""
    desk = Desk(per_minute=1, tokens_per_day=10, points_per_month=10)
    assert desk.ask(tokens=10)

    assert Refused("tokens_per_day", 10, 18 * HOUR) == desk.check()
    assert 18 * HOUR == desk.budgets.wait("alice")


def test_a_wait_leaves_out_the_request_that_asks() -> None:
    """It is about to be over."""
    desk = Desk(per_minute=1)
    assert desk.check() is None

    assert (0.0, 60.0) == (desk.budgets.wait("alice", "1"), desk.budgets.wait("alice"))


def test_a_clock_that_is_set_back_gives_nothing_back(store: Tallies | None) -> None:
    """What a day had is known when that day comes again."""
    desk = Desk(store, per_day=1)
    assert desk.ask()
    desk.wall.go(24 * HOUR)
    assert desk.ask()
    desk.wall.go(-24 * HOUR)

    assert not desk.ask()


# ---- what outlives a process, and a reload


def test_counts_outlive_the_process(tmp_path: Path) -> None:
    """The day, the month and the last minute; also if it was killed."""
    journal = Journal(tmp_path / "state")
    desk = Desk(journal, per_minute=3, per_day=5, points_per_month=100)
    for _ in range(2):
        assert desk.ask(tokens=7, points=20)
    desk.start()

    now = desk.budgets.standing("alice")
    assert (2, 14, 40, 40) == (now.requests, now.tokens, now.points, now.points_of_month)
    assert [True, False] == [desk.ask(), desk.ask()]
    refused = desk.check()
    assert refused is not None
    assert "per_minute" == refused.limit
    journal.close()


def _after_a_kill(path: Path, **limits: int) -> Desk:
    """What a new process knows if the one that has the file at *path* is killed now."""
    copy = path.with_name("copy")
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    return Desk(Journal(copy), **limits)


@pytest.mark.parametrize("limits", [{"per_minute": 3}, {"per_day": 3}])
def test_no_request_with_a_limit_is_forgotten_by_a_kill(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    """It is written before it is sent."""
    journal = Journal(tmp_path / "state")
    desk = Desk(journal, **limits)
    assert [True, True] == [desk.ask(), desk.send()]

    again = _after_a_kill(tmp_path / "state", **limits)
    assert [True, False] == [again.ask(), again.ask()]
    journal.close()


def test_what_a_kill_forgets_is_of_the_last_second(tmp_path: Path) -> None:
    """Tokens and points, and requests without a limit on them, are written once a second, when
    somebody asks how the file is; or with what is written before."""
    journal = Journal(tmp_path / "state")
    desk = Desk(journal, points_per_day=100)
    assert desk.ask(tokens=7, points=20)
    assert journal.trouble is None

    now = _after_a_kill(tmp_path / "state").budgets.standing("alice")
    assert (1, 7, 20) == (now.requests, now.tokens, now.points)
    journal.close()


def test_what_has_no_limits_is_counted_too(tmp_path: Path) -> None:
    """And outlives the process."""
    journal = Journal(tmp_path / "state")
    desk = Desk(journal)
    for _ in range(5):
        assert desk.ask(points=1)
    journal.close()
    desk.store = journal = Journal(tmp_path / "state")
    desk.start()

    assert (5, 5) == (
        desk.budgets.standing("alice").requests,
        desk.budgets.standing("alice").points,
    )
    journal.close()


def test_a_day_that_cannot_be_written_counts_in_its_month(tmp_path: Path) -> None:
    """What waits for the file is newer than what is in it."""
    failing = False

    def connect(path: Path) -> sqlite3.Connection:
        if failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    up = Clock()
    journal = Journal(tmp_path / "state", connect=connect, boot=up)
    desk = Desk(journal, points_per_month=100)
    desk.go(-72 * HOUR)
    assert desk.ask(points=60)
    assert journal.trouble is None
    failing = True
    journal._disconnect()
    assert desk.ask(points=30)
    assert journal.trouble
    desk.go(24 * HOUR)

    assert 90 == desk.budgets.standing("alice").points_of_month
    failing = False
    up.go(60)
    assert journal.trouble is None
    desk.start()
    assert 90 == desk.budgets.standing("alice").points_of_month
    journal.close()


@pytest.mark.parametrize("others", [0, 1])
def test_minutes_that_are_over_leave_the_file(tmp_path: Path, others: int) -> None:
    """However uses of accounts come between; so the file does not grow, nor the time that it
    takes."""
    up = Clock()
    journal = Journal(tmp_path / "state", boot=up)
    desk = Desk(journal, per_minute=10)
    for number in range(1000):
        for other in range(others):
            journal.add_use("an account", f"{number} {other}")
        assert desk.ask()
        desk.go(10)
        up.go(10)

    with journal._lock:
        assert journal._read("SELECT count(*) FROM sendings")[0][0] < 100
    journal.close()


def test_a_file_of_an_older_version_gets_the_tables(tmp_path: Path) -> None:
    """What is in it stays."""
    path = tmp_path / "state"
    journal = Journal(path)
    journal.add_use("a", "1")
    for table in ("tallies", "sendings"):
        journal._write(f"DROP TABLE {table}")
    journal.close()

    journal = Journal(path)
    desk = Desk(journal, per_day=1)
    assert desk.ask()
    desk.start()
    assert not desk.ask()
    assert 1 == len(journal.recall("a", HOUR).uses)
    journal.close()


def test_a_reload_changes_limits_and_no_counts() -> None:
    """What was used is used; who is no longer there is no longer counted against."""
    desk = Desk(per_day=5)
    assert desk.ask()
    assert desk.send()

    desk.budgets.replace({"alice": Limits(per_day=1), "bob": Limits()}, begins=0.0)
    assert not desk.ask()
    desk.budgets.replace({"bob": Limits()}, begins=0.0)
    desk.budgets.add("2", tokens=3)
    assert 3 == desk.budgets.standing("alice").tokens


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
    limits: dict[str, int], act: Callable[[Desk], object], expected: Share | None
) -> None:
    """With what is left of it, and when all of it is left again."""
    desk = Desk(**limits)
    act(desk)

    assert expected == desk.budgets.left("alice").of_requests
