"""The store in a file: what it remembers, over what, and what becomes of it when the disk fails."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.pool.ledger import MARGIN
from poe_proxy.pool.store import Note, Remembered
from poe_proxy.pool.store import journal as module
from poe_proxy.pool.store.boots import since_boot, this_boot
from poe_proxy.pool.store.holding import StateInUse, is_held
from poe_proxy.pool.store.journal import RETRY, Journal

from ...fakes import Clock, log_lines

#: 2026-08-01, 00:00 UTC.
MIDNIGHT = 1_785_542_400.0
FULL = sqlite3.OperationalError("database or disk is full")


class Connection(sqlite3.Connection):
    """One whose disk may fail."""

    disk: Disk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.disk.failure and not (self.disk.can_be_read and sql.startswith(("SELECT", "PRAG"))):
            raise self.disk.failure
        return super().execute(sql, parameters)


class Disk:
    """What is beneath the file."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.can_be_read = False
        #: How many pages fit on it.
        self.pages = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, factory=Connection)
        db.disk = self
        if self.pages:
            db.execute(f"PRAGMA max_page_count = {self.pages}")
        return db


class Machine:
    """One on which a server runs: its clocks, its disk, and the journal of the server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.up, self.wall = Clock(), Clock()
        self.wall.now = MIDNIGHT + 3600.0
        self.boot_id = "first"
        self.disk = Disk()
        self.journal = self.start()

    def go(self, seconds: float) -> None:
        self.up.go(seconds)
        self.wall.go(seconds)

    def start(self, **options: Any) -> Journal:
        """Start a server. All that its journal does at the end of the one before it is to let go
        of the file: each row has been written when a verb returns."""
        if hasattr(self, "journal"):
            self.journal.close()
        self.journal = Journal(
            self.path,
            wall=self.wall,
            boot=self.up,
            boot_id=self.boot_id,
            connect=self.disk.connect,
            **options,
        )
        return self.journal

    def boot(self, after: float = 0.0) -> Journal:
        """Restart the machine, which takes *after* seconds, and the server."""
        self.journal.close()
        self.wall.go(after)
        self.up.now = 0.0
        self.boot_id = "second"
        return self.start()

    def use(self, name: str = "a", *, arrives_after: float | None = 0.0) -> None:
        """Send something."""
        self.uses = getattr(self, "uses", 0) + 1
        self.journal.add_use(name, f"use {self.uses}")
        if arrives_after is not None:
            self.go(arrives_after)
            self.journal.settle_use(f"use {self.uses}", 0.0)

    def rows(self, query: str) -> list[Any]:
        """What a stranger finds in the file, once the server has ended."""
        self.journal.close()
        with sqlite3.connect(self.path) as db:
            rows = db.execute(query).fetchall()
        db.close()
        return rows


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "state.sqlite3")
    yield machine
    machine.disk.failure = None
    machine.journal.close()


# ---- uses


def test_uses_are_remembered_with_their_ages(machine: Machine) -> None:
    """The oldest first, those of other accounts left out."""
    machine.use("a")
    machine.go(10.0)
    machine.use("b")
    machine.use("a", arrives_after=2.0)
    machine.go(3.0)

    journal = machine.start()

    assert [15.0, 3.0] == journal.recall("a", 60.0).uses
    assert [5.0] == journal.recall("b", 60.0).uses
    assert Remembered() == Remembered(*map(tuple, [[], journal.recall("c", 60.0).notes]))


def test_uses_out_of_the_window_are_not_recalled(machine: Machine) -> None:
    """One that leaves it this moment is."""
    for _ in range(3):
        machine.use()
        machine.go(30.0)

    assert [60.0, 30.0] == machine.start().recall("a", 60.0).uses


def test_a_use_counts_from_its_arrival(machine: Machine) -> None:
    """Poe counts it so. It may have arrived a while before that was known."""
    machine.use(arrives_after=None)
    machine.go(4.0)
    machine.journal.settle_use("use 1", 1.0)

    assert [1.0] == machine.start().recall("a", 60.0).uses


@pytest.mark.parametrize("down", [0.5, MARGIN, 20.0])
def test_a_use_that_had_not_arrived_counts_from_when_it_must_have(
    down: float, machine: Machine
) -> None:
    """What the process had sent may arrive after its end, but not later than `MARGIN` seconds
    after the sending: until then its age is negative."""
    machine.use(arrives_after=None)
    machine.go(down)

    assert [down - MARGIN] == machine.start().recall("a", 60.0).uses


def test_what_settles_is_known_by_one_process_alone(machine: Machine) -> None:
    """The names of uses may come again in the next one, and mean others."""
    machine.use(arrives_after=None)
    machine.go(20.0)
    journal = machine.start()

    journal.settle_use("use 1", 0.0)
    journal.settle_use("never added", 0.0)
    journal.add_use("a", "use 1")
    journal.settle_use("use 1", 0.0)
    journal.settle_use("use 1", -30.0)

    assert [15.0, 0.0] == machine.start().recall("a", 60.0).uses


def test_old_uses_are_deleted(machine: Machine) -> None:
    """Those that no limit remembers, an hour old or more: the file does not grow for ever."""
    machine.journal.recall("short", 60.0)
    machine.journal.recall("long", 86_400.0)
    for _ in range(1000):
        machine.use("short")
        machine.use("long")
        machine.go(36.0)

    counts = dict(machine.rows("SELECT account, count(*) FROM uses GROUP BY account"))
    assert 1000 == counts["long"]
    assert 100 <= counts["short"] <= 100 + module._TIDIED


def test_uses_before_the_machine_was_restarted_are_deleted_too(machine: Machine) -> None:
    """By the wall clock, once their account is recalled."""
    machine.use("a")
    machine.use("b")
    machine.boot(after=7200.0)
    machine.journal.recall("a", 3600.0)

    assert [("b",)] == machine.rows("SELECT account FROM uses")


def test_the_uses_of_each_day_are_counted(machine: Machine) -> None:
    """By UTC, over restarts, and for longer than the uses themselves are kept."""
    for _ in range(3):
        machine.use("a")
    machine.use("b")
    machine.start()
    assert {"a": 3, "b": 1} == machine.journal.day_uses()
    machine.use("a")
    machine.boot(after=86_400.0)
    assert {} == machine.journal.day_uses()
    machine.use("a")

    assert [("a", "2026-08-01", 4), ("a", "2026-08-02", 1), ("b", "2026-08-01", 1)] == machine.rows(
        "SELECT account, day, uses FROM days"
    )


# ---- notes


NOTES = [
    Note("rest", "gpt-4", 20.0, "Slow down.", "rate_limited"),
    Note("suspended", seconds=15.0, reason="Log in.", code="token_rejected", count=2),
    Note("points", reason="None left."),
    Note("strike", "gpt-4", 5.0, "503", count=3),
    Note("paused"),
    Note("retired", reason="\ud800 Poe’s words"),
]


def test_notes_are_remembered_with_what_is_left_of_their_time(machine: Machine) -> None:
    """What has no end has none later either, and a time that is over is not positive."""
    machine.journal.keep_notes("a", NOTES)
    machine.go(15.0)

    rest, suspended, points, strike, paused, retired = machine.start().recall("a", 60.0).notes

    assert Note("rest", "gpt-4", 5.0, "Slow down.", "rate_limited") == rest
    assert Note("suspended", "", 0.0, "Log in.", "token_rejected", 2) == suspended
    assert (NOTES[2], NOTES[4], NOTES[5]) == (points, paused, retired)
    assert Note("strike", "gpt-4", -10.0, "503", count=3) == strike


def test_a_rest_that_is_over_is_not_recalled(machine: Machine) -> None:
    """It holds nothing back; what is suspended stays so, although a look is due."""
    machine.journal.keep_notes("a", NOTES)
    machine.go(20.0)

    notes = machine.start().recall("a", 60.0).notes

    assert ["suspended", "points", "strike", "paused", "retired"] == [note.cause for note in notes]


def test_notes_take_the_place_of_those_before(machine: Machine) -> None:
    """No notes at all as well."""
    machine.journal.keep_notes("a", NOTES)
    machine.journal.keep_notes("b", NOTES)
    machine.journal.keep_notes("a", NOTES[2:3])
    machine.journal.keep_notes("b", ())

    journal = machine.start()

    assert NOTES[2:3] == journal.recall("a", 60.0).notes
    assert [] == journal.recall("b", 60.0).notes
    assert [("a",)] == machine.rows("SELECT account FROM notes")


def test_no_time_is_longer_than_it_was(machine: Machine) -> None:
    """With the wall clock set back while the machine was restarted, a rest begins anew."""
    machine.journal.keep_notes("a", NOTES[:1])
    machine.use()
    machine.boot(after=-500.0)

    remembered = machine.journal.recall("a", 60.0)

    assert [20.0] == [note.seconds for note in remembered.notes]
    assert [0.0] == remembered.uses


# ---- clocks


@pytest.mark.parametrize("jump", [-1e6, -30.0, 30.0, 1e6])
def test_a_wall_clock_that_is_set_changes_nothing(jump: float, machine: Machine) -> None:
    """While the machine runs, its own time counts."""
    machine.journal.keep_notes("a", NOTES[:1])
    machine.use()
    machine.go(5.0)
    machine.wall.go(jump)

    remembered = machine.start().recall("a", 60.0)

    assert [5.0] == remembered.uses
    assert [15.0] == [note.seconds for note in remembered.notes]


def test_after_a_restart_of_the_machine_the_wall_clock_counts(machine: Machine) -> None:
    """Its time since the start says nothing about the time before."""
    machine.use()
    machine.use(arrives_after=None)
    machine.boot(after=40.0)

    assert [40.0, 40.0 - MARGIN] == machine.journal.recall("a", 60.0).uses


def test_a_clock_that_goes_back_makes_no_use_younger_than_now(machine: Machine) -> None:
    """So may that of a machine which was restored from a picture of it."""
    machine.use()
    machine.up.go(-10.0)

    assert [0.0] == machine.start().recall("a", 60.0).uses


def test_this_machine_has_a_time_since_its_start_and_a_name_for_it() -> None:
    """Two processes find the same."""
    script = "from poe_proxy.pool.store.boots import *; print(this_boot(), since_boot())"
    before = since_boot()
    boot, up = subprocess.check_output([sys.executable, "-c", script], text=True).split()

    assert this_boot() == boot
    assert before <= float(up) <= since_boot()


def test_where_proc_is_closed_the_unit_names_the_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's `%b`, which has no hyphens; without it each process has a name of its own."""

    def closed(*args: object) -> str:
        raise FileNotFoundError

    real = this_boot()
    monkeypatch.setattr(Path, "read_text", closed)
    assert this_boot() != this_boot()

    monkeypatch.setenv("BOOT_ID", real)

    assert real == this_boot()


