"""What is noted of one request, and what follows from it."""

from __future__ import annotations

import pytest

from poe_proxy.chat import Done, Text, Usage
from poe_proxy.errors import TokenRejected, UpstreamError, UpstreamOverloaded
from poe_proxy.prices import Price
from poe_proxy.record import MOST_TOKENS, Record

from .fakes import SENDING, FakeUpstream
from .test_gateway import House

#: A point for each token that is read, three for each that is written; a third for what is cached.
PRICE = Price(prompt=30_000_000, completion=90_000_000, cached=10_000_000)


def record(*, price: Price | None = PRICE, usage: Usage | None = None, **more: object) -> Record:
    """A request that an account has answered."""
    made = Record("req_1")
    made.account, made.price, made.usage = "an account", price, usage
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_points_are_estimated_by_what_poe_counts() -> None:
    """What it calls cached costs less."""
    details = {"prompt_tokens_details": {"cached_tokens": 30}}

    assert 160 == record(usage=Usage(100, 20)).estimated_points
    assert 140 == record(usage=Usage(100, 20, details)).estimated_points


def test_points_are_estimated_by_the_length_of_the_text_where_poe_counts_nothing() -> None:
    """Four bytes are about a token."""
    assert 2 + 9 == record(prompt_size=8, answer_size=12).estimated_points


def test_a_bot_without_a_price_has_no_estimate() -> None:
    """Not known is something else than free."""
    assert record(price=None, usage=Usage(100, 20)).estimated_points is None


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(record(account=""), id="nobody was asked"),
        pytest.param(record(account="", price=None), id="and the price is not known"),
        pytest.param(record(code="upstream_unreachable", prompt_size=400), id="no word was said"),
    ],
)
def test_what_was_not_answered_costs_nothing(found: Record) -> None:
    """Poe takes nothing for it."""
    assert 0 == found.estimated_points


@pytest.mark.parametrize("account", ["", "an account"])
@pytest.mark.parametrize("code", ["", "rate_limit_exceeded"])
def test_what_brought_nothing_has_no_tokens(account: str, code: str) -> None:
    """However much was asked: it waited in line for nothing, or its bot said no word."""
    found = record(account=account, code=code, prompt_size=400_000)

    assert (False, 0, 0, 0) == (
        found.has_answer, found.tokens_in, found.tokens_out, found.estimated_points,
    )  # fmt: skip


def test_what_poe_counts_is_an_answer() -> None:
    """Also if there was no word in it."""
    found = record(usage=Usage(100, 0), prompt_size=8)

    assert (True, 100, 0, 100) == (
        found.has_answer, found.tokens_in, found.tokens_out, found.estimated_points,
    )  # fmt: skip


def test_an_answer_that_broke_off_costs_what_was_said() -> None:
    """Whatever ended it."""
    assert 2 + 9 == record(code="client_closed", prompt_size=8, answer_size=12).estimated_points


@pytest.mark.parametrize(("said", "believed"), [(-5, 0), (10**30, MOST_TOKENS)])
def test_a_count_that_can_be_none_is_not_believed(said: int, believed: int) -> None:
    """Poe's words are foreign."""
    found = record(usage=Usage(said, said))

    assert (believed, believed) == (found.tokens_in, found.tokens_out)


@pytest.mark.parametrize(
    ("costs", "failure", "points"),
    [
        pytest.param((5, 20), UpstreamOverloaded("No."), 25, id="each says what it took"),
        pytest.param((0, None), UpstreamOverloaded("No."), None, id="the one that answered not"),
        pytest.param((None, 20), UpstreamOverloaded("No."), None, id="the one that failed not"),
        pytest.param((None, 20), TokenRejected("No."), 20, id="the one that was turned away not"),
    ],
)
def test_points_are_exact_if_all_that_was_asked_says_what_it_took(
    costs: tuple[int | None, int | None], failure: UpstreamError, points: int | None
) -> None:
    """A key says nothing with its answer, and may follow a cookie, or go before it."""
    first = FakeUpstream([SENDING, failure])
    second = FakeUpstream([SENDING, Text("Hi"), Done()])
    first.charges, second.charges = costs
    house = House(first, second)
    list(house.reply())

    assert points == house.record.points
