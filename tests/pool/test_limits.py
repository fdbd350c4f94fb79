"""How much a token may be used: plain arithmetic."""

from __future__ import annotations

import pytest

from poe_proxy.pool.limits import Rest, Within


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
    assert wait == Within(2, 60.0).wait(used_at, now)


@pytest.mark.parametrize("window", [10.0, 60.0, 3600.0, 86_400.0])
def test_any_window_is_counted_in(window: float) -> None:
    """It ends so many seconds after each use, not at midnight."""
    assert [window, 1.0, 0.0] == [
        Within(1, window).wait([5.0], now) for now in (5.0, 4.0 + window, 5.0 + window)
    ]


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


# ---- jitter


def pauses(limit: Rest, used_at: list[float]) -> list[float]:
    """How long the pause after each use is, asked for a second later."""
    return [1.0 + limit.wait([at], at + 1.0) for at in used_at]


def test_no_pause_is_shorter_than_its_seconds_or_longer_by_more_than_the_jitter() -> None:
    """And they are spread over all that is between."""
    found = sorted(pauses(Rest(10.0, jitter=4.0), [1000.0 + 11.5 * turn for turn in range(1000)]))

    assert 10.0 <= found[0] < 10.1
    assert 11.8 < found[500] < 12.2
    assert 13.9 < found[-1] < 14.0


def test_the_same_use_is_followed_by_the_same_pause() -> None:
    """Whenever it is asked for; a clock whose zero is another one makes it no other to a fraction
    of a millisecond."""
    limit = Rest(10.0, jitter=4.0)
    ends = {round(at + limit.wait([1000.25], at), 9) for at in (1000.5, 1003.0, 1009.75)}

    assert 1 == len(ends)
    assert pauses(limit, [1000.25]) == pytest.approx(pauses(limit, [1000.25 + 1e-7]))


def test_what_is_on_its_way_is_followed_by_the_shortest_pause() -> None:
    """How much more it will be is not known before it has arrived: none is waited for nothing."""
    assert 10.0 == Rest(10.0, jitter=4.0).wait([1000.0], 1000.0)


def test_each_limit_says_how_long_it_remembers() -> None:
    """What is older than a limit's window never changes what it says."""
    assert 60.0 == Within(10, 60.0).window
    assert 2.5 == Rest(2.5).window
    assert 4.0 == Rest(2.5, jitter=1.5).window
