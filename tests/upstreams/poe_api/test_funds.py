"""What Poe answers whoever asks for the balance of a key."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.pool.known import Funds, Grant
from poe_proxy.upstreams.poe_api.funds import MOST_AHEAD, MOST_POINTS, read

NOW = 1_796_000_000.0
HOUR = 3600.0


def grants(**fields: Any) -> Grant | None:
    """The next grant of an answer with these *fields*."""
    return read(orjson.dumps({"current_point_balance": 7, **fields}), NOW).next_grant


def micros(seconds: float) -> int:
    """A time so many seconds from now, as Poe says it."""
    return round((NOW + seconds) * 1_000_000)


def test_the_next_grant_is_the_first_that_is_to_come() -> None:
    """Of the day or of the month; without one there are the points alone."""
    daily = {"next_daily_grant_time": micros(HOUR), "next_daily_grant_amount": 300}
    monthly = {"next_monthly_grant_time": micros(2 * HOUR), "next_monthly_grant_amount": 10**6}

    assert Grant(NOW + HOUR, 300) == grants(**daily, **monthly)
    assert Grant(NOW + 2 * HOUR, 10**6) == grants(**monthly, next_daily_grant_time=None)
    assert Funds(7) == read(b'{"current_point_balance": 7}', NOW)


@pytest.mark.parametrize(
    "time",
    [None, 0, -1, True, 1e15, "soon", [1], micros(0), micros(-HOUR), micros(MOST_AHEAD + 1), 2**63],
)
def test_what_cannot_be_the_time_of_a_grant_is_none(time: Any) -> None:
    """The points are known all the same."""
    assert grants(next_daily_grant_time=time, next_daily_grant_amount=300) is None


@pytest.mark.parametrize("number", [None, -1, True, "many", 0.5, MOST_POINTS + 1])
def test_a_grant_of_no_number_has_its_time(number: Any) -> None:
    """How much it is is not known."""
    fields = {"next_monthly_grant_time": micros(HOUR), "next_monthly_grant_amount": number}

    assert Grant(NOW + HOUR) == grants(**fields)


def test_a_grant_of_nothing_is_none() -> None:
    """Poe has such keys without a plan."""
    assert grants(next_daily_grant_time=micros(HOUR), next_daily_grant_amount=0) is None
