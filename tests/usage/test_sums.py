"""What was used, put together."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from poe_proxy.errors import InvalidRequest
from poe_proxy.record import Record
from poe_proxy.usage import forms, sums
from poe_proxy.usage.file import UsageFile
from poe_proxy.usage.rows import row
from poe_proxy.usage.wanted import Days, Wanted

from .fixtures import micro, record

MONTH = (micro("2026-11-01T00:00:00+00:00"), micro("2026-12-01T00:00:00+00:00"))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[UsageFile]:
    file = UsageFile(tmp_path / "usage.sqlite3")
    file.open()
    yield file
    file.close()


def add(file: UsageFile, *records: Record) -> None:
    file.add([row(one) for one in records])


def made(file: UsageFile, *by: str, client: str | None = None, begins: float = 0.0) -> Any:
    """The report of a month."""
    return sums.made(file.path, Wanted(*MONTH, by, client, Days(begins)))


def test_all_of_it_is_one_sum(file: UsageFile) -> None:
    """Of all requests in that time; points are exact where that is known."""
    add(
        file,
        record("2026-10-31T23:59:59+00:00"),
        record("2026-11-01T00:00:00+00:00", points=40),
        record("2026-11-02T00:00:00+00:00", tokens=None, price=None, prompt_size=40, answer_size=4),
        record("2026-11-03T00:00:00+00:00", code="upstream_timeout", tokens=(1, 1)),
        record("2026-11-04T00:00:00+00:00", code="client_closed"),
        record("2026-12-01T00:00:00+00:00"),
    )
    report = made(file)

    assert {
        "requests": 4, "failed": 1, "tokens_in": 31, "tokens_out": 12, "requests_uncounted": 1,
        "points_estimated": 32, "points_exact": 40, "requests_exact": 1, "points": 57,
        "seconds": 8.0,
    } == report.total  # fmt: skip
    assert [report.total] == report.rows


def test_what_is_not_known_is_not_nothing(file: UsageFile) -> None:
    """Points that Poe has not told, and that no list tells."""
    add(file, record("2026-11-02T00:00:00+00:00", price=None))
    total = made(file).total

    assert (None, None, None, 0) == (
        total["points_estimated"], total["points_exact"], total["points"], total["requests_exact"],
    )  # fmt: skip


def test_an_empty_file_is_no_use(file: UsageFile) -> None:
    """Zeros, and no groups."""
    assert 0 == made(file).total["requests"] == made(file).rows[0]["requests"]
    assert [] == made(file, "client").rows


def test_groups_come_in_the_order_of_their_cost(file: UsageFile) -> None:
    """And days one after the other."""
    for day, client, points in ((1, "alice", 5), (2, "bob", 50), (2, "alice", 20), (3, "bob", 1)):
        add(file, record(f"2026-11-{day:02}T08:00:00+00:00", client=client, points=points))

    assert [("bob", 51), ("alice", 25)] == [
        (one["client"], one["points"]) for one in made(file, "client").rows
    ]
    assert [
        ("2026-11-01", "alice"), ("2026-11-02", "bob"), ("2026-11-02", "alice"),
        ("2026-11-03", "bob"),
    ] == [(one["day"], one["client"]) for one in made(file, "day", "client").rows]  # fmt: skip


def test_days_begin_as_the_settings_say(file: UsageFile) -> None:
    """Midnight in China is 16:00 of the day before in UTC."""
    add(file, record("2026-11-01T15:59:59+00:00"), record("2026-11-01T16:00:00+00:00"))

    assert ["2026-11-01", "2026-11-02"] == [
        one["day"] for one in made(file, "day", begins=-28800.0).rows
    ]


def test_a_client_sees_its_own(file: UsageFile) -> None:
    """And nothing of what Poe says of the accounts."""
    add(
        file,
        record("2026-11-02T00:00:00+00:00", client="alice"),
        record("2026-11-02T00:00:00+00:00", client="bob"),
    )
    charge(file, "2026-11-02T00:00:00+00:00")
    report = made(file, "client", client="bob")

    assert [("bob", 1)] == [(one["client"], one["requests"]) for one in report.rows]
    assert 1 == report.total["requests"]
    assert [] == report.charged
    assert "charged" not in orjson.loads(forms.as_json(report))


def charge(file: UsageFile, at: str, points: int = 10, id: str = "q1") -> None:
    file.write(
        lambda db: db.execute(
            "INSERT INTO charges VALUES ('key 1', ?, ?, 'x', ?, NULL)", (id, micro(at), points)
        )
    )


def test_what_poe_says_of_a_day_stands_beside_it(file: UsageFile) -> None:
    """By account, whoever has used its key."""
    charge(file, "2026-11-02T00:00:00+00:00", 10, "q1")
    charge(file, "2026-11-02T23:59:59+00:00", 20, "q2")
    charge(file, "2026-11-03T00:00:00+00:00", 5, "q3")

    assert [
        {"account": "key 1", "day": "2026-11-02", "points": 30},
        {"account": "key 1", "day": "2026-11-03", "points": 5},
    ] == made(file).charged


def test_many_rows_are_put_together_in_parts(
    file: UsageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all came at the same moment."""
    monkeypatch.setattr(sums, "_ROWS", 3)
    add(file, *(record(f"2026-11-{1 + day:02}T00:00:00+00:00") for day in range(20)))
    add(file, *(record("2026-11-25T00:00:00+00:00") for _ in range(20)))

    assert 40 == made(file).total["requests"]
    assert [20, 1] == [
        one["requests"] for one in reversed(made(file, "day").rows) if one["day"] >= "2026-11-20"
    ]


def test_a_report_of_too_many_rows_is_refused(
    file: UsageFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do."""
    monkeypatch.setattr(sums, "MOST_GROUPS", 3)
    add(file, *(record("2026-11-25T00:00:00+00:00", model=f"m{number}") for number in range(4)))

    assert 4 == made(file).total["requests"]
    with pytest.raises(InvalidRequest, match="a shorter time, or by less") as refused:
        made(file, "model")
    assert "group_by" == refused.value.param


def test_a_table_for_spreadsheets_is_read_by_them(file: UsageFile) -> None:
    """What strangers have written into it is no formula there."""
    add(
        file,
        record("2026-11-02T00:00:00+00:00", model='=HYPERLINK("http://x")', price=None),
        record("2026-11-02T00:00:00+00:00", model='one, "two"\nthree', points=3),
    )
    report = made(file, "model", "day")
    first, second = csv.DictReader(io.StringIO(forms.as_csv(report.wanted.by, report.rows)))

    assert ('one, "two"\nthree', "2026-11-02", "3", "15") == (
        first["model"], first["day"], first["points"], first["points_estimated"],
    )  # fmt: skip
    assert ('\'=HYPERLINK("http://x")', "") == (second["model"], second["points"])
