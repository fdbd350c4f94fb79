"""What is written down, when, and what becomes of it when the disk fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.record import Record
from poe_proxy.usage import recorder as module
from poe_proxy.usage import rows as rows_module
from poe_proxy.usage.file import BITE, UsageFile, opened
from poe_proxy.usage.recorder import Recorder
from poe_proxy.usage.rows import Row

from ..fakes import Clock, log_lines, until
from .fixtures import NOON, micro, record, seconds

FULL = sqlite3.OperationalError("database or disk is full")


class Disk:
    """Fails while it has a failure."""

    def __init__(self) -> None:
        self.failure: sqlite3.Error | None = None

    def connect(self, path: Path) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                if disk.failure:
                    raise disk.failure
                return super().execute(sql, parameters)

        return sqlite3.connect(
            path, timeout=0.0, isolation_level=None, check_same_thread=False, factory=Connection
        )


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, disk: Disk, clock: Clock) -> Iterator[Callable[..., Recorder]]:
    """Makes a recorder whose thread does not run; it is noon."""
    made: list[UsageFile] = []

    def make(days: int = 30, name: str = "usage.sqlite3", gather: float = 0.0) -> Recorder:
        file = UsageFile(tmp_path / "state" / name, connect=disk.connect)
        made.append(file)
        return Recorder(file, days=days, gather=gather, clock=clock, wall=lambda: seconds(NOON))

    yield make
    for file in made:
        file.close()


def rows(path: Path, columns: str = "client") -> list[Any]:
    """What is in the file."""
    with closing(opened(path)) as db:
        return [*db.execute(f"SELECT {columns} FROM requests ORDER BY id")]


def test_a_request_is_a_row(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """With all that is known of it."""
    usage = make()
    one = record(
        streams=True, queued=0.25, first_text=100.75, model="x" * 500, code="upstream_timeout"
    )
    usage.tell(one)
    usage.flush()

    path = tmp_path / "state" / "usage.sqlite3"
    with closing(opened(path)) as db:
        db.row_factory = sqlite3.Row
        (row,) = db.execute("SELECT * FROM requests")
    assert {
        "id": 1, "at": micro(NOON), "request": "req_1", "client": "alice",
        "route": "/v1/chat/completions", "model": "x" * 100, "bot": "Claude-Sonnet-4.5",
        "account": "key 1", "kind": "key", "streams": 1, "status": 200,
        "code": "upstream_timeout", "tokens_in": 10, "tokens_out": 5, "counted": 1,
        "estimate": 15, "points": None, "queued": 0.25, "first_text": 0.75, "seconds": 2.0,
        "sent": micro(NOON) + 100_000, "sends": 1, "ended": micro(NOON) + 2_000_000,
    } == dict(row)  # fmt: skip


def test_a_row_may_lack_what_is_not_known(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """A price, a first word, a sending: not known is not 0."""
    usage = make()
    usage.tell(record(price=None, tokens=None, answer_size=1, sent=0.0, sends=0))
    usage.tell(record(points=12, model="half \ud83d"))
    usage.flush()

    columns = "estimate, points, first_text, sent, counted, model"
    assert [
        (None, None, None, None, 0, "claude"),
        (15, 12, None, micro(NOON) + 100_000, 1, "half ?"),
    ] == rows(tmp_path / "state" / "usage.sqlite3", columns)


def test_a_request_that_asked_for_no_account_is_no_row(
    make: Callable[..., Recorder], tmp_path: Path
) -> None:
    """A list of models, a wrong key."""
    usage = make()
    usage.tell(record(joined=0.0))
    usage.flush()
    usage.tell(record())
    usage.flush()

    assert 1 == len(rows(tmp_path / "state" / "usage.sqlite3"))


def test_only_its_owner_may_read_the_file(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """Whatever the process's mask is; a file that was open to others is closed."""
    path = tmp_path / "state" / "usage.sqlite3"
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o644)
    usage = make()
    usage.tell(record())
    usage.flush()

    assert {0o600} == {one.stat().st_mode & 0o777 for one in path.parent.iterdir()}


