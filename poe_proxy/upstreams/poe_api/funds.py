"""The points that a key has left, and when it gets more.

Official API sheet §8.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.pool.known import Funds, Grant
from poe_proxy.upstreams.bulk import loads

PATH: Final = "/usage/current_balance"
#: How often Poe gives points.
_RHYTHMS: Final = ("daily", "monthly")
#: The most seconds until a grant, more than a month has, and the most points of one.
MOST_AHEAD: Final = 366 * 86_400.0
MOST_POINTS: Final = 1_000_000_000_000

_MICROSECONDS: Final = 1_000_000


def read(content: bytes, now: float | None = None) -> Funds:
    """Return what an answer says at *now*, in seconds since 1970; raises `UpstreamProtocolError`.

    Of the grants that are to come the first one counts. What cannot be a time is none.
    """
    try:
        found = loads(content)
    except ValueError:
        found = None
    match found:
        case {"current_point_balance": int(points)}:
            grants = _grants(found, time.time() if now is None else now)
            return Funds(points, min(grants, key=lambda one: one.at, default=None))
    raise UpstreamProtocolError("Poe did not report the balance of points.")


def _grants(found: Mapping[str, Any], now: float) -> Iterator[Grant]:
    for rhythm in _RHYTHMS:
        at = found.get(f"next_{rhythm}_grant_time")
        number = found.get(f"next_{rhythm}_grant_amount")
        # To Python, true is a number.
        if type(at) is not int or not 0 < at - now * _MICROSECONDS <= MOST_AHEAD * _MICROSECONDS:
            continue
        is_known = type(number) is int and 0 <= number <= MOST_POINTS
        if number != 0:
            yield Grant(at / _MICROSECONDS, number if is_known else None)
