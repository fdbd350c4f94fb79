"""Tokens that ran out of points."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from poe_proxy.errors import (
    NoTokenLeft,
    TokenExhausted,
    TokenRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from poe_proxy.pool.balances import Balance, PointsWatch, revive_exhausted
from poe_proxy.pool.rotator import Token, TokenRotator


class Account:
    """An account with a balance that a test sets."""

    def __init__(self) -> None:
        self.points: int | None = 0
        self.is_rejected = False
        self.asked = 0

    def balance(self) -> int:
        self.asked += 1
        if self.is_rejected:
            raise TokenRejected("No such key.")
        if self.points is None:
            raise UpstreamUnreachable("Poe is away.")
        return self.points


def exhausted() -> tuple[TokenRotator[Account], Account]:
    """A rotator with one token that has just run dry."""
    account = Account()
    rotator = TokenRotator([Token("key-1", account)])
    with suppress(TokenExhausted), rotator.lease() as lease:
        assert lease.wait(0)
        raise TokenExhausted("No points.")
    return rotator, account


def test_a_token_without_points_rests_until_its_balance_says_otherwise() -> None:
    """Neither time nor an empty balance brings it back; points do."""
    rotator, account = exhausted()

    revive_exhausted(rotator)
    assert 1 == rotator.census()["resting"]

    account.points = 100
    revive_exhausted(rotator)
    assert 1 == rotator.census()["free"]


def test_a_balance_that_is_not_to_be_had_changes_nothing() -> None:
    """Poe being away neither revives a token nor ends the watch."""
    rotator, account = exhausted()
    account.points = None

    revive_exhausted(rotator)

    assert 1 == rotator.census()["resting"]


def test_a_token_that_poe_rejects_is_set_aside() -> None:
    """It is not out of points but useless, and is not asked for its balance again."""
    rotator, account = exhausted()
    account.is_rejected = True

    revive_exhausted(rotator)
    revive_exhausted(rotator)

    assert (1, 1) == (rotator.census()["retired"], account.asked)
    with pytest.raises(NoTokenLeft), rotator.lease() as lease:
        lease.wait(0)


def test_a_rejected_token_takes_no_other_with_it() -> None:
    """Only the one that Poe rejected is set aside."""
    good, bad = Account(), Account()
    rotator = TokenRotator([Token("a", good), Token("b", bad, rank=1)])
    with rotator.lease() as held, suppress(TokenExhausted), rotator.lease() as lease:
        assert held.wait(0)
        assert lease.wait(0)
        raise TokenExhausted("No points.")
    bad.is_rejected = True

    revive_exhausted(rotator)

    assert (1, 1) == (rotator.census()["free"], rotator.census()["retired"])
    assert ["a"] == [token.label for token in rotator.accepted()]


def test_a_fault_with_one_account_does_not_end_the_watch() -> None:
    """What was not foreseen is logged, and the next account is asked all the same."""

    class Broken(Account):
        def balance(self) -> int:
            raise RuntimeError("a bug")

    account = Account()
    account.points = 100
    rotator = TokenRotator([Token("a", Broken()), Token("b", account)])
    for _ in range(2):
        with suppress(TokenExhausted), rotator.lease() as lease:
            assert lease.wait(0)
            raise TokenExhausted("No points.")

    revive_exhausted(rotator)

    assert (1, 1) == (rotator.census()["resting"], rotator.census()["free"])


def test_an_account_that_has_points_is_not_asked() -> None:
    """The balance of a token that works is never asked for."""
    account = Account()

    revive_exhausted(TokenRotator([Token("key-1", account)]))

    assert 0 == account.asked


# ---- the watch


class Slow(Account):
    """An account that answers when a test lets it."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()

    def balance(self) -> int:
        self.is_asked.set()
        self.may_answer.wait(60)
        return super().balance()


def without_points(*accounts: Account) -> TokenRotator[Account]:
    """A rotator over tokens that are all out of points."""
    rotator = TokenRotator([Token(f"key-{n}", one) for n, one in enumerate(accounts)])
    for _ in accounts:
        with suppress(TokenExhausted), rotator.lease() as lease:
            assert lease.wait(0)
            raise TokenExhausted("No points.")
    return rotator


def test_the_watch_brings_tokens_back_until_it_is_stopped() -> None:
    """It asks time and again, ends when it is stopped, and can be waited for."""
    account = Slow(100)
    rotator = without_points(account)
    watch = PointsWatch(rotator, every=0.001)

    watch.start()
    assert account.is_asked.wait(60)
    watch.stop()
    assert not watch.wait(0)
    account.may_answer.set()

    assert watch.wait(60)
    assert (1, 1) == (account.asked, rotator.census()["free"])


