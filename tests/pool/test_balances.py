"""Accounts that ran out of points, or that Poe refused: how they come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenLeft,
    TokenExhausted,
    TokenRejected,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from poe_proxy.pool import balances
from poe_proxy.pool.balances import AT_A_TIME, Balance, FirstLooks, PointsWatch
from poe_proxy.pool.known import Funds
from poe_proxy.pool.rotator import Token, TokenRotator

from ..fakes import Clock, log_lines, until


class Account:
    """An account with a balance that a test sets."""

    def __init__(self) -> None:
        self.points: int | None = 0
        self.is_rejected = False
        self.asked = 0

    def balance(self) -> Funds:
        self.asked += 1
        if self.is_rejected:
            raise TokenRejected("No such key.")
        if self.points is None:
            raise UpstreamUnreachable("Poe is away.")
        return Funds(self.points)


def fail(rotator: TokenRotator[Account], failure: UpstreamError, bot: str = "") -> None:
    """Let a request end so, with the token whose turn it is."""
    with suppress(type(failure)), rotator.lease(bot=bot) as lease:
        assert lease.wait(0)
        raise failure


class Watched:
    """A rotator with a clock of its own, and the watch over it."""

    def __init__(self, *accounts: Account) -> None:
        self.clock = Clock()
        self.rotator = TokenRotator(
            [Token(f"key-{n}", one) for n, one in enumerate(accounts, 1)],
            clock=self.clock,
            points_check=300.0,
        )
        self.watch = PointsWatch(self.rotator)

    @property
    def state(self) -> dict[str, int]:
        return {name: count for name, count in self.rotator.census().items() if count}

    def go(self, seconds: float) -> float:
        self.clock.go(seconds)
        return self.watch.look()


def exhausted() -> tuple[Watched, Account]:
    """A token whose account has just been found empty."""
    account = Account()
    watched = Watched(account)
    fail(watched.rotator, TokenExhausted("No points."), "Sora")
    assert 300.0 == watched.watch.look()
    assert {"out_of_points": 1} == watched.state
    return watched, account


# ---- accounts without points


def test_a_token_without_points_rests_until_its_balance_says_otherwise() -> None:
    """Neither time nor an empty balance brings it back; points do."""
    watched, account = exhausted()

    assert 300.0 == watched.go(300.0)
    assert {"out_of_points": 1} == watched.state

    account.points = 100
    assert inf == watched.go(300.0)
    assert {"free": 1} == watched.state


def test_an_account_without_points_is_asked_sparingly() -> None:
    """Once in POINTS_CHECK seconds, however often there is something else to look at."""
    watched, account = exhausted()

    assert [200.0, 1.0, 300.0] == [watched.go(pause) for pause in (100.0, 199.0, 1.0)]
    assert 2 == account.asked


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (UpstreamUnreachable("Poe is away."), 1),
        # Whoever found that out has said so.
        (UpstreamChanged("The hash of settingsPageQuery is not known."), 0),
    ],
)
def test_the_log_says_why_a_balance_is_not_known(
    monkeypatch: pytest.MonkeyPatch, failure: UpstreamError, lines: int
) -> None:
    """But not, of each account and each time, that the site has changed."""
    watched, account = exhausted()

    def fails() -> Funds:
        raise failure

    monkeypatch.setattr(account, "balance", fails)
    with log_lines() as text:
        watched.go(300.0)

    assert lines == text.getvalue().count("its balance is not known")


def test_an_account_that_only_had_too_few_points_for_a_bot_is_lent_for_others() -> None:
    """Its balance is asked for once, at once; then it rests for this bot alone."""
    account = Account()
    account.points = 5_000
    watched = Watched(account)
    fail(watched.rotator, TokenExhausted("Too dear."), "Veo-3")

    assert inf == watched.watch.look()
    assert inf == watched.go(1.0)

    assert ({"free": 1}, 1) == (watched.state, account.asked)
    with pytest.raises(NoPointsLeft), watched.rotator.lease(bot="Veo-3"):
        pass


def test_a_second_doubt_waits_a_while() -> None:
    """Each bot that is too dear would ask for the same balance."""
    account = Account()
    account.points = 5_000
    watched = Watched(account)
    for bot in ("Veo-3", "Sora"):
        fail(watched.rotator, TokenExhausted("Too dear."), bot)
        watched.watch.look()

    assert 1 == account.asked
    assert inf == watched.go(60.0)
    assert 2 == account.asked


def test_a_balance_that_is_not_to_be_had_changes_nothing() -> None:
    """Poe being away neither revives a token nor ends the watch."""
    watched, account = exhausted()
    account.points = None

    watched.go(300.0)
    assert {"out_of_points": 1} == watched.state

    account.points = 100
    watched.go(300.0)
    assert {"free": 1} == watched.state


def test_a_token_that_poe_rejects_is_set_aside() -> None:
    """It is not out of points but useless, and is asked again only when its look is due."""
    watched, account = exhausted()
    account.is_rejected = True

    assert 60.0 == watched.go(300.0)
    assert 1.0 == watched.go(59.0)

    assert ({"suspended": 1}, 2) == (watched.state, account.asked)
    with pytest.raises(NoTokenLeft), watched.rotator.lease() as lease:
        lease.wait(0)


def test_a_rejected_token_takes_no_other_with_it() -> None:
    """Only the one that Poe rejected is set aside."""
    good, bad = Account(), Account()
    good.points, bad.is_rejected = 100, True
    watched = Watched(good, bad)
    for one, _ in watched.rotator.states():
        watched.rotator.exhaust(one, "Empty.")

    watched.watch.look()

    assert {"free": 1, "suspended": 1} == watched.state
    assert ["key-1"] == [token.label for token in watched.rotator.accepted()]


def test_a_fault_with_one_account_does_not_end_the_watch() -> None:
    """What was not foreseen is logged, and the next account is asked all the same."""

    class Broken(Account):
        def balance(self) -> Funds:
            raise RuntimeError("a bug")

    account = Account()
    account.points = 100
    watched = Watched(Broken(), account)
    for one, _ in watched.rotator.states():
        watched.rotator.exhaust(one, "Empty.")

    watched.watch.look()

    assert {"out_of_points": 1, "free": 1} == watched.state


def test_the_watch_is_woken_for_an_account_that_somebody_else_found_empty() -> None:
    """It may sleep for an hour where there is nothing to look at."""
    account = Account()
    account.points = 0
    watched = Watched(account)
    watched.rotator.look.clear()
    ((token, _),) = watched.rotator.states()
    watched.rotator.exhaust(token, "Empty.")

    assert watched.rotator.look.is_set()
    assert 300.0 == watched.watch.look()


def test_an_account_that_has_points_is_not_asked() -> None:
    """The balance of a token that works is never asked for."""
    account = Account()

    assert inf == Watched(account).watch.look()

    assert 0 == account.asked


# ---- accounts that Poe refused


@pytest.mark.parametrize("failure", [TokenRejected("Logged out."), UpstreamBlocked("Robot?")])
def test_a_suspended_account_comes_back_by_itself(failure: UpstreamError) -> None:
    """It is looked at after a minute, and lent again once Poe takes it."""
    account = Account()
    account.points = 100
    watched = Watched(account)
    fail(watched.rotator, failure)

    assert 60.0 == watched.watch.look()
    assert 1.0 == watched.go(59.0)
    assert ({"suspended": 1}, 0) == (watched.state, account.asked)
    assert inf == watched.go(1.0)
    assert ({"free": 1}, 1) == (watched.state, account.asked)


def test_a_suspended_account_is_looked_at_more_and_more_rarely() -> None:
    """And given up after six refusals: then the operator has to renew it."""
    account = Account()
    account.is_rejected = True
    watched = Watched(account)
    fail(watched.rotator, TokenRejected("Logged out."))

    looks = [watched.watch.look()]
    while looks[-1] < inf:
        looks.append(watched.go(looks[-1]))

    assert [60.0, 300.0, 900.0, 3600.0, 3600.0, inf] == looks
    assert ({"retired": 1}, 5) == (watched.state, account.asked)


def test_a_doubt_makes_no_look_at_a_suspended_account_come_sooner() -> None:
    """A reply that was under way when the account was found empty says nothing new."""
    account = Account()
    watched = Watched(account)
    (token,) = watched.rotator.accepted()
    watched.rotator.replace([Token(token.label, account, concurrency=2)])
    with suppress(TokenExhausted), watched.rotator.lease() as late:
        assert late.wait(0)
        fail(watched.rotator, TokenExhausted("No points."), "Sora")
        assert 300.0 == watched.watch.look()
        raise TokenExhausted("No points.")
    assert 300.0 == watched.watch.look()

    account.is_rejected = True
    assert 60.0 == watched.go(300.0)
    assert 300.0 == watched.go(60.0)


def test_a_suspended_account_that_does_not_answer_is_asked_again_soon() -> None:
    """That Poe is away says nothing about the account."""
    account = Account()
    account.points = None
    watched = Watched(account)
    fail(watched.rotator, TokenRejected("Logged out."))

    assert [60.0, 60.0] == [watched.go(60.0), watched.go(60.0)]
    account.points = 100
    assert inf == watched.go(60.0)
    assert {"free": 1} == watched.state


def test_a_suspended_account_may_come_back_without_points() -> None:
    """Poe takes it again, and it has nothing left: it is not lent."""
    account = Account()
    watched = Watched(account)
    fail(watched.rotator, TokenRejected("Logged out."))

    assert 300.0 == watched.go(60.0)
    assert {"out_of_points": 1} == watched.state


def test_a_token_that_comes_back_serves_the_line() -> None:
    """Requests in line need not wait for another one."""
    account, other = Account(), Account()
    account.points = 100
    watched = Watched(account, other)
    fail(watched.rotator, TokenRejected("Logged out."))

    with watched.rotator.lease(), watched.rotator.lease() as waiting:
        assert waiting.token is None
        watched.go(60.0)
        assert waiting.token is not None


# ---- the watch


class Slow(Account):
    """An account that answers when a test lets it."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()

    def balance(self) -> Funds:
        self.is_asked.set()
        self.may_answer.wait(60)
        return super().balance()


