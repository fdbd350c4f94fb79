"""Renewed cookies in a file that several servers of one host share."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.pool.store.holding import StateInUse, is_held
from poe_proxy.pool.store.journal import Journal
from poe_proxy.pool.store.renewals import RETRY, SharedRenewals
from poe_proxy.pool.store.schema import FORGOTTEN

from ...fakes import Clock, log_lines

DAY = 86400.0
FULL = sqlite3.OperationalError("database or disk is full")


class Connection(sqlite3.Connection):
    """One whose disk may fail."""

    host: Host

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.host.failure:
            raise self.host.failure
        return super().execute(sql, parameters)


class Host:
    """One on which several servers run: its clocks, its disk, its file."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.wall, self.clock = Clock(), Clock()
        self.wall.now = 1_785_542_400.0
        self.failure: Exception | None = None
        self._stack = stack

    def start(self, **options: Any) -> SharedRenewals:
        """Start a server."""
        one = SharedRenewals(
            self.path, wall=self.wall, clock=self.clock, connect=self._connect, **options
        )
        self._stack.callback(one.close)
        return one

    def _connect(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, factory=Connection)
        db.host = self
        return db


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(tmp_path / "state" / "state.sqlite3", stack)


def test_what_one_server_keeps_the_others_and_the_next_find(host: Host) -> None:
    """Each cookie is at home with one of them, and with another one later."""
    one, other = host.start(), host.start()
    one.keep_renewed("a", {"p-b": "1", "p-lat": "x"})
    other.keep_renewed("b", {"p-b": "2"})
    one.keep_renewed("a", {"p-b": "3"})

    assert ({"p-b": "3"}, {"p-b": "2"}) == (other.renewed("a"), one.renewed("b"))
    assert {} == one.renewed("c")
    one.close()
    other.close()
    assert {"p-b": "3"} == host.start().renewed("a")
    assert 0o600 == host.path.stat().st_mode & 0o777
    assert 0o700 == host.path.parent.stat().st_mode & 0o777


_KEEPS = """
import sys
from pathlib import Path
from poe_proxy.pool.store.renewals import SharedRenewals

path, name = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
renewals = SharedRenewals(path)
for number in range(20):
    renewals.keep_renewed(name, {"p-b": f"{name}{number}"})
print(renewals.trouble)
renewals.close()
"""


def test_processes_that_start_at_the_same_time_make_one_file(host: Host) -> None:
    """And lose nothing to each other."""
    names = ("a", "b", "c", "d")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _KEEPS, str(host.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in names
    ]
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60)[0] for one in processes]

    assert ["None\n"] * 4 == said
    found = host.start()
    assert [{"p-b": f"{name}19"} for name in names] == [found.renewed(name) for name in names]


