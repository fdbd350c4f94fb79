"""What a bot costs, in points."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.prices import Price

#: The price of a model as Poe lists it.
CLAUDE = {
    "prompt": "0.0000026",
    "completion": "0.000013",
    "image": None,
    "request": None,
    "input_cache_read": "0.00000026",
    "input_cache_write": "0.00000325",
}


def price(given: Any) -> Price:
    """The price in an entry."""
    found = Price.read(given)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tokens", "points"),
    [
        pytest.param((0, 0, 0), 0, id="nothing"),
        pytest.param((1, 0, 0), 1, id="a part of a point is one"),
        pytest.param((3_000_000, 0, 0), 260_000, id="read"),
        pytest.param((0, 3_000_000, 0), 1_300_000, id="written"),
        pytest.param((3_000_000, 0, 3_000_000), 26_000, id="read before"),
        pytest.param((1000, 500, 600), 257, id="all of it"),
        pytest.param((3, 0, 3_000_000), 1, id="more read before than read"),
    ],
)
def test_tokens_cost_what_the_list_says(tokens: tuple[int, int, int], points: int) -> None:
    """A point is 0.00003 dollars, and a part of one counts as one."""
    assert points == price(CLAUDE).points(*tokens)


def test_a_flat_price_is_for_a_request() -> None:
    """However many tokens there are."""
    flat = price({"request": "0.03"})

    assert 1000 == flat.points(0, 0) == flat.points(5000, 5000)


def test_what_was_read_before_costs_the_same_where_the_list_says_nothing_else() -> None:
    """A bot without a cache."""
    plain = price({"prompt": "0.00003", "completion": None, "input_cache_read": None})

    assert 10 == plain.points(10, 0, 5)


@pytest.mark.parametrize(
    "given",
    [
        None, "0.03", [], {}, {"prompt": None}, {"image": "0.01"}, {"prompt": 0.1},
        {"prompt": "free"}, {"prompt": "NaN"}, {"prompt": "-1"}, {"request": "Infinity"},
        {"request": "1e400"}, {"request": "0" * 41},
    ],
)  # fmt: skip
def test_a_price_that_is_none_is_not_known(given: Any) -> None:
    """Not known is something else than free."""
    assert Price.read(given) is None


def test_what_is_free_costs_nothing() -> None:
    """A price of 0 is a price."""
    assert 0 == price({"prompt": "0", "completion": "0.0"}).points(1000, 1000)
