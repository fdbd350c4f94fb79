"""How much a token may be used: plain arithmetic."""

from __future__ import annotations

import pytest

from poe_proxy.pool.limits import PerMinute, Rest


@pytest.mark.parametrize(
    ("used_at", "now", "wait"),
    [
        pytest.param([], 0.0, 0.0, id="never used"),
        pytest.param([0.0], 1.0, 0.0, id="one of two"),
        pytest.param([0.0, 10.0], 15.0, 45.0, id="used up: until the older one is a minute ago"),
        pytest.param([0.0, 10.0], 59.5, 0.5, id="almost a minute ago"),
        pytest.param([0.0, 10.0], 60.0, 0.0, id="a minute ago"),
        pytest.param([0.0, 10.0], 500.0, 0.0, id="long ago"),
        pytest.param([0.0, 10.0, 30.0], 40.0, 30.0, id="older uses no longer count"),
    ],
)
def test_calls_in_a_minute_are_counted(used_at: list[float], now: float, wait: float) -> None:
    """A third use waits until the last but one is sixty seconds ago, and not longer."""
    assert wait == PerMinute(2).wait(used_at, now)


@pytest.mark.parametrize(
    ("used_at", "now", "wait"),
    [
        pytest.param([], 0.0, 0.0, id="never used"),
        pytest.param([5.0], 5.0, 10.0, id="just used"),
        pytest.param([0.0, 5.0], 12.0, 3.0, id="the last use counts"),
        pytest.param([5.0], 15.0, 0.0, id="rested"),
        pytest.param([5.0], 99.0, 0.0, id="rested long ago"),
    ],
)
def test_a_token_rests_after_each_use(used_at: list[float], now: float, wait: float) -> None:
    """Between two uses lie at least so many seconds, counted from the last one."""
    assert wait == Rest(10.0).wait(used_at, now)


def test_each_limit_says_how_long_it_remembers() -> None:
    """What is older than a limit's window never changes what it says."""
    assert 60.0 == PerMinute(10).window
    assert 2.5 == Rest(2.5).window