def without_points(*accounts: Account) -> TokenRotator[Account]:
    """A rotator over tokens that are all out of points."""
    rotator = TokenRotator(
        [Token(f"key-{n}", one) for n, one in enumerate(accounts)], points_check=0.001
    )
    for token, _ in rotator.states():
        rotator.exhaust(token, "Empty.")
    return rotator


def test_the_watch_brings_tokens_back_until_it_is_stopped() -> None:
    """It asks time and again, ends when it is stopped, and can be waited for."""
    account = Slow(100)
    rotator = without_points(account)
    watch = PointsWatch(rotator)

    watch.start()
    assert account.is_asked.wait(60)
    watch.stop()
    assert not watch.wait(0)
    account.may_answer.set()

    assert watch.wait(60)
    assert (1, 1) == (account.asked, rotator.census()["free"])


def test_the_watch_asks_again_by_itself() -> None:
    """Nothing has to happen for it but time."""
    account = Account()
    rotator = without_points(account)
    watch = PointsWatch(rotator)

    watch.start()
    until(lambda: account.asked > 2)
    account.points = 100
    until(lambda: rotator.census()["free"])
    watch.stop()

    assert watch.wait(60)


def test_an_account_that_is_well_is_asked_now_and_then_if_somebody_wants_to_know() -> None:
    """So that few points can be told before there are none; not at once, nor one set aside."""
    one, paused = Account(), Account()
    one.points = paused.points = 5
    watched = Watched(one, paused)
    watched.watch.every = 3600.0
    watched.rotator.pause(watched.rotator.states()[1][0], inf)

    assert 3600.0 == watched.watch.look()
    watched.clock.go(3600.0)
    assert 3600.0 == watched.watch.look()
    assert (1, 0) == (one.asked, paused.asked)
    known = watched.rotator.points.of("key-1")
    assert known is not None
    assert 5 == known.number


