"""What was used on all workers and hosts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from poe_proxy.errors import InvalidRequest, PoolUnavailable
from poe_proxy.record import Record
from poe_proxy.upstreams.base import Charge
from poe_proxy.usage import forms, sums, totals
from poe_proxy.usage.file import UsageFile
from poe_proxy.usage.history import _add, _note
from poe_proxy.usage.keeping import Keeping
from poe_proxy.usage.matching import Sent, Taken
from poe_proxy.usage.report import Report
from poe_proxy.usage.rows import row
from poe_proxy.usage.totals import LOOK, MOST_OTHERS, MOST_SUMS, OTHER, TURN, Totals
from poe_proxy.usage.wanted import GROUPS, Days, Wanted

from ..fakes import Clock
from ..shared.direct import Direct
from ..shared.redis_server import RedisServer
from .fixtures import micro, record, seconds

NOW = seconds("2026-11-30T09:00:00+00:00")
MONTH = (micro("2026-11-01T00:00:00+00:00"), round(NOW * 1_000_000))


class House:
    """A pool whose workers have the files of two hosts."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.clock = Clock()
        self.clock.now = NOW
        self.pool = os.urandom(4).hex()
        self.begins = 0.0
        self.files: list[UsageFile] = []

    def worker(self, name: str, host: str) -> Worker:
        return Worker(self, name, self.folder / host)


class Worker:
    def __init__(self, house: House, name: str, path: Path) -> None:
        self.house = house
        self.file = UsageFile(path)
        house.files.append(self.file)
        self.caller = Direct(house.client, house.clock, worker=name, pool=house.pool)
        self.totals = Totals(
            self.file,
            self.caller,
            lasts=30,
            days=lambda: Days(house.begins),
            clock=house.clock,
            wall=house.clock,
        )

    def add(self, *records: Record) -> None:
        self.file.add([row(one) for one in records])

    def put(self) -> None:
        """Let it be as if the worker had had its turn."""
        self.house.clock.go(0.001)
        self.totals.put()

    def made(self, *by: str, client: str | None = None, span: tuple[int, int] = MONTH) -> Report:
        return self.totals.report(Wanted(*span, by, client, Days(self.house.begins)))

    def alone(self, *by: str, client: str | None = None) -> Report:
        """What its own file tells."""
        return sums.made(self.file.path, Wanted(*MONTH, by, client, Days(self.house.begins)))


