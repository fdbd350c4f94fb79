"""Minutes, days and months of limits: values only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from poe_proxy.clients.windows import Calendar, shown, wait
from poe_proxy.moments import stamp


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("used_at", "held", "expected"),
    [
        pytest.param([], 0, 0.0, id="none"),
        pytest.param([100.0, 130.0], 0, 0.0, id="one is left"),
        pytest.param([100.0, 130.0, 140.0], 0, 10.0, id="the oldest has to go"),
        pytest.param([90.0, 130.0, 140.0], 0, 0.0, id="the oldest goes now"),
        pytest.param([100.0, 130.0, 140.0, 145.0], 0, 40.0, id="more than there may be"),
        pytest.param([100.0, 130.0], 1, 10.0, id="what is held counts"),
        pytest.param([100.0], 3, 60.0, id="what is held counts from now"),
        pytest.param([], 3, 60.0, id="all are held"),
    ],
)
def test_three_within_a_minute(used_at: list[float], held: int, expected: float) -> None:
    """The wait is until so many have left the minute that one more may be in it."""
    assert expected == wait(used_at, held, 3, 150.0)


@pytest.mark.parametrize(
    ("begins", "moment", "starts", "next_month"),
    [
        (0.0, "2026-11-30T00:00", "2026-11-30T00:00", "2026-12-01T00:00"),
        (0.0, "2026-11-30T23:59", "2026-11-30T00:00", "2026-12-01T00:00"),
        (3600.0, "2026-12-01T00:59", "2026-11-30T01:00", "2026-12-01T01:00"),
        (3600.0, "2026-12-01T01:00", "2026-12-01T01:00", "2027-01-01T01:00"),
        (82800.0, "2028-02-29T22:59", "2028-02-28T23:00", "2028-03-01T23:00"),
        (-25200.0, "2026-11-30T16:59", "2026-11-29T17:00", "2026-11-30T17:00"),
        (-25200.0, "2026-11-30T17:00", "2026-11-30T17:00", "2026-12-31T17:00"),
    ],
)
def test_days_and_months_begin_at_their_time(
    begins: float, moment: str, starts: str, next_month: str
) -> None:
    """At DAY_STARTS; a month on the first of them, whatever the clock says at midnight."""
    calendar = Calendar(begins)
    day = calendar.day(at(moment))

    assert at(starts) == calendar.start(day)
    assert at(next_month) == calendar.start(calendar.next_first(day))
    assert calendar.first(calendar.next_first(day)) == calendar.next_first(day)


def test_times_are_told_in_utc() -> None:
    """In sentences, and where programs read them."""
    assert "2026-12-01 01:00 UTC" == shown(at("2026-12-01T01:00"))
    assert "2026-12-01T01:00:00Z" == stamp(at("2026-12-01T01:00"))
