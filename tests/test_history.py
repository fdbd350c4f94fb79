"""What the requests of late were like, as the status page shows it."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.history import History, Minute, Waits
from poe_proxy.record import Record

from .fakes import Clock

#: The start of a day in UTC.
MIDNIGHT = 1_800_057_600.0


@pytest.fixture
def wall() -> Clock:
    clock = Clock()
    clock.now = MIDNIGHT
    return clock


@pytest.fixture
def history(wall: Clock) -> History:
    return History(wall)


def record(**noted: object) -> Record:
    """A request of alice that cookie-1 has answered, but for what is *noted*."""
    made = Record("req_1", now=100.0)
    made.method, made.route, made.client = "POST", "/v1/chat/completions", "alice"
    made.model, made.bot, made.account, made.kind = "gpt-4", "GPT-4", "cookie-1", "cookie"
    made.status, made.joined, made.ended = 200, 100.0, 104.0
    for name, value in noted.items():
        setattr(made, name, value)
    return made


def failed(code: str = "upstream_timeout", **noted: Any) -> Record:
    return record(**{"status": 504, "code": code, **noted})


# ---- the last hour


def test_each_minute_of_the_last_hour_has_its_counts(history: History, wall: Clock) -> None:
    """Also those in which nothing came; what is refused for now is counted apart."""
    history.tell(record())
    wall.go(120.0)
    history.tell(record())
    history.tell(failed("rate_limit_exceeded", status=429))

    minutes = history.minutes()
    assert 60 == len(minutes)
    number = int(MIDNIGHT // 60)
    assert [Minute(number, 1, 0), Minute(number + 1, 0, 0), Minute(number + 2, 2, 1)] == minutes[
        -3:
    ]
    wall.go(3600.0)
    assert 0 == sum(one.requests for one in history.minutes())


@pytest.mark.parametrize(
    "noted",
    [
        {"method": "GET", "route": "/v1/models"},
        {"route": ""},
        {"route": "/status/login"},
        {"route": "/admin/reload"},
    ],
)
def test_what_asks_no_bot_is_not_counted(history: History, noted: dict[str, Any]) -> None:
    """Lists, unknown paths, and whatever the operator does."""
    history.tell(failed(**noted))

    assert (0, []) == (history.minutes()[-1].requests, history.failures())


def test_waits_are_those_of_the_last_quarter_of_an_hour(history: History, wall: Clock) -> None:
    """Who did not wait counts too; who never asked for an account does not."""
    assert history.waits() is None
    history.tell(record(queued=500.0))
    wall.go(901.0)
    for seconds in (0.0, 0.0, 1.0, 2.0, 30.0):
        history.tell(record(queued=seconds))
    history.tell(record(joined=0.0, queued=0.0, status=400, code="invalid_value"))

    assert Waits(1.0, 30.0) == history.waits()


@pytest.mark.parametrize("number", [1, 19, 20, 21, 100, 101])
def test_of_a_hundred_ninety_five_have_waited_no_longer(history: History, number: int) -> None:
    """And there is no shorter wait of which that is true."""
    for seconds in range(number):
        history.tell(record(queued=float(seconds)))
    waits = history.waits()

    assert waits is not None
    enough = [
        most
        for most in range(number)
        if 100 * sum(one <= most for one in range(number)) >= 95 * number
    ]
    assert (number - 1) / 2 == waits.median
    assert min(enough) == waits.most


# ---- accounts


def test_an_account_has_its_last_success_and_its_last_failure(
    history: History, wall: Clock
) -> None:
    """What its client cut off is neither."""
    history.tell(record(first_text=103.0, queued=2.0))
    wall.go(10.0)
    history.tell(failed())
    wall.go(10.0)
    history.tell(failed("client_closed", status=499))

    one = history.accounts()["cookie-1"]
    assert (MIDNIGHT, MIDNIGHT + 10.0, "upstream_timeout") == (
        one.succeeded_at,
        one.failed_at,
        one.code,
    )
    assert 1.0 == one.first_text


def test_an_account_that_a_request_has_left_has_failed(history: History) -> None:
    """Although another one answered; and what refused it in the end is not this one's failure."""
    history.tell(record(account="key-1", moved_from=("cookie-1",), moves=("upstream_auth",)))
    history.tell(
        failed("rate_limit_exceeded", moved_from=("cookie-1",), moves=("upstream_blocked",))
    )

    accounts = history.accounts()
    assert ("upstream_blocked", None) == (
        accounts["cookie-1"].code,
        accounts["cookie-1"].succeeded_at,
    )
    assert MIDNIGHT == accounts["key-1"].succeeded_at


# ---- models


def test_a_model_has_the_last_24_hours(history: History, wall: Clock) -> None:
    """Requests, how many of them failed, and the time to the first word."""
    history.tell(record(first_text=101.0))
    wall.go(3 * 3600.0)
    history.tell(failed())
    (one,) = history.models()

    assert ("gpt-4", "GPT-4", 2, 1, 1.0) == (
        one.name,
        one.bot,
        one.requests,
        one.failures,
        one.first_text,
    )
    wall.go(22 * 3600.0)
    assert [(1, 1)] == [(one.requests, one.failures) for one in history.models()]
    wall.go(3 * 3600.0)
    assert [] == history.models()


def test_ten_thousand_models_are_two_hundred_and_the_others(history: History) -> None:
    """Names are the clients' choice; those that no bot was asked for are not even counted."""
    for number in range(10_000):
        history.tell(record(model=f"{number}" * 100, bot=f"Bot-{number}"))
        history.tell(failed("model_not_found", model=f"no-{number}", account="", status=404))

    models = history.models()
    assert 201 == len(models)
    assert ("other", 9800) == (models[0].name, models[0].requests)
    assert max(len(one.name) for one in models) <= 100


# ---- failures


def test_the_last_failures_are_kept_the_newest_first(history: History) -> None:
    """Fifty of them; what a client has cut off is none."""
    for number in range(60):
        history.tell(failed(id=f"req_{number}", model=f"model {number}"))
    history.tell(failed("client_closed"))

    failures = history.failures()
    assert 50 == len(failures)
    assert ("req_59", "req_10") == (failures[0].id, failures[-1].id)


def test_the_same_failure_again_is_one_line(history: History, wall: Clock) -> None:
    """With the number of times, and the last of them."""
    history.tell(failed("invalid_value", model="", account=""))
    for number in range(100):
        wall.go(1.0)
        history.tell(failed(id=f"req_{number}", message="Nothing came in time."))

    last, first = history.failures()
    assert ("req_99", 100, MIDNIGHT + 100.0) == (last.id, last.times, last.at)
    assert ("invalid_value", 1) == (first.code, first.times)