@pytest.mark.parametrize(
    ("failure", "standing"),
    [
        pytest.param(TokenExhausted("Empty."), "out_of_points", id="a balance in doubt"),
        pytest.param(TokenRejected("Logged out."), "suspended", id="a refusal"),
    ],
)
def test_the_watch_is_woken_by_what_happens(failure: UpstreamError, standing: str) -> None:
    """Asleep without anything to look at, it is woken once there is something."""
    account = Account()
    rotator = TokenRotator([Token("key-1", account)])
    watch = PointsWatch(rotator)
    watch.start()

    fail(rotator, failure)

    until(lambda: rotator.census()[standing])
    until(lambda: not rotator.look.is_set())
    watch.stop()
    assert watch.wait(60)
    assert (standing == "out_of_points") == bool(account.asked)


def test_a_watch_that_is_stopped_asks_no_further_account() -> None:
    """The one that is being asked may answer; those behind it are left alone."""
    first, second = Slow(100), Account()
    rotator = without_points(first, second)
    watch = PointsWatch(rotator)

    watch.start()
    assert first.is_asked.wait(60)
    watch.stop()
    first.may_answer.set()

    assert watch.wait(60)
    assert (1, 0) == (first.asked, second.asked)


def test_a_watch_that_was_never_started_has_ended() -> None:
    """A worker may end before it has begun."""
    watch = PointsWatch(without_points(Account()))
    watch.stop()

    assert watch.wait(0)


