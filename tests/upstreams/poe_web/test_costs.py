"""What a reply has cost, put to the request that it was for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.chat import Charges
from poe_proxy.upstreams.poe_web.costs import MOST, Costs
from poe_proxy.upstreams.poe_web.items import Item


def told(job: Any = 555, points: Any = 15) -> Item:
    """What Poe pushes."""
    data = {"jobCostUpdated": {"jobId": job, "state": "completed", "totalCostPoints": points}}
    return Item("jobCostUpdated", None, orjson.dumps({"payload": {"data": data}}).decode())


@pytest.mark.parametrize("is_early", [True, False])
def test_a_cost_is_noted_whenever_it_comes(is_early: bool) -> None:
    """Before the end of the reply, or after it."""
    costs, charges = Costs(), Charges()
    if is_early:
        costs.tell(told())
    costs.want(555, charges)
    if not is_early:
        assert charges.points is None
        costs.tell(told())

    assert 15 == charges.points


def test_the_last_word_counts() -> None:
    """Poe may say it more than once."""
    costs, charges = Costs(), Charges()
    costs.want(555, charges)
    costs.tell(told(points=10))
    costs.tell(told(points=25))
    costs.tell(told(points=25))

    assert 25 == charges.points


def test_a_request_pays_for_all_its_replies() -> None:
    """A bot that was asked once more has two jobs."""
    costs, charges = Costs(), Charges()
    for job in (1, 2):
        costs.want(job, charges)
        costs.tell(told(job))

    assert 30 == charges.points


def test_a_sum_that_lacks_something_is_none() -> None:
    """A try that failed has its cost too, which may come late; what is told twice counts once."""
    costs, charges = Costs(), Charges()
    costs.tell(told(1, 0))
    for job in (1, 2, 1):
        costs.want(job, charges)
    assert charges.points is None

    costs.tell(told(2))
    assert 15 == charges.points


def test_what_others_pay_is_not_noted() -> None:
    """The account may be in use elsewhere."""
    costs, charges = Costs(), Charges()
    costs.want(1, charges)
    costs.tell(told(2))

    assert charges.points is None


@pytest.mark.parametrize(
    "item",
    [told(points=None), told(points="15"), told(points=-1), told("555"), told(None),
     Item("jobCostUpdated", None, "{"), Item("jobCostUpdated", None, '{"payload": {"data": []}}')],
)  # fmt: skip
def test_what_is_no_cost_is_passed_over(item: Item) -> None:
    """The answer has no part in it."""
    costs, charges = Costs(), Charges()
    costs.want(555, charges)
    costs.tell(item)

    assert charges.points is None


def test_what_nobody_wants_is_forgotten() -> None:
    """Only the newest are kept, on both sides."""
    costs, first, last = Costs(), Charges(), Charges()
    costs.tell(told(0))
    for job in range(1, MOST + 1):
        costs.tell(told(job))
    costs.want(0, first)
    costs.want(MOST, last)

    assert (None, 15) == (first.points, last.points)
    for job in range(1000, 1000 + MOST):
        costs.want(job, Charges())
    costs.tell(told(0))
    assert first.points is None
