"""What of the budgets outlives a process that keeps them itself."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

import pytest

from poe_proxy.pool.store.journal import Journal

from ..fakes import Clock
from .desks import HOUR, Desk, in_memory


def _after_a_kill(path: Path, **limits: int) -> Desk:
    """What a new process knows if the one that has the file at *path* is killed now."""
    copy = path.with_name("copy")
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    return Desk(in_memory(Journal(copy)), **limits)


@pytest.mark.parametrize("limits", [{"per_minute": 3}, {"per_day": 3}])
def test_no_request_with_a_limit_is_forgotten_by_a_kill(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    """It is written before it is sent."""
    journal = Journal(tmp_path / "state")
    desk = Desk(in_memory(journal), **limits)
    assert [True, True] == [desk.ask(), desk.send()]

    again = _after_a_kill(tmp_path / "state", **limits)
    assert [True, False] == [again.ask(), again.ask()]
    journal.close()


def test_what_a_kill_forgets_is_of_the_last_second(tmp_path: Path) -> None:
    """Tokens and points, and requests without a limit on them, are written once a second, when
    somebody asks how the file is; or with what is written before."""
    journal = Journal(tmp_path / "state")
    desk = Desk(in_memory(journal), points_per_day=100)
    assert desk.ask(tokens=7, points=20)
    assert journal.trouble is None

    now = _after_a_kill(tmp_path / "state").budgets.standing("alice")
    assert (1, 7, 20) == (now.requests, now.tokens, now.points)
    journal.close()


def test_what_has_no_limits_is_counted_too(tmp_path: Path) -> None:
    """And outlives the process."""
    journal = Journal(tmp_path / "state")
    desk = Desk(in_memory(journal))
    for _ in range(5):
        assert desk.ask(points=1)
    journal.close()
    journal = Journal(tmp_path / "state")
    desk.make = in_memory(journal)
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
    desk = Desk(in_memory(journal), points_per_month=100)
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
    desk = Desk(in_memory(journal), per_minute=10)
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
    desk = Desk(in_memory(journal), per_day=1)
    assert desk.ask()
    desk.start()
    assert not desk.ask()
    assert 1 == len(journal.recall("a", HOUR).uses)
    journal.close()
