"""Tokens that ran out of points."""

from __future__ import annotations

from contextlib import suppress

from poe_proxy.errors import TokenExhausted, UpstreamUnreachable
from poe_proxy.points import look
from poe_proxy.tokens import Token, TokenRotator


class Account:
    """An account whose balance a test sets."""

    def __init__(self) -> None:
        self.points: int | None = 0
        self.asked = 0

    def balance(self) -> int:
        self.asked += 1
        if self.points is None:
            raise UpstreamUnreachable("Poe is away.")
        return self.points


def exhausted() -> tuple[TokenRotator[Account], Account]:
    """A rotator with one watched token that has just run dry."""
    account = Account()
    rotator = TokenRotator([Token("key-1", account, is_watched=True)])
    with suppress(TokenExhausted), rotator.lease() as lease:
        assert lease.wait(0)
        raise TokenExhausted("No points.")
    return rotator, account


def test_a_token_without_points_rests_until_its_balance_says_otherwise() -> None:
    """Neither time nor an empty balance brings it back; points do."""
    rotator, account = exhausted()

    look(rotator)
    assert 1 == rotator.census()["resting"]

    account.points = 100
    look(rotator)
    assert 1 == rotator.census()["free"]


def test_a_balance_that_is_not_to_be_had_changes_nothing() -> None:
    """Poe being away neither revives a token nor ends the watch."""
    rotator, account = exhausted()
    account.points = None

    look(rotator)

    assert 1 == rotator.census()["resting"]


def test_nobody_is_asked_who_has_points() -> None:
    """The balance of a token that works is never asked for."""
    account = Account()

    look(TokenRotator([Token("key-1", account, is_watched=True)]))

    assert 0 == account.asked
