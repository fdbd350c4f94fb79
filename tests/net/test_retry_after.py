"""How long to wait before another try."""

from __future__ import annotations

import time

import pytest

from poe_proxy.net.retry_after import seconds

#: Fri, 15 Jan 2027 08:00:00 GMT
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("99999999999", 86_400.0),
        ("7".ljust(100), 7.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 09:01:00 +0100", 60.0),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60.0),
        ("Fri Jan 15 08:01:00 2027", 60.0),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 3027 08:00:00 GMT", 86_400.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("9" * 400, None),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 99999999999999999999 08:00:00 GMT", None),
        ("Fri, 15 Jan 2027 08:00:00 +99999999999999999999", None),
    ],
)
def test_both_forms(value: str | None, wait: float | None) -> None:
    """Seconds or a date; a day at most, never less than nothing, and None if neither is said."""
    assert wait == seconds(value, lambda: NOW)


def test_the_time_of_day_is_asked_for_dates() -> None:
    """By default it is the machine's."""
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    wait = seconds(later)

    assert wait is not None
    assert 3000 < wait <= 3600