# ---- renewed cookies


def test_renewed_cookies_are_remembered(machine: Machine) -> None:
    """The last ones of each account."""
    machine.journal.keep_renewed("a", {"p-b": "first"})
    machine.journal.keep_renewed("a", {"p-b": "second", "p-lat": "lat"})

    journal = machine.start()

    assert {"p-b": "second", "p-lat": "lat"} == journal.renewed("a")
    assert {} == journal.renewed("b")


def test_a_setting_leaves_renewed_cookies_out_and_deletes_those_in_the_file(
    machine: Machine,
) -> None:
    """No byte of them is left, while the server runs."""
    machine.journal.keep_renewed("a", {"p-b": "a-secret-of-poe"})
    journal = machine.start(keeps_renewals=False)
    journal.keep_renewed("a", {"p-b": "a-secret-of-poe"})

    assert {} == journal.renewed("a")
    files = [one for one in machine.path.parent.iterdir() if one.is_file()]
    assert machine.path in files
    assert [] == [one.name for one in files if b"a-secret-of-poe" in one.read_bytes()]
    assert {} == machine.start().renewed("a")


def test_an_account_that_is_gone_is_forgotten_in_the_end(machine: Machine) -> None:
    """Its cookies too, two months later; one that is still in the settings is not, however long
    it was not used, and whatever the clock says."""
    for name in ("gone", "here"):
        machine.journal.keep_renewed(name, {"p-b": name})
        machine.journal.keep_notes(name, NOTES)
        machine.use(name)
    for days in (59.0, 2.0):
        assert {"p-b": "gone"} == machine.journal.renewed("gone")
        machine.go(days * 86_400.0)
        machine.start().recall("here", 60.0)
    machine.start()

    for table in ("renewals", "notes", "uses"):
        assert [("here",)] == machine.rows(f"SELECT account FROM {table}")