def test_a_server_with_a_pool_of_its_own_is_refused_and_refuses(host: Host) -> None:
    """It would spend each limit again. Where one has held the file for its workers, they use it."""
    script = "import sys; from pathlib import Path; "
    alone = script + (
        "from poe_proxy.pool.store.holding import hold; hold(Path(sys.argv[1]), patience=0.0)"
    )
    host.start()
    ran = subprocess.run(
        [sys.executable, "-c", alone, str(host.path)], capture_output=True, text=True, check=False
    )
    assert "is in use by another server" in ran.stderr
    assert is_held(host.path)

    other = host.path.with_name("other.sqlite3")
    holding = subprocess.Popen(
        [sys.executable, "-c", f"{alone}; print('held', flush=True); sys.stdin.read()", str(other)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holding.stdout is not None
        assert "held\n" == holding.stdout.readline()
        with pytest.raises(StateInUse):
            SharedRenewals(other, patience=0.0)
    finally:
        holding.communicate(timeout=60)


def test_what_cannot_be_written_waits_and_is_known_meanwhile(host: Host) -> None:
    """It is tried again once in a while; the log says so once."""
    renewals = host.start()
    assert renewals.trouble is None
    host.failure = FULL
    with log_lines() as lines:
        renewals.keep_renewed("a", {"p-b": "1"})
        renewals.keep_renewed("b", {"p-b": "2"})
        assert "database or disk is full" == renewals.trouble
        assert {"p-b": "1"} == renewals.renewed("a")
        assert {} == renewals.renewed("c")
        host.failure = None
        assert "database or disk is full" == renewals.trouble
        host.clock.go(RETRY)
        assert renewals.trouble is None

    assert 1 == lines.getvalue().count("disk is full")
    assert str(host.path) in lines.getvalue()
    other = host.start()
    assert ({"p-b": "1"}, {"p-b": "2"}) == (other.renewed("a"), other.renewed("b"))


def test_a_file_that_is_broken_is_put_aside_and_all_go_on_with_the_new_one(host: Host) -> None:
    """Whoever finds it; none goes on writing to what was put aside."""
    one, other = host.start(), host.start()
    one.keep_renewed("a", {"p-b": "1"})
    host.path.write_bytes(b"no database" * 100)
    with log_lines() as lines:
        one.keep_renewed("a", {"p-b": "2"})
        other.keep_renewed("b", {"p-b": "3"})

    assert 1 == lines.getvalue().count("is broken")
    assert ({"p-b": "2"}, {"p-b": "3"}) == (other.renewed("a"), one.renewed("b"))
    assert 1 == len([*host.path.parent.glob("*.broken-*")])
    assert (None, None) == (one.trouble, other.trouble)


def test_whoever_reads_does_not_wait_for_whoever_writes(host: Host) -> None:
    """Which may be frozen in the middle of it."""
    renewals = host.start()
    renewals.keep_renewed("a", {"p-b": "1"})
    with closing(sqlite3.connect(host.path, isolation_level=None)) as frozen:
        frozen.execute("BEGIN IMMEDIATE")
        frozen.execute("DELETE FROM renewals")
        found = host.start().renewed("a")
        frozen.execute("ROLLBACK")

    assert {"p-b": "1"} == found


def test_where_none_are_to_be_kept_none_are_left_in_the_file(host: Host) -> None:
    """Not even as what was deleted."""
    renewals = host.start()
    renewals.keep_renewed("a", {"p-b": "VERY-SECRET"})
    renewals.close()
    renewals = host.start(keeps_renewals=False)
    renewals.keep_renewed("a", {"p-b": "VERY-SECRET"})

    assert {} == renewals.renewed("a")
    renewals.close()
    assert b"VERY-SECRET" not in b"".join(
        path.read_bytes() for path in host.path.parent.iterdir() if path.is_file()
    )


def test_accounts_that_are_gone_are_forgotten_after_a_while(host: Host) -> None:
    """At the end of a server that did not have them either."""
    renewals = host.start()
    for name in ("gone", "kept"):
        renewals.keep_renewed(name, {"p-b": name})
    renewals.close()
    host.wall.go((FORGOTTEN + 1) * DAY)
    renewals = host.start()
    assert {"p-b": "kept"} == renewals.renewed("kept")
    renewals.close()
    renewals = host.start()

    assert ({}, {"p-b": "kept"}) == (renewals.renewed("gone"), renewals.renewed("kept"))


def test_the_file_is_that_of_a_server_with_a_pool_of_its_own(host: Host) -> None:
    """Whoever sets `REDIS_URL`, or takes it out again, keeps the renewed cookies; what was used is
    left alone, and nothing is added to it."""
    journal = Journal(host.path)
    journal.keep_renewed("a", {"p-b": "1"})
    journal.add_use("a", "use 1")
    journal.close()
    renewals = host.start()
    assert {"p-b": "1"} == renewals.renewed("a")
    renewals.keep_renewed("a", {"p-b": "2"})
    renewals.close()
    journal = Journal(host.path)
    try:
        assert {"p-b": "2"} == journal.renewed("a")
        assert {"a": 1} == journal.day_uses()
    finally:
        journal.close()
