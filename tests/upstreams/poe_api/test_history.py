"""The history of points of a key."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.base import Charge, ChargesPage
from poe_proxy.upstreams.poe_api.history import MOST_CHARGES, page, path

ROW = {
    "query_id": "a" * 18,
    "bot_name": "Claude-Sonnet-4.5",
    "creation_time": 1764000000000000,
    "usage_type": "API",
    "cost_points": 12,
    "cost_usd": "0.00036",
    "cost_breakdown_in_points": {"Total": "12 points"},
    "api_key_name": "mine",
    "chat_name": None,
}
CHARGE = Charge("a" * 18, "Claude-Sonnet-4.5", 1764000000000000, 12)


def read(*rows: Any, **more: Any) -> ChargesPage:
    """What a page with these rows says."""
    return page(orjson.dumps({"has_more": False, "length": len(rows), "data": rows, **more}))


def test_a_page_has_charges_and_says_whether_there_are_more() -> None:
    """Those of the site are told apart."""
    on_site = {**ROW, "usage_type": "Chat"}

    assert ChargesPage([CHARGE], has_more=True) == read(ROW, has_more=True)
    assert [True, False] == [one.is_api for one in read(ROW, on_site).charges]
    assert ChargesPage([]) == read()


@pytest.mark.parametrize(
    "change",
    [
        {"query_id": None}, {"query_id": ""}, {"query_id": "x" * 201}, {"bot_name": 5},
        {"bot_name": "x" * 201}, {"creation_time": "2026"}, {"creation_time": -1},
        {"creation_time": 1 << 62}, {"cost_points": None}, {"cost_points": -5},
        {"cost_points": 2_000_000_000}, {"cost_points": 1.5},
    ],
)  # fmt: skip
def test_what_is_no_charge_is_left_out(change: dict[str, Any]) -> None:
    """The others are read."""
    assert [CHARGE] == read({**ROW, **change}, ROW, "no row").charges


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"data": {}}', b"null"])
def test_what_is_no_page_is_a_failure(content: bytes) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(UpstreamProtocolError, match="history of points"):
        page(content)


def test_a_page_is_bounded() -> None:
    """Poe's have a hundred at most."""
    assert MOST_CHARGES == len(read(*[ROW] * (MOST_CHARGES + 1)).charges)


def test_the_next_page_begins_behind_a_charge() -> None:
    """Its id is foreign."""
    assert "/usage/points_history?limit=100" == path("")
    assert "/usage/points_history?limit=100&starting_after=a%2F%26b" == path("a/&b")