def test_a_watch_that_is_stopped_asks_no_further_account() -> None:
    """The one that is being asked may answer; those behind it are left alone."""
    first, second = Slow(100), Account()
    rotator = without_points(first, second)
    watch = PointsWatch(rotator, every=0.001)

    watch.start()
    assert first.is_asked.wait(60)
    watch.stop()
    first.may_answer.set()

    assert watch.wait(60)
    assert (1, 0) == (first.asked, second.asked)


def test_a_watch_that_was_never_started_has_ended() -> None:
    """A worker may end before it has begun."""
    watch = PointsWatch(without_points(Account()), every=60.0)
    watch.stop()

    assert watch.wait(0)


def test_a_watch_that_sleeps_is_woken_by_its_end() -> None:
    """The worker need not wait until its next turn would have come."""
    watch = PointsWatch(without_points(Account()), every=3600.0)
    watch.start()
    watch.stop()

    assert watch.wait(60)


# ---- the balance


class Pool:
    """Accounts with points, and what is known of their balance."""

    def __init__(self, *points: int | None) -> None:
        self.now = 0.0
        self.accounts = [Account() for _ in points]
        for account, some in zip(self.accounts, points, strict=True):
            account.points = some
        self.tokens = TokenRotator([Token(f"key-{n}", one) for n, one in enumerate(self.accounts)])
        self.balance = Balance(self.tokens, clock=lambda: self.now)

    @property
    def asked(self) -> list[int]:
        return [account.asked for account in self.accounts]


def test_the_balance_is_that_of_all_accounts() -> None:
    """Their points are added up; Poe is asked again only after a while."""
    pool = Pool(100, 20)

    assert 120 == pool.balance.points()
    pool.accounts[0].points = 0
    assert 120 == pool.balance.points()
    assert [1, 1] == pool.asked
    pool.now = 60.0
    assert 20 == pool.balance.points()
    assert [2, 2] == pool.asked


def test_an_account_that_does_not_answer_counts_with_what_it_had() -> None:
    """Poe being away for one of them does not lose its points."""
    pool = Pool(100, 20)
    pool.balance.points()
    pool.accounts[0].points, pool.now = None, 60.0

    assert 120 == pool.balance.points()


def test_an_account_that_is_set_aside_does_not_count() -> None:
    """What Poe no longer accepts cannot be spent."""
    pool = Pool(100, 20)
    pool.balance.points()
    with suppress(TokenRejected), pool.tokens.lease() as lease:
        assert lease.wait(0)
        raise TokenRejected("Logged out.")

    assert 20 == pool.balance.points()


def test_an_account_that_is_rejected_does_not_count() -> None:
    """Nor is it asked again."""
    pool = Pool(100, 20)
    pool.balance.points()
    pool.accounts[0].is_rejected, pool.now = True, 60.0

    assert 20 == pool.balance.points()
    pool.now = 120.0
    assert 20 == pool.balance.points()
    assert [2, 3] == pool.asked
    assert 1 == pool.tokens.census()["retired"]


def test_where_poe_rejects_all_accounts_it_says_so() -> None:
    """Now and later: the operator has to do something, and waiting is of no use."""
    pool = Pool(100, 20)
    for account in pool.accounts:
        account.is_rejected = True

    for _ in range(2):
        with pytest.raises(NoTokenLeft):
            pool.balance.points()
    assert [1, 1] == pool.asked


def test_without_any_balance_it_says_so() -> None:
    """No figure is made up."""
    with pytest.raises(UpstreamTimeout):
        Pool(None, None).balance.points()


def test_an_account_that_hangs_does_not_keep_the_others() -> None:
    """The wait has a limit; what came within it counts."""
    pool = Pool(100, 20)
    is_over = threading.Event()

    class Hangs(Account):
        def balance(self) -> int:
            is_over.wait(60)
            return 5

    hanging = TokenRotator([Token("a", Hangs()), Token("b", pool.accounts[1])])

    assert 20 == Balance(hanging, patience=1.0).points()
    is_over.set()


def test_a_fault_with_one_account_does_not_keep_the_others() -> None:
    """What was not foreseen is logged; the others are added up."""

    class Broken(Account):
        def balance(self) -> int:
            raise RuntimeError("a bug")

    accounts: list[Account] = [Broken(), Account()]
    accounts[1].points = 20
    rotator = TokenRotator([Token(f"key-{n}", one) for n, one in enumerate(accounts)])

    assert 20 == Balance(rotator).points()


def test_what_asks_for_the_balance_can_be_stopped_and_waited_for() -> None:
    """Once stopped, no account is asked; what is known still counts."""
    slow, quick = Slow(5), Account()
    quick.points = 20
    accounts: list[Account] = [slow, quick]
    rotator = TokenRotator([Token(f"key-{n}", one) for n, one in enumerate(accounts)])
    balance = Balance(rotator, patience=1.0, holds=0.0)

    assert 20 == balance.points()
    balance.stop()
    assert not balance.wait(0)
    slow.may_answer.set()

    assert balance.wait(60)
    assert 25 == balance.points()
    assert [1, 1] == [slow.asked, quick.asked]