def test_what_poe_tells_a_moment_later_is_in_the_row(
    make: Callable[..., Recorder], tmp_path: Path
) -> None:
    """A row is made when it is written."""
    usage, one = make(), record(points=0)
    usage.tell(one)
    assert one.charges is not None
    one.charges.note(1, 33)
    usage.flush()

    assert [(33,)] == rows(tmp_path / "state" / "usage.sqlite3", "points")


def test_a_request_waits_for_what_poe_may_tell(
    make: Callable[..., Recorder], clock: Clock, tmp_path: Path
) -> None:
    """For a while from its own end on, whatever was told before it; the end waits for nothing."""
    path = tmp_path / "state" / "usage.sqlite3"
    usage = make(gather=0.01)
    usage.tidy()  # which makes the file
    usage.start()
    usage.tell(record(client="a", ended=clock() - 0.02))
    usage.tell(record(client="b", ended=clock()))
    until(lambda: rows(path))
    assert [("a",)] == rows(path)
    usage.tell(record(client="c", ended=clock() + 0.02))
    clock.go(0.02)
    until(lambda: len(rows(path)) > 1)
    assert [("a",), ("b",)] == rows(path)
    usage.close()

    assert [("a",), ("b",), ("c",)] == rows(path)


@pytest.mark.parametrize(
    "bad", [{"queued": None}, {"sends": 1 << 70}, {"status": object()}, {"kind": "\ud83d"}],
    ids=["no row", "too large", "of no type", "no text"],
)  # fmt: skip
def test_what_can_be_no_row_is_left_out(
    make: Callable[..., Recorder], tmp_path: Path, bad: dict[str, Any]
) -> None:
    """And nothing else; the log says how many there were."""
    usage = make()
    with log_lines() as log:
        for number in range(4):
            usage.tell(record(client=f"c{number}", **(bad if number in {1, 2} else {})))
        assert usage.flush()
        usage.tell(record(client="c4"))
        assert usage.flush()

    assert [("c0",), ("c3",), ("c4",)] == rows(tmp_path / "state" / "usage.sqlite3")
    assert 1 == log.getvalue().count("2 requests are left out of the usage records")


