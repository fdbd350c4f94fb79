"""What is known of accounts, for those who look on."""

from __future__ import annotations

from poe_proxy.errors import TokenRejected
from poe_proxy.pool.balances import Balance, FirstLooks, PointsWatch
from poe_proxy.pool.known import DayUses, Funds, KnownPoints, Points
from poe_proxy.pool.rotator import Token, TokenRotator

from ..fakes import Clock
from .test_balances import Account


def test_the_points_are_what_poe_said_last_and_when() -> None:
    """Nothing is known until then, which is not 0."""
    clock = Clock()
    known = KnownPoints(clock)

    assert known.of("a") is None
    known.note("a", Funds(1000))
    clock.go(60)
    assert Points(1000, clock() - 60) == known.of("a")
    known.note("a", Funds(0))
    assert Points(0, clock()) == known.of("a")


def test_a_day_of_uses_ends_at_midnight_in_utc() -> None:
    """It begins with what an earlier process has used."""
    clock = Clock()
    clock.go(86400 - clock() % 86400 - 10)
    uses = DayUses(clock)
    uses.begin({"a": 3})
    uses.add("a")

    assert (4, 0) == (uses.of("a"), uses.of("b"))
    clock.go(10)
    assert 0 == uses.of("a")
    uses.add("a")
    assert 1 == uses.of("a")


def test_each_look_at_an_account_is_noted() -> None:
    """Whoever asks for a balance: the first look, the watch, or a client."""
    account, clock = Account(), Clock()
    account.points = 7
    token = Token("key-1", account)
    rotator = TokenRotator([token], clock=clock)
    looks = FirstLooks(rotator, pause=0)
    looks.begin()
    assert looks.wait(10)

    assert 7 == getattr(rotator.points.of(token.name), "number", None)
    account.points = 5
    assert 5 == Balance(rotator).points()
    assert 5 == getattr(rotator.points.of(token.name), "number", None)
    rotator.suspend(token, TokenRejected("Logged out."))
    watch = PointsWatch(rotator)
    clock.go(watch.look())
    account.points = None
    clock.go(watch.look())
    # A look that finds out nothing takes nothing away.
    assert 5 == getattr(rotator.points.of(token.name), "number", None)
    account.points = 3
    watch.look()
    assert 3 == getattr(rotator.points.of(token.name), "number", None)


def test_what_is_sent_is_a_use_of_the_day() -> None:
    """A lease without a request is none; a second request of the same lease is one more."""
    token = Token("key-1", Account(), concurrency=9)
    rotator = TokenRotator([token])
    with rotator.lease() as lease:
        assert lease.wait(0)
        assert 0 == rotator.day_uses.of("key-1")
        assert lease.may_send(0)
        assert lease.may_send(0)

    assert 2 == rotator.day_uses.of("key-1")