def test_a_watch_that_sleeps_is_woken_by_its_end() -> None:
    """The worker need not wait until its next turn would have come."""
    watch = PointsWatch(TokenRotator([Token("key-1", Account())]))
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
    assert 1 == pool.tokens.census()["suspended"]


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
        def balance(self) -> Funds:
            is_over.wait(60)
            return Funds(5)

    hanging = TokenRotator([Token("a", Hangs()), Token("b", pool.accounts[1])])

    assert 20 == Balance(hanging, patience=1.0).points()
    is_over.set()


def test_a_fault_with_one_account_does_not_keep_the_others() -> None:
    """What was not foreseen is logged; the others are added up."""

    class Broken(Account):
        def balance(self) -> Funds:
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


# ---- accounts that are used from elsewhere


class Elsewhere(TokenRotator[Account]):
    """A pool of which another worker may ask Poe about all accounts but some."""

    def __init__(self, tokens: Iterable[Token[Account]], **options: Any) -> None:
        super().__init__(tokens, **options)
        self.mine: set[str] = set()
        #: Whether nobody can say which these are.
        self.is_away = False
        #: For how many seconds nobody else was to ask.
        self.claimed: list[float] = []

    def may_ask(self, token: Token[Account], seconds: float) -> bool | None:
        self.claimed.append(seconds)
        return None if self.is_away else token.label in self.mine


def test_an_account_that_is_asked_about_elsewhere_counts_with_what_poe_said_there() -> None:
    """All workers know the points that one of them was told."""
    accounts = [account(100), account(20), account(3)]
    tokens = Elsewhere([Token(f"key-{n}", one) for n, one in enumerate(accounts)])
    tokens.mine = {"key-0"}
    tokens.points.note("key-1", Funds(50))

    assert 150 == Balance(tokens).points()
    assert [1, 0, 0] == [one.asked for one in accounts]
    assert [54.0] * 3 == tokens.claimed


def test_an_account_that_another_worker_looks_at_is_looked_at_there_alone() -> None:
    """Whoever looks first does it for all, until the next look is due."""
    clock, empty = Clock(), account(0)
    tokens = Elsewhere([Token("key-1", empty)], clock=clock)
    watch = PointsWatch(tokens)
    fail(tokens, TokenExhausted("No points."), "Sora")

    assert 60.0 == watch.look()
    assert ([54.0], 0) == (tokens.claimed, empty.asked)
    tokens.mine = {"key-1"}
    clock.go(60.0)
    assert 300.0 == watch.look()
    assert 1 == empty.asked


def test_the_first_look_is_left_to_the_worker_that_may() -> None:
    """With several workers each account is logged in once."""
    one = account(7)
    tokens = Elsewhere([Token("key-1", one)])
    looks = FirstLooks(tokens, pause=0.0)
    with log_lines() as lines:
        looks.begin()
        until(lambda: looks.wait(60))

    assert ("", 0) == (lines.getvalue(), one.asked)


def test_while_nobody_can_say_who_may_look_the_next_look_is_no_later_than_in_a_minute() -> None:
    """However long the pause to the next one would be."""
    clock, one = Clock(), account(7)
    tokens = Elsewhere([Token("key-1", one)], clock=clock)
    tokens.is_away = True
    watch = PointsWatch(tokens)
    watch.every = 3600.0
    clock.go(3600.0)

    assert 60.0 == watch.look()
    tokens.is_away, tokens.mine = False, {"key-1"}
    clock.go(60.0)
    assert 3600.0 == watch.look()
    assert 1 == one.asked


def test_the_first_look_waits_until_somebody_can_say_who_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redis was away at the start: each account is looked at once it is back."""
    monkeypatch.setattr(balances, "UNKNOWN", 0.001)
    accounts = [account(number) for number in range(2 * AT_A_TIME)]
    tokens = Elsewhere([Token(f"key-{n}", one) for n, one in enumerate(accounts)])
    tokens.is_away = True
    looks = FirstLooks(tokens, pause=0.0)
    with log_lines() as lines:
        looks.begin()
        until(lambda: len(tokens.claimed) > 4 * AT_A_TIME)
        assert ("", 0) == (lines.getvalue(), sum(one.asked for one in accounts))
        tokens.mine, tokens.is_away = {f"key-{n}" for n in range(1, len(accounts))}, False
        until(lambda: looks.wait(60))

    assert [0, *[1] * (len(accounts) - 1)] == [one.asked for one in accounts]


def test_a_first_look_that_nobody_can_decide_on_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait for Redis then."""
    monkeypatch.setattr(balances, "UNKNOWN", 600.0)
    tokens = Elsewhere([Token("key-1", account(7))])
    tokens.is_away = True
    looks = FirstLooks(tokens, pause=0.0)
    looks.begin()
    until(lambda: bool(tokens.claimed))

    looks.stop()
    assert looks.wait(60)