# ---- the file


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_its_owner_may_read_the_file(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the log beside it, nor a folder that was made for it; a file that was open is closed."""
    path = tmp_path / "new" / "state.sqlite3"
    before = os.umask(umask)
    try:
        for _ in range(2):
            journal = Journal(path)
            journal.add_use("a", "1")
            modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
            journal.close()
            path.chmod(0o644)
    finally:
        os.umask(before)

    assert {path.name, f"{path.name}-wal", f"{path.name}.lock"} == modes.keys()
    assert {0o600} == set(modes.values())
    assert 0o700 == path.parent.stat().st_mode & 0o777


def test_a_second_server_is_refused(tmp_path: Path) -> None:
    """As long as the first one has the file, however it was begun."""
    path = tmp_path / "state.sqlite3"
    script = (
        "import sys; from pathlib import Path; from poe_proxy.pool.store.journal import Journal;"
        "journal = Journal(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(StateInUse, match=f"process {first.pid}"):
            Journal(path, patience=0.0)
        first.stdin.close()
        Journal(path, patience=60.0).close()

    assert not is_held(path)


def test_what_was_written_outlives_sigkill(tmp_path: Path) -> None:
    """Every row whose verb had returned is there, and the file is whole."""
    path = tmp_path / "state.sqlite3"
    script = (
        "import sys; from pathlib import Path; from itertools import count;"
        "from poe_proxy.pool.store.journal import Journal; journal = Journal(Path(sys.argv[1]))\n"
        "for use in count():\n"
        "    journal.add_use('a', str(use))\n"
        "    journal.settle_use(str(use), 0.0)\n"
        "    print(use, flush=True)"
    )
    written = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) as one:
            assert one.stdout is not None
            for _ in range(700):
                one.stdout.readline()
            one.kill()
            written += 700 + len(one.stdout.readlines())

    with log_lines() as lines:
        journal = Journal(path)
        uses = journal.recall("a", inf).uses
        journal.close()

    assert written <= len(uses) <= written + 2
    assert "" == lines.getvalue()


def test_after_its_end_it_forgets(machine: Machine) -> None:
    """A request that ends after that does no harm."""
    machine.journal.close()
    machine.journal.close()

    machine.use()
    machine.journal.keep_notes("a", NOTES)

    assert Remembered([], []) == machine.journal.recall("a", 60.0)
    assert machine.journal.trouble is None


# ---- a file that is broken


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    path.write_bytes(b"No database, but a text that is long enough to be one. " * 99)


def of_the_future(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def of_another_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
    db.close()


@pytest.mark.parametrize("breaks", [cut, overwritten, of_the_future, of_another_program])
def test_a_broken_file_is_put_aside(breaks: Callable[[Path], None], machine: Machine) -> None:
    """The server starts with a new one, and the log says loudly what is forgotten."""
    for _ in range(50):
        machine.use()
    machine.journal.close()
    breaks(machine.path)
    broken = machine.path.read_bytes()

    with log_lines() as lines:
        machine.start()
    machine.use()

    assert [0.0] == machine.start().recall("a", 60.0).uses
    assert machine.journal.trouble is None
    aside = machine.path.with_name("state.sqlite3.broken-20260801T010000Z")
    assert broken == aside.read_bytes()
    assert "ERROR" in lines.getvalue()
    assert f"is broken ({broken_words(breaks)}" in lines.getvalue()
    assert f"It is now {aside.name}, and a new one begins" in lines.getvalue()


def broken_words(breaks: Callable[[Path], None]) -> str:
    return {
        cut: "",
        overwritten: "file is not a database",
        of_the_future: "version 99, not 1",
        of_another_program: "version 0, not 1",
    }[breaks]


def test_a_file_that_breaks_meanwhile_is_put_aside_too(machine: Machine) -> None:
    """What was to be written then is in the new one."""
    machine.use()
    machine.disk.failure = sqlite3.DatabaseError("database disk image is malformed")

    class Repaired(Disk):
        def connect(self, path: Path) -> sqlite3.Connection:
            machine.disk.failure = None
            return machine.disk.connect(path)

    machine.journal._connect = Repaired().connect
    with log_lines() as lines:
        machine.use()

    assert [0.0] == machine.start().recall("a", 60.0).uses
    assert "is broken (database disk image is malformed)" in lines.getvalue()


@pytest.mark.parametrize("text", ["", "[", "{}"])
def test_what_was_changed_by_hand_into_nonsense_counts_as_nothing(
    text: str, machine: Machine
) -> None:
    """The server starts."""
    machine.journal.keep_notes("a", NOTES)
    machine.journal.keep_renewed("a", {"p-b": "first"})
    machine.journal.close()
    with sqlite3.connect(machine.path) as db:
        db.execute("UPDATE notes SET notes = ?", (text,))
        db.execute("UPDATE renewals SET cookies = ?", (text,))
    db.close()

    assert [] == machine.start().recall("a", 60.0).notes
    assert {} == machine.journal.renewed("a")


# ---- a disk that fails


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (FULL, "database or disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "a readonly database"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (sqlite3.OperationalError("database is locked"), "database is locked"),
        (OSError(5, "Input/output error", "/a/name"), "Input/output error"),
    ],
)
def test_a_failing_disk_stops_nothing_and_is_said(
    failure: Exception, words: str, machine: Machine
) -> None:
    """What cannot be written is written when it can be."""
    machine.use()
    machine.disk.failure = failure

    with log_lines() as lines:
        machine.use(arrives_after=None)
        machine.go(4.0)
        machine.journal.settle_use("use 2", 1.0)
        machine.journal.keep_notes("a", NOTES[2:3])
        machine.journal.keep_renewed("a", {"p-b": "new"})

        assert words in str(machine.journal.trouble)
        assert "/a/name" not in str(machine.journal.trouble)
        assert 1 == lines.getvalue().count("ERROR")
        assert "Going on without it" in lines.getvalue()

        machine.disk.failure = None
        machine.go(RETRY)

        assert machine.journal.trouble is None
        assert f"STATE_FILE {machine.path} is written again." in lines.getvalue()

    remembered = machine.start().recall("a", 60.0)
    assert [4.0 + RETRY, 1.0 + RETRY] == remembered.uses
    assert NOTES[2:3] == remembered.notes
    assert {"p-b": "new"} == machine.journal.renewed("a")
    assert [("a", "2026-08-01", 2)] == machine.rows("SELECT * FROM days")


def test_a_failing_disk_is_tried_now_and_then(machine: Machine) -> None:
    """Not for each request; and the log says it once a minute, at most."""
    tries: list[float] = []
    machine.disk.failure = FULL

    def connect(path: Path) -> sqlite3.Connection:
        tries.append(machine.up())
        raise FULL

    machine.journal._connect = connect
    began = machine.up()
    with log_lines() as lines:
        for _ in range(1200):
            machine.use()
            machine.go(0.1)

    assert 20 <= len(tries) <= 120.0 / RETRY
    assert [RETRY, 2 * RETRY] == pytest.approx([at - began for at in tries[:2]], abs=0.2)
    assert 2 == lines.getvalue().count("ERROR")


def test_a_disk_that_fails_now_and_then_does_not_fill_the_log(machine: Machine) -> None:
    """Within a minute it is said once that it fails, and once that it works again."""
    with log_lines() as lines:
        for _ in range(10):
            machine.disk.failure = FULL
            machine.use()
            machine.disk.failure = None
            machine.go(RETRY)
            assert machine.journal.trouble is None

    assert ["ERROR", "WARNING"] == [line.split()[2] for line in lines.getvalue().splitlines()]


def test_what_waits_for_a_failing_disk_has_a_bound(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten: memory is not the next thing to be full."""
    monkeypatch.setattr(module, "_MOST_WAITING", 20)
    journal = machine.start()
    machine.disk.failure = FULL
    for _ in range(100):
        machine.use(arrives_after=None)
        machine.go(0.01)
    machine.disk.failure = None
    machine.go(RETRY)

    assert journal.trouble is None
    assert 20 == len(machine.start().recall("a", 60.0).uses)


def test_a_disk_that_is_really_full_loses_nothing(machine: Machine) -> None:
    """SQLite itself refuses; then there is room again."""
    machine.disk.pages = 12
    machine.start()
    sent = 0
    while machine.journal.trouble is None:
        machine.use()
        sent += 1
        assert sent < 10_000
    assert "database or disk is full" == machine.journal.trouble
    machine.use()

    machine.disk.pages = 0
    machine.go(RETRY)

    assert machine.journal.trouble is None
    assert sent + 1 == len(machine.start().recall("a", inf).uses)


def test_a_disk_that_can_only_be_read_is_read(machine: Machine) -> None:
    """A restart on a full disk forgets no limit."""
    machine.use()
    machine.journal.keep_notes("a", NOTES[2:3])
    machine.go(5.0)
    machine.journal.close()
    machine.disk.failure, machine.disk.can_be_read = FULL, True

    with log_lines() as lines:
        remembered = machine.start().recall("a", 60.0)

    assert ([5.0], NOTES[2:3]) == (remembered.uses, remembered.notes)
    assert str(FULL) == machine.journal.trouble
    assert 1 == lines.getvalue().count("ERROR")


def test_without_a_disk_the_server_starts_with_nothing(machine: Machine) -> None:
    """It has forgotten what was in the file; what comes is written later."""
    machine.use()
    machine.journal.close()
    machine.disk.failure = FULL
    journal = machine.start()

    assert Remembered([], []) == journal.recall("a", 60.0)
    assert {} == journal.renewed("a")
    machine.use()
    machine.disk.failure = None
    machine.go(RETRY)

    assert [RETRY, RETRY] == machine.start().recall("a", 60.0).uses


def test_what_waits_at_the_end_is_tried_once_more(machine: Machine) -> None:
    """Even if the last try was a moment ago."""
    machine.disk.failure = FULL
    machine.use()
    machine.disk.failure = None

    assert [0.0] == machine.start().recall("a", 60.0).uses
