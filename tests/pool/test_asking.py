"""Poe is asked about one account, because the operator wants to know."""

from __future__ import annotations

import threading
from math import inf

from poe_proxy.errors import PoolUnavailable, TokenRejected
from poe_proxy.pool.asking import Answer, Asking
from poe_proxy.pool.balances import PointsWatch
from poe_proxy.pool.known import Funds
from poe_proxy.pool.rotator import Token, TokenRotator

from ..fakes import until
from .fixtures import state
from .test_balances import Account, Elsewhere


def test_a_late_answer_counts_all_the_same() -> None:
    """The operator is told that Poe is still being asked; what it says then decides."""
    goes_on = threading.Event()

    class Slow(Account):
        def balance(self) -> Funds:
            assert goes_on.wait(60)
            return Funds(5)

    token = Token("a", Slow())
    tokens: TokenRotator[Account] = TokenRotator([token])
    tokens.exhaust(token, "Empty.")
    asking = Asking(tokens, patience=0.0)

    assert Answer(is_late=True) == asking.ask(token)
    assert {"out_of_points": 1} == state(tokens)
    goes_on.set()
    until(lambda: {"free": 1} == state(tokens))


def test_a_fault_of_our_own_is_an_answer() -> None:
    """Whoever asks is not left waiting, and may ask again."""

    class Broken(Account):
        def balance(self) -> Funds:
            raise RuntimeError("a secret")

    token = Token("a", Broken())
    asking: Asking[Account] = Asking(TokenRotator([token]))

    for _ in range(2):
        answer = asking.ask(token)
        assert "internal_error" == answer.code
        assert "secret" not in answer.reason


def test_an_account_that_was_given_up_comes_back_if_poe_accepts_it() -> None:
    """Nobody else looks at it."""
    account = Account()
    account.points = 7
    token = Token("a", account)
    tokens: TokenRotator[Account] = TokenRotator([token])
    tokens._ledger.retire("a", "Logged out.")
    asking = Asking(tokens)
    assert inf == PointsWatch(tokens).look()
    assert 0 == account.asked
    account.is_rejected = True
    assert TokenRejected.code == asking.ask(token).code
    account.is_rejected = False

    assert Answer(7) == asking.ask(token)
    assert {"free": 1} == state(tokens)


def test_an_account_that_has_left_meanwhile_is_no_mistake() -> None:
    """A reload may come while Poe is asked."""

    class Leaves(Account):
        def balance(self) -> Funds:
            tokens.replace([other])
            return Funds(7)

    token, other = Token("a", Leaves()), Token("b", Account())
    tokens: TokenRotator[Account] = TokenRotator([token])

    assert Answer(7) == Asking(tokens).ask(token)
    assert [other] == [one for one, _ in tokens.states()]


def test_what_only_another_worker_may_ask_is_not_asked() -> None:
    """The operator is told so, and what Poe said there last."""
    account = Account()
    token = Token("a", account)
    tokens = Elsewhere([token])
    asking = Asking(tokens)

    answer = asking.ask(token)
    assert ("asked_elsewhere", None) == (answer.code, answer.points)
    tokens.points.note("a", Funds(7))
    assert 7 == asking.ask(token).points
    assert 0 == account.asked
    # Whoever presses a button is not refused because another worker has looked a moment ago.
    assert [0.0, 0.0] == tokens.claimed


def test_who_may_ask_is_not_guessed_while_redis_is_away() -> None:
    """No other worker is said to use the account."""
    account = Account()
    tokens = Elsewhere([Token("a", account)])
    tokens.is_away = True

    assert PoolUnavailable.code == Asking(tokens).ask(tokens.states()[0][0]).code
    assert 0 == account.asked
