"""What a key was charged with, a page at a time.

Official API sheet §8.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.base import Charge, ChargesPage
from poe_proxy.upstreams.bulk import loads

#: The charges of a page that are asked for, the most that Poe gives; and the most that are read.
LIMIT: Final = 100
MOST_CHARGES: Final = 1000
#: The most characters of an id and of a bot's name, and the most points of a charge.
_MOST: Final = 200
MOST_POINTS: Final = 1_000_000_000


def path(after: str) -> str:
    """Return where the charges before the one of that id are; empty: the newest ones."""
    behind = f"&starting_after={quote(after, safe='')}" if after else ""
    return f"/usage/points_history?limit={LIMIT}{behind}"


def page(content: bytes) -> ChargesPage:
    """Return what a page says, but for what is no charge; raises `UpstreamProtocolError`."""
    try:
        found = loads(content)
    except ValueError:
        found = None
    match found:
        case {"data": list(rows)}:
            charges = [one for row in rows[:MOST_CHARGES] if (one := _charge(row)) is not None]
            return ChargesPage(charges, found.get("has_more") is True)
    raise UpstreamProtocolError("Poe did not report the history of points.")


def _charge(row: Any) -> Charge | None:
    match row:
        case {
            "query_id": str(id),
            "bot_name": str(bot),
            "creation_time": int(at),
            "cost_points": int(points),
        } if (
            0 < len(id) <= _MOST
            and len(bot) <= _MOST
            and 0 <= at < 1 << 60
            and 0 <= points <= MOST_POINTS
        ):
            return Charge(_text(id), _text(bot), at, points, row.get("usage_type", "API") == "API")
    return None


def _text(given: str) -> str:
    return given.encode("utf-8", "replace").decode("utf-8")