@pytest.fixture(params=["fake redis", "redis"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    if request.param == "fake redis":
        house = House(fakeredis.FakeRedis(), tmp_path)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        house = House(server.client, tmp_path)
    yield house
    for file in house.files:
        file.close()


RECORDS = (
    record("2026-11-01T00:00:00+00:00", points=40),
    record("2026-11-02T23:59:59+00:00", tokens=None, price=None, prompt_size=40, answer_size=4),
    record("2026-11-03T00:00:00+00:00", code="upstream_timeout", tokens=(1, 1)),
    record("2026-11-30T08:00:00+00:00", code="client_closed", client="bob"),
    record("2026-11-30T08:30:00+00:00", client="bob", model="模型", account="key 2", kind="cookie"),
)


@pytest.mark.parametrize("by", [(), *((one,) for one in GROUPS), GROUPS, ("day", "client")])
@pytest.mark.parametrize("client", [None, "bob", "nobody"])
def test_one_file_alone_makes_the_report_that_it_would_by_itself(
    house: House, by: tuple[str, ...], client: str | None
) -> None:
    """However its rows came."""
    one = house.worker("a", "host")
    for made in RECORDS:
        one.add(made)
        one.put()
    alone, report = one.alone(*by, client=client), one.made(*by, client=client)

    assert (alone.rows, alone.total, alone.charged) == (report.rows, report.total, report.charged)
    assert report.whole_days


def test_a_report_is_of_all_hosts(house: House) -> None:
    """Whoever is asked."""
    one, other = house.worker("a", "one"), house.worker("b", "other")
    for worker in (one, other):
        worker.add(*RECORDS)
        worker.put()
    other.add(record(points=7))
    other.put()

    for worker in (one, other):
        assert 11 == worker.made().total["requests"]
        assert 47 + 40 == worker.made().total["points_exact"]
    assert 5 == one.alone().total["requests"]


def test_the_workers_of_a_host_sum_up_their_file_once(house: House) -> None:
    """One of them does it; if that one is gone, another."""
    one, other = house.worker("a", "host"), house.worker("b", "host")
    one.add(record())
    one.put()
    other.add(record())
    other.put()
    assert 1 == other.made().total["requests"]
    one.put()
    assert 2 == other.made().total["requests"]

    house.clock.go(TURN + LOOK)
    other.add(record())
    # The job is over by Redis's clock, which is not the test's.
    house.client.delete(f"poe:{{{house.pool}}}:2:job:sums:{one.file.identity()}")
    other.put()
    assert 3 == one.made().total["requests"]
    house.clock.go(LOOK)
    other.totals.pass_on()
    one.add(record())
    one.put()
    assert 4 == other.made().total["requests"]


def test_what_is_known_later_puts_the_sums_right(house: House) -> None:
    """What requests have really cost, on a day that is over; and what the account was charged
    with, by whoever reads its history."""
    one, other = house.worker("a", "host"), house.worker("b", "host")
    one.add(record("2026-11-20T12:00:00+00:00"), record())
    one.put()
    before = one.made("day").rows[0]
    at = micro("2026-11-20T12:00:01+00:00")
    charge = Charge(id="c", at=at, bot="Claude-Sonnet-4.5", points=33, is_api=True)
    other.file.write(lambda db: _add(db, label="key 1", charges=[charge]))
    sent = Sent(1, "alice", "Claude-Sonnet-4.5", at, at)
    other.file.write(
        lambda db: _note(
            db, label="key 1", pairs=[(sent, [Taken("c", "Claude-Sonnet-4.5", at, 33)])]
        )
    )
    one.put()
    report = one.made("day")

    assert (None, 0) == (before["points_exact"], before["requests_exact"])
    assert report.rows == one.alone("day").rows
    assert (33, 1) == (report.rows[0]["points_exact"], report.rows[0]["requests_exact"])
    assert [{"account": "key 1", "day": "2026-11-20", "points": 33}] == report.charged
    assert {} == one.file.changes()


def test_what_an_account_was_charged_with_counts_once(house: House) -> None:
    """Each host reads its history: what was read last has most."""
    for number, points in ((1, 33), (2, 44), (1, 33)):
        worker = house.worker(f"w{number}", f"host {number}")
        at = micro("2026-11-20T12:00:01+00:00")
        charges = [
            Charge(id=f"{n}", at=at, bot="GPT-5", points=points // 11, is_api=True)
            for n in range(11)
        ]
        worker.file.write(partial(_add, label="key 1", charges=charges))
        worker.put()

    assert [{"account": "key 1", "day": "2026-11-20", "points": 44}] == worker.made().charged


def test_what_redis_has_forgotten_comes_again(house: House) -> None:
    """All of it, at the next look."""
    one = house.worker("a", "host")
    one.add(*RECORDS)
    one.put()
    before = one.made(*GROUPS).rows
    house.client.flushall()
    assert [] == one.made(*GROUPS).rows

    house.clock.go(LOOK)
    one.put()
    assert before == one.made(*GROUPS).rows


def test_what_could_not_be_put_there_is_put_there_later(house: House) -> None:
    """While Redis is away no report can be made: it would not be of all hosts."""
    one = house.worker("a", "host")
    one.add(record())
    one.put()
    one.caller.trouble = "It is away."
    one.add(record())
    one.put()
    with pytest.raises(PoolUnavailable):
        one.made()

    one.caller.trouble = ""
    one.put()
    assert 2 == one.made().total["requests"]


def test_a_call_that_fails_in_the_middle_leaves_no_wrong_sums(house: House) -> None:
    """Whichever it is."""
    one = house.worker("a", "host")
    one.add(*RECORDS[:3])
    one.put()
    for number in range(1, 6):
        one.caller.loses = number
        one.add(*RECORDS[2:])
        one.put()
        one.caller.loses = 0
        house.clock.go(LOOK)
        one.put()

        assert one.made(*GROUPS).rows == one.alone(*GROUPS).rows


def test_a_new_file_adds_to_what_the_old_one_had(house: House) -> None:
    """Somebody has deleted it, or its container is another one."""
    one = house.worker("a", "host")
    one.add(record(), record())
    one.put()
    one.file.close()
    for path in house.folder.glob("host*"):
        path.unlink()
    one.add(record())
    one.put()

    assert 3 == one.made().total["requests"]


def test_days_begin_when_they_are_said_to(house: House) -> None:
    """After a change all of them do; a report is of whole days."""
    one = house.worker("a", "host")
    one.add(record("2026-11-20T00:30:00+00:00"), record("2026-11-20T12:00:00+00:00"))
    one.put()
    span = (micro("2026-11-20T11:00:00+00:00"), micro("2026-11-20T13:00:00+00:00"))
    report = one.made("day", span=span)
    assert [("2026-11-20", 2)] == [(one["day"], one["requests"]) for one in report.rows]
    assert (span[0] - 11 * 3_600_000_000, span[1] + 11 * 3_600_000_000) == (
        report.wanted.begin,
        report.wanted.end,
    )

    house.begins = 3600.0
    house.clock.go(LOOK)
    one.put()
    report = one.made("day")
    assert [("2026-11-19", 1), ("2026-11-20", 1)] == [
        (one["day"], one["requests"]) for one in report.rows
    ]


@pytest.mark.parametrize(
    "span",
    [(0, MONTH[1]), (MONTH[0], MONTH[1] + 40_000 * 86_400_000_000), (MONTH[1], MONTH[1])],
)
def test_a_long_time_takes_no_longer(house: House, span: tuple[int, int]) -> None:
    """Of what is older than rows are kept, or yet to come, there is nothing."""
    one = house.worker("a", "host")
    one.add(record("2026-11-30T08:30:00+00:00"))
    one.put()
    one.caller.verbs.clear()
    assert 1 == one.made(span=span).total["requests"]
    assert 33 >= len(one.caller.verbs) > 0


def test_names_that_clients_choose_do_not_fill_redis(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much counts together; nothing is lost, and clients and accounts are known as
    long as there are not too many."""
    assert (2000, 2000) == (MOST_SUMS, MOST_OTHERS)
    monkeypatch.setattr(totals, "MOST_SUMS", 20)
    monkeypatch.setattr(totals, "MOST_OTHERS", 20)
    one = house.worker("a", "host")
    one.add(*(record(model=f"model {number}") for number in range(30)))
    one.put()
    one.add(*(record(client=f"client {number}") for number in range(30)))
    one.put()
    report = one.made("client", "model")

    assert 60 == report.total["requests"]
    assert 41 >= len(report.rows)
    found = {(one["client"], one["model"]): one["requests"] for one in report.rows}
    assert (10, 1, 11) == (
        *(found["alice", OTHER], found["client 18", OTHER], found[OTHER, OTHER]),
    )
    again = house.worker("b", "host")
    one.totals.pass_on()
    again.put()
    assert report.total == again.made().total


def test_a_report_has_so_many_rows(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MOST_GROUPS", 2)
    one = house.worker("a", "host")
    one.add(*(record(model=f"model {number}") for number in range(3)))
    one.put()

    assert 1 == len(one.made("client").rows)
    with pytest.raises(InvalidRequest):
        one.made("model")


def test_all_that_keeps_records_works_together(house: House) -> None:
    """A report of what this worker has just been told; and histories, of which one worker of a
    host reads each, and no two of all hosts at the same time."""
    keepings = [
        Keeping(
            house.folder / host,
            days=30,
            caller=Direct(house.client, house.clock, worker=name, pool=house.pool),
        )
        for name, host in (("a", "one"), ("b", "one"), ("c", "other"))
    ]
    one, beside, far = keepings
    try:
        one.tell(record(time.time()))
        far.tell(record(time.time()))
        far.report(Wanted(0, round(time.time() * 1_000_000)))
        report = one.report(Wanted(0, round(time.time() * 1_000_000)))
        assert 2 == report.total["requests"]
        assert report.whole_days
        assert b'"whole_days":true' in forms.as_json(report)

        assert [True, False] == [one._may_read("read", "key 1", 60.0) for _ in range(2)]
        assert not beside._may_read("read", "key 1", 60.0)
        assert beside._may_read("read", "key 2", 60.0)
        assert far._may_read("read", "key 1", 60.0)
        assert one._may_read("ask", "key 1", 60.0)
        assert not far._may_read("ask", "key 1", 60.0)
    finally:
        for keeping in keepings:
            keeping._file.close()