def test_what_fails_among_rows_that_are_none_is_tried_again(
    make: Callable[..., Recorder], disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be full then; nothing is written twice."""
    usage = make()
    for client in "abc":
        usage.tell(record(client=client, sends=1 << 70 if client == "b" else 1))

    def row(record: Record) -> Row:
        if record.client == "c" and "c" in seen:
            disk.failure = FULL
        seen.append(record.client)
        return rows_module.row(record)

    seen: list[str] = []
    monkeypatch.setattr(module, "row", row)
    assert not usage.flush()
    disk.failure = None
    monkeypatch.undo()
    assert usage.flush()

    assert [("a",), ("c",)] == rows(tmp_path / "state" / "usage.sqlite3")


def test_a_crowd_is_written_in_its_order(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """A bite at a time."""
    usage = make()
    for number in range(3 * BITE + 7):
        usage.tell(record(client=f"c{number}"))
    usage.flush()

    assert [(f"c{number}",) for number in range(3 * BITE + 7)] == rows(
        tmp_path / "state" / "usage.sqlite3"
    )


def test_a_full_disk_is_no_trouble_for_requests(
    make: Callable[..., Recorder], disk: Disk, clock: Clock, tmp_path: Path
) -> None:
    """What it cannot take waits, and is written when it can; the log says both once."""
    usage = make()
    usage.tell(record(client="a"))
    usage.flush()
    with log_lines() as log:
        disk.failure = FULL
        for client in "bcd":
            usage.tell(record(client=client))
            assert not usage.flush()
            clock.go(5.0)
        disk.failure = None
        assert usage.flush()

    assert [(one,) for one in "abcd"] == rows(tmp_path / "state" / "usage.sqlite3")
    assert 1 == log.getvalue().count("database or disk is full. Going on without it")
    assert 1 == log.getvalue().count("is written again")


def test_of_what_waits_too_long_the_oldest_is_forgotten(
    make: Callable[..., Recorder], disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    usage = make()
    disk.failure = FULL
    for client in "abcde":
        usage.tell(record(client=client))
        usage.flush()
    disk.failure = None
    usage.flush()

    assert [(one,) for one in "cde"] == rows(tmp_path / "state" / "usage.sqlite3")


@pytest.mark.parametrize(
    "content", [pytest.param(b"no database" * 1000, id="no database"), None], ids=str
)
def test_a_file_that_is_broken_is_put_aside(
    make: Callable[..., Recorder], tmp_path: Path, content: bytes | None
) -> None:
    """A new one begins, and the log says what the old one is called now; so it is with one of a
    later version."""
    path = tmp_path / "state" / "usage.sqlite3"
    path.parent.mkdir(mode=0o700)
    if content is not None:
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE requests (other TEXT)")
            db.execute("PRAGMA user_version = 99")
    with log_lines() as log:
        usage = make()
        usage.tell(record())
        assert usage.flush()

    assert [("alice",)] == rows(path)
    (aside,) = path.parent.glob("usage.sqlite3.broken-*Z")
    assert aside.name in log.getvalue()


@pytest.mark.parametrize("endings", [("",), ("", "-wal", "-shm")], ids=["alone", "with its log"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_somebody_has_deleted_is_made_anew(
    make: Callable[..., Recorder], tmp_path: Path, endings: tuple[str, ...], is_replaced: bool
) -> None:
    """While the server runs; another server may have made it by then."""
    path = tmp_path / "state" / "usage.sqlite3"
    usage, other = make(), make()
    usage.tell(record(client="before"))
    usage.flush()
    for ending in endings:
        Path(f"{path}{ending}").unlink()
    if is_replaced:
        other.tell(record(client="other"))
        other.flush()
    usage.tell(record(client="after"))
    assert usage.flush()
    assert other.flush()
    usage.tell(record(client="later"))
    assert usage.flush()

    mine = [("after",), ("later",)]
    assert ([("other",), *mine] if is_replaced else mine) == rows(path)
    assert [] == [*path.parent.glob("*.broken-*")]


def test_two_servers_may_write_the_same_file(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """One waits while the other one writes, and neither loses a row."""
    one, other = make(), make()
    threads = [
        threading.Thread(target=_tell_many, args=(usage, client))
        for usage, client in ((one, "a"), (other, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = rows(tmp_path / "state" / "usage.sqlite3")
    assert (100, 100) == (found.count(("a",)), found.count(("b",)))


def _tell_many(usage: Recorder, client: str) -> None:
    for _ in range(100):
        usage.tell(record(client=client))
        until(usage.flush)


def test_what_is_too_old_is_deleted(make: Callable[..., Recorder], tmp_path: Path) -> None:
    """After so many days, and nothing else is."""
    usage = make(days=2)
    for _ in range(BITE + 5):
        usage.tell(record("2026-11-26T11:59:59+00:00", client="old"))
    usage.tell(record("2026-11-26T12:00:01+00:00", client="new"))
    usage.flush()
    usage.tidy()

    assert [("new",)] == rows(tmp_path / "state" / "usage.sqlite3")


def test_what_comes_while_old_rows_are_deleted_is_written(
    make: Callable[..., Recorder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take minutes to delete them all."""
    usage = make(days=2)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    for _ in range(2 * BITE):
        usage.tell(record("2026-11-26T11:59:59+00:00", client="old"))
    usage.flush()
    delete, found = UsageFile.delete, []

    def one_bite(file: UsageFile, before: int) -> int:
        found.append(rows(file.path).count(("new",)))
        usage.tell(record(client="new"))
        return delete(file, before)

    monkeypatch.setattr(UsageFile, "delete", one_bite)
    usage.tidy()

    assert [0, 1, 2] == found


def test_the_thread_writes_by_itself_and_at_the_end(
    make: Callable[..., Recorder], tmp_path: Path
) -> None:
    """Nobody waits for it; the end waits for what is left."""
    path = tmp_path / "state" / "usage.sqlite3"
    usage = make()
    usage.start()
    usage.tell(record(client="a"))
    until(lambda: not usage._waiting and not usage._writing.locked())
    assert [("a",)] == rows(path)
    usage.tell(record(client="b"))
    usage.close()

    assert [("a",), ("b",)] == rows(path)