# ---- the first look at each account


class Started:
    """A pool, and what the log says of the first looks at it."""

    def __init__(self, *accounts: Account) -> None:
        self.rotator = TokenRotator([Token(f"key-{n}", one) for n, one in enumerate(accounts, 1)])
        self.looks = FirstLooks(self.rotator, pause=0.0)

    def begin(self) -> str:
        """Look at all; return what is logged once that is over."""
        return self.said(self.looks.begin)

    def said(self, act: Callable[[], object]) -> str:
        with log_lines() as lines:
            act()
            until(lambda: self.looks.wait(60))
        return lines.getvalue()


def account(points: int | None, *, is_rejected: bool = False) -> Account:
    one = Account()
    one.points, one.is_rejected = points, is_rejected
    return one


def test_each_account_is_looked_at_once_and_told_in_a_line() -> None:
    """Who is logged in, and with how many points; of one that Poe refuses, the pool says why."""
    started = Started(account(98_765), account(0), account(None), account(1, is_rejected=True))
    lines = sorted(line.split(" ", 2)[2] for line in started.begin().splitlines())

    assert [
        "INFO    - key-1: logged in, 98,765 points",
        "INFO    - key-2: logged in, 0 points",
        "WARNING - key-2 rests until it has points again: The account has no points left.",
        "WARNING - key-3: not known whether it is logged in (upstream_unreachable): Poe is away.",
        "WARNING - key-4 is suspended: No such key.",
        "WARNING - key-4: not logged in, Poe refuses it (upstream_auth)",
    ] == lines
    # Only a refusal and want of points hold anything back.
    assert {"free": 2, "suspended": 1, "out_of_points": 1} == {
        name: count for name, count in started.rotator.census().items() if count
    }


def test_only_what_is_new_is_looked_at_later() -> None:
    """After a reload: an account that is new, or that logs in in another way."""
    accounts = [account(1), account(2), account(3)]
    started = Started(*accounts[:2])
    assert "" == started.said(started.looks.go_on)  # before it began
    started.begin()
    (first, second), other = [token for token, _ in started.rotator.states()], account(4)
    changed = Token("key-2", other)
    started.rotator.replace([first, changed, Token("key-3", accounts[2])])

    said = started.said(started.looks.go_on)

    assert ["key-2: logged in, 4", "key-3: logged in, 3"] == sorted(
        line.partition("- ")[2].removesuffix(" points") for line in said.splitlines()
    )
    assert [1, 1, 1, 1] == [one.asked for one in (*accounts, other)]
    assert second is not changed


def test_a_few_accounts_are_looked_at_at_a_time() -> None:
    """However many there are, Poe does not see all of them in one moment."""
    accounts = [Slow(1) for _ in range(2 * AT_A_TIME)]
    started = Started(*accounts)
    started.looks.begin()
    until(lambda: AT_A_TIME == sum(one.is_asked.is_set() for one in accounts))
    assert not any(one.is_asked.is_set() for one in accounts[AT_A_TIME:])
    for one in accounts:
        one.may_answer.set()

    assert started.looks.wait(60)
    until(lambda: all(one.is_asked.is_set() for one in accounts))


def test_the_end_waits_for_no_look() -> None:
    """One that is under way says nothing more if it is cut off; the others are not begun."""
    accounts = [Slow(1) for _ in range(2 * AT_A_TIME)]
    started = Started(*accounts)
    with log_lines() as lines:
        started.looks.begin()
        until(lambda: AT_A_TIME == sum(one.is_asked.is_set() for one in accounts))
        started.looks.stop()
        for one in accounts:
            one.points = None
            one.may_answer.set()
        assert started.looks.wait(60)

    assert AT_A_TIME == sum(one.is_asked.is_set() for one in accounts)
    assert "" == lines.getvalue()


def test_what_was_held_back_before_the_start_is_said_and_left_to_its_own_look() -> None:
    """The watch asks it when its time has come: twice would be once too often."""
    one = account(5)
    started = Started(one)
    (token, _), *_ = started.rotator.states()
    started.rotator.suspend(token, TokenRejected("Logged out."))

    assert "WARNING - key-1: suspended already: Logged out.\n" in started.begin()
    assert 0 == one.asked
