"""The rotator: which request gets which token, and which one is next in line."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
)
from poe_proxy.pool.ledger import MARGIN, Served, Want
from poe_proxy.pool.limits import Rest
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import LineState, Token, TokenRotator

from ..fakes import Clock, log_lines
from .fixtures import labels, lend, only, out_of_points, pool, state, token, use

# ---- whose turn it is


def test_tokens_take_turns() -> None:
    """Each use goes to the next token, round and round."""
    assert ["a", "b", "c", "a", "b", "c", "a"] == labels(pool("a", "b", "c"), 7)


def test_the_longest_unused_comes_first() -> None:
    """A token that was passed over keeps its turn."""
    tokens = pool("a", "b", "c")

    with tokens.lease() as first:
        assert "a" == lend(first).label
        assert ["b", "c", "b"] == labels(tokens, 3)

    assert "a" == use(tokens)
    assert "c" == use(tokens)


def test_lower_ranks_are_lent_first() -> None:
    """A cookie is lent only while no API key is free, in whichever order they are given."""
    tokens = TokenRotator(
        [
            token("cookie", kind="cookie", rank=1),
            token("key-1", kind="key", rank=0),
            token("key-2", kind="key", rank=0),
        ],
        clock=Clock(),
    )

    assert ["key-1", "key-2", "key-1"] == labels(tokens, 3)
    with tokens.lease() as one, tokens.lease() as two, tokens.lease() as three:
        assert ["key-2", "key-1", "cookie"] == [lend(each).label for each in (one, two, three)]
    assert ["key-2", "key-1"] == labels(tokens, 2)


def test_a_lease_may_ask_for_a_kind() -> None:
    """A request that only one kind of token can serve is given that kind."""
    tokens = TokenRotator([token("cookie", kind="cookie"), token("key", kind="key")], clock=Clock())

    assert ["cookie", "cookie"] == [use(tokens, kinds={"cookie"}) for _ in range(2)]
    assert ["key", "key"] == [use(tokens, kinds={"key"}) for _ in range(2)]
    assert {"cookie", "key"} == tokens.kinds


def test_a_tried_token_is_avoided() -> None:
    """A second try for the same request does not meet the token of the first."""
    tokens = pool("a", "b")
    with tokens.lease() as lease:
        tried = lend(lease)

    assert "a" == tried.label
    assert ["b", "b"] == [use(tokens, avoid={tried}) for _ in range(2)]
    assert "a" == use(tokens)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_a_token_serves_so_many_at_a_time(concurrency: int) -> None:
    """No token is lent more often at once than its concurrency says."""
    tokens = pool("a", concurrency=concurrency)
    leases = [tokens.lease() for _ in range(concurrency + 1)]
    for lease in leases:
        lease.__enter__()

    assert [True] * concurrency + [False] == [lease.wait(0) is not None for lease in leases]

    for lease in leases:
        lease.__exit__(None, None, None)
    assert {"free": 1} == state(tokens)


def test_parallel_replies_are_spread_before_they_are_stacked() -> None:
    """With room for several replies each, the tokens still take turns."""
    tokens = pool("a", "b", concurrency=2)
    leases = [tokens.lease() for _ in range(4)]
    for lease in leases:
        lease.__enter__()

    assert ["a", "b", "a", "b"] == [lend(lease).label for lease in leases]


# ---- the line


def test_the_line_is_served_in_order() -> None:
    """First come, first served: each returned token goes to the first in line."""
    tokens = pool("a")
    holder, *waiting = (tokens.lease() for _ in range(4))
    holder.__enter__()
    for lease in waiting:
        lease.__enter__()

    served = []
    for lease in (holder, *waiting):
        served.append([waiting.index(other) for other in waiting if other.token is not None])
        lease.__exit__(None, None, None)

    assert [[], [0], [1], [2]] == served
    assert {"free": 1} == state(tokens)


def test_a_newcomer_does_not_overtake_the_line() -> None:
    """Once a token has rested it is for the line, not for the next request that comes."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))
    use(tokens)

    with tokens.lease() as early:
        assert early.wait(0) is None
        clock.go(10.0)
        with tokens.lease() as late:
            assert late.wait(0) is None
            assert "a" == lend(early).label


def test_a_wait_for_another_kind_does_not_block_the_line() -> None:
    """A request that waits for an API key lets those behind it have the cookies."""
    tokens = TokenRotator([token("key", kind="key"), token("cookie")], clock=Clock())

    with tokens.lease(kinds={"key"}), tokens.lease(kinds={"key"}) as waiting:
        assert waiting.wait(0) is None
        assert "cookie" == use(tokens)
    assert {"free": 2} == state(tokens)


def test_a_request_that_leaves_the_line_is_forgotten() -> None:
    """A client that hangs up while it waits costs the others no turn."""
    tokens = pool("a")
    with tokens.lease() as holder, tokens.lease() as leaver, tokens.lease() as stayer:
        assert {"in_use": 1, "waiting": 2} == state(tokens)
        leaver.__exit__(None, None, None)
        assert {"in_use": 1, "waiting": 1} == state(tokens)
        holder.__exit__(None, None, None)
        assert stayer.token is not None
        assert leaver.token is None


def test_a_waiter_is_woken_when_a_token_comes_back() -> None:
    """A request in another thread has the token at once, not at its next look in an hour."""
    tokens = TokenRotator([token("a")], patience=3600.0)
    in_line = threading.Event()
    got: list[str] = []

    def wait() -> None:
        with tokens.lease() as lease:
            in_line.set()
            lent = lease.wait(3600.0)
            got.append(lent.label if lent else "")

    with tokens.lease():
        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        assert in_line.wait(60)
        assert [] == got
    waiter.join(60)

    assert ["a"] == got
    assert {"free": 1} == state(tokens)


def test_many_threads_share_few_tokens() -> None:
    """However many ask at once, each is served, and no token by two at a time."""
    tokens = TokenRotator([token(label) for label in "abc"], patience=60.0)
    in_use: list[str] = []
    clashes: list[str] = []
    served: list[str] = []

    def work() -> None:
        for _ in range(20):
            with tokens.lease() as lease:
                lent = lease.wait(60)
                assert lent is not None
                if lent.label in in_use:
                    clashes.append(lent.label)
                in_use.append(lent.label)
                time.sleep(0)
                in_use.remove(lent.label)
                served.append(lent.label)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [] == clashes
    assert 240 == len(served)
    assert {"free": 3} == state(tokens)


def test_a_token_that_has_just_rested_is_for_the_first_in_line() -> None:
    """Also if its rest ends while the line is being served, between two requests in it."""
    clock = Clock()

    class Slow(MemoryLedger):
        """Time goes on while it works."""

        def serve(self, line: Iterable[Want]) -> Served:
            def slowly() -> Iterator[Want]:
                for want in line:
                    yield want
                    clock.go(1.0)

            return super().serve(slowly())

    tokens = TokenRotator(
        [token("cookie", limits=(Rest(10.0),)), token("key", kind="key", concurrency=2)],
        clock=clock,
        ledger=Slow(clock=clock),
    )
    use(tokens, kinds={"cookie"})

    holder, _ = (tokens.lease(kinds={"key"}).__enter__() for _ in range(2))
    with tokens.lease(kinds={"cookie"}) as first, tokens.lease() as second:
        clock.now = 1009.5
        holder.__exit__(None, None, None)
        assert ["", "key"] == [one.token.label if one.token else "" for one in (first, second)]
        assert "cookie" == lend(first).label


class Counting:
    """A limit that counts how often it is asked."""

    window = 60.0

    def __init__(self, wait: float) -> None:
        self.asked = 0
        self._wait = wait

    def wait(self, used_at: Sequence[float], now: float) -> float:
        self.asked += 1
        return self._wait if used_at else 0.0


@pytest.mark.parametrize(
    "wait", [pytest.param(0.0, id="all in use"), pytest.param(9.0, id="all resting")]
)
def test_a_long_line_costs_each_request_no_more_than_a_short_one(wait: float) -> None:
    """To come, to look, to be served and to leave is work for each token, not for each in line."""
    work = []
    for length in (2, 200):
        limit = Counting(wait)
        tokens = pool("a", "b", "c", limits=(limit,), patience=1e6, places=1000)
        holders = [tokens.lease().__enter__() for _ in range(3)]
        line = [tokens.lease().__enter__() for _ in range(length)]
        steps = []
        for step in (
            tokens.lease().__enter__,
            lambda last=line[-1]: last.wait(0),
            lambda first=holders[0]: first.__exit__(None, None, None),
            lambda last=line[-1]: last.__exit__(None, None, None),
        ):
            before = limit.asked
            step()
            steps.append(limit.asked - before)
        work.append(steps)

    assert work[0] == work[1]
    assert max(work[0]) <= 3 * len("abc")


def test_two_tokens_of_one_name_are_a_mistake() -> None:
    """What is known of one would be taken for what is known of the other."""
    with pytest.raises(ValueError, match="cookie-1"):
        pool("cookie-1", "cookie-2", "cookie-1")


# ---- what is shown


def test_the_census_counts_each_token_once() -> None:
    """Free, in use, resting and set aside add up to all tokens; the line is counted apart."""
    clock = Clock()
    tokens = TokenRotator(
        [token(label, limits=(Rest(10.0),)) for label in "abcd"], clock=clock, patience=60.0
    )
    use(tokens, TokenRejected("Logged out."))
    use(tokens)

    with tokens.lease(), tokens.lease(), tokens.lease():
        census = tokens.census()

    assert {"in_use": 2, "resting": 1, "suspended": 1, "waiting": 1} == {
        name: count for name, count in census.items() if count
    }
    clock.go(10.0)
    assert {"free": 3, "suspended": 1} == state(tokens)


def test_the_census_has_a_word_for_each_standing() -> None:
    """Also where no token has it, so that a monitor of one figure finds it."""
    tokens = pool(*"abcd")
    use(tokens, TokenLimited("Slow."))
    for one, _ in tokens.states()[1:3]:
        tokens.exhaust(one, "Empty.")

    assert {
        "free": 1,
        "in_use": 0,
        "resting": 0,
        "limited": 1,
        "paused": 0,
        "out_of_points": 2,
        "suspended": 0,
        "retired": 0,
        "waiting": 0,
    } == tokens.census()


def test_the_line_says_how_long_it_is_and_since_when() -> None:
    """How many wait, how many may, and how long the first of them has waited."""
    clock = Clock()
    tokens = pool("a", clock=clock, places=5)
    assert LineState(0, 5, 0.0) == tokens.line()

    with tokens.lease(), tokens.lease():
        clock.go(7.0)
        with tokens.lease():
            clock.go(1.0)
            assert LineState(2, 5, 8.0) == tokens.line()


def test_the_operator_lets_a_token_rest_and_brings_it_back() -> None:
    """Nobody is lent it meanwhile; who waits in line for it is served once it is back."""
    clock = Clock()
    tokens = pool("a", clock=clock)
    tokens.pause(only(tokens), 20.0)

    assert {"paused": 1} == state(tokens)
    with tokens.lease() as lease:
        assert lease.wait(0) is None
        tokens.bring_back(only(tokens))
        assert "a" == lend(lease).label


def test_who_waits_for_a_token_that_the_operator_sets_aside_is_told() -> None:
    """At once, and by whom: Poe has said nothing, and when it ends is not known."""
    tokens = pool("a")
    with tokens.lease(), tokens.lease() as lease:
        tokens.pause(only(tokens), inf)
        with pytest.raises(NoTokenFree, match=r"The operator lets each .* rest") as refused:
            lease.wait(0)

    assert refused.value.retry_after is None
    tokens.pause(only(tokens), 90.0)
    with pytest.raises(NoTokenFree, match="cookie a") as refused:
        use(tokens)
    assert 90 == refused.value.retry_after


def test_a_pause_that_ends_counts_where_the_other_tokens_are_out_of_points() -> None:
    """A request may come again when it is over; one that has no end counts for nothing."""
    tokens = pool("a", "b")
    first, second = (one for one, _ in tokens.states())
    tokens.exhaust(second, "Empty.")
    tokens.pause(first, 90.0)
    with pytest.raises(NoTokenFree, match="cookie a") as refused:
        use(tokens)

    assert 90 == refused.value.retry_after
    tokens.pause(first, inf)
    with pytest.raises(NoPointsLeft, match="cookie b") as empty:
        use(tokens)
    assert empty.value.retry_after is None


def test_requests_that_come_again_after_a_pause_are_told_different_times() -> None:
    """Each of them is promised a time of its own, which the limits allow."""
    tokens = pool("a", limits=(Rest(45.0),), patience=5.0)
    tokens.pause(only(tokens), 90.0)
    told = []
    for _ in range(2):
        with pytest.raises(NoTokenFree, match="The operator") as refused:
            use(tokens)
        told.append(refused.value.retry_after)

    assert [90, 135] == told


def test_what_never_arrived_is_reckoned_from_when_it_had_to() -> None:
    """Also where nothing has happened since: no request waits for what comes too late."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(45.0),), patience=40.0)
    with suppress(GeneratorExit), tokens.lease() as lease:
        assert lend(lease)
        assert lease.may_send(0)
        raise GeneratorExit
    for seconds in (0.0, MARGIN):
        clock.go(seconds)
        with pytest.raises(NoTokenFree), tokens.lease():
            pass
    clock.go(5.0)
    with tokens.lease() as lease:
        clock.go(40.0)
        assert lend(lease)


def test_a_shorter_rest_takes_the_place_of_a_longer_one() -> None:
    """The line knows when it is due."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock)
    first, second = (one for one, _ in tokens.states())
    tokens.pause(first, inf)
    tokens.pause(second, 25.0)
    with tokens.lease() as lease:
        tokens.pause(first, 10.0)
        clock.go(10.0)
        tokens.serve_due()
        assert "a" == lend(lease).label


def test_a_token_may_be_set_aside_while_it_rests() -> None:
    """Its balance was asked for, and Poe no longer knows it: no request waits for it."""
    tokens = pool("a", "b")
    tokens.exhaust(tokens.states()[0][0], "Empty.")
    (exhausted,) = out_of_points(tokens)

    tokens.suspend(exhausted, TokenRejected("Unknown."))

    assert {"free": 1, "suspended": 1} == state(tokens)
    assert [] == out_of_points(tokens)
    assert exhausted not in tokens.accepted()


def test_logs_name_tokens_by_their_labels(caplog: pytest.LogCaptureFixture) -> None:
    """What becomes of a token is logged under its label, with the reason."""
    tokens = pool("cookie-1", "cookie-2")

    with caplog.at_level(logging.INFO):
        use(tokens, TokenRejected("Poe asks for a new login."))
        use(tokens, TokenLimited("Too fast.", retry_after=9))

    assert [
        "cookie-1 is suspended: Poe asks for a new login.",
        "cookie-2 rests for 9 s: Too fast.",
    ] == caplog.messages


def test_logs_know_of_no_time_for_a_token_without_points(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No line says that it rests for `inf` seconds."""
    tokens = pool("key-1")

    with caplog.at_level(logging.WARNING):
        use(tokens, TokenExhausted("Empty."), bot="Sora")
        tokens.exhaust(only(tokens), "The account has no points left.")

    assert [
        "key-1 has no points for Sora: Empty.",
        "key-1 rests until it has points again: The account has no points left.",
    ] == caplog.messages


def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Requests that were under way together are refused together: that is one thing to know."""
    tokens = pool("cookie-1", concurrency=2)

    with caplog.at_level(logging.WARNING), tokens.lease() as lease:
        lend(lease)
        use(tokens, TokenRejected("Logged out."))
        lease.__exit__(TokenRejected, TokenRejected("Logged out."), None)

    assert ["cookie-1 is suspended: Logged out."] == caplog.messages


def test_an_empty_pool_refuses() -> None:
    """Without a single token there is nothing to wait for."""
    empty: Iterable[Token[None]] = ()

    with pytest.raises(NoTokenLeft):
        use(TokenRotator(empty))


# ---- other tokens


def with_left(*tokens: Token[None], **options: Any) -> tuple[TokenRotator[None], list[str]]:
    """A rotator, and the labels of what has left it."""
    left: list[str] = []
    rotator = TokenRotator(
        tokens, clock=Clock(), when_left=lambda token: left.append(token.label), **options
    )
    return rotator, left


def test_tokens_are_replaced_in_one_step() -> None:
    """What is new is lent, what is gone is not; what is known of a token stays with its name."""
    a, b = token("a", limits=(Rest(10.0),)), token("b")
    tokens, left = with_left(a, b)
    assert ["a", "b"] == labels(tokens, 2)

    tokens.replace([a, token("c", kind="key")])

    assert ["b"] == left
    assert {"cookie", "key"} == tokens.kinds
    assert ["c", "c"] == labels(tokens, 2)
    assert {"free": 1, "resting": 1} == state(tokens)


def test_a_token_that_is_replaced_by_its_like_keeps_its_uses() -> None:
    """Its limits and its upstream may change: what it has used is remembered by its id."""
    tokens, left = with_left(token("first", id="1", limits=(Rest(10.0),)))
    assert "first" == use(tokens)

    tokens.replace([token("other", id="1", limits=(Rest(40.0),))], patience=50.0)

    assert ["first"] == left
    with tokens.lease() as lease:
        assert lease.wait(0) is None
        assert 40.0 == tokens.serve_due()


def test_a_token_that_comes_back_is_known() -> None:
    """Nothing is forgotten while an account is out of the settings."""
    tokens, _ = with_left(token("a", limits=(Rest(10.0),)), token("b"))
    use(tokens)

    tokens.replace([token("b")])
    tokens.replace([token("a", limits=(Rest(10.0),)), token("b")])

    assert {"free": 1, "resting": 1} == state(tokens)


def test_a_running_reply_goes_on() -> None:
    """Its token has left the pool when its last lease ends, and that is said once."""
    a = token("a", concurrency=2)
    tokens, left = with_left(a, token("b"))

    with tokens.lease() as one:
        with tokens.lease(avoid={token("b")}) as other:
            assert ["a", "a"] == [lend(lease).label for lease in (one, other)]
            tokens.replace([token("b")])
            assert other.may_send(0)
            tokens.replace([token("b")])
        assert ["b", "b"] == left
        assert a is one.token
    assert ["b", "b", "a"] == left
    assert "b" == use(tokens)


def test_a_token_that_is_back_before_it_has_left_stays() -> None:
    """The same object in the settings again is not closed."""
    a = token("a")
    tokens, left = with_left(a)

    with tokens.lease():
        tokens.replace([token("b")])
        tokens.replace([a])
    assert ["b"] == left
    assert "a" == use(tokens)


def test_a_fault_with_what_has_left_is_not_that_of_a_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the lease ends as any other."""

    def broken(_: Token[None]) -> None:
        raise RuntimeError("a bug")

    tokens = TokenRotator([token("a")], clock=Clock(), when_left=broken)

    with tokens.lease():
        tokens.replace([token("b")])

    assert "a was not closed" in caplog.messages


def test_those_in_line_have_what_is_new() -> None:
    """A request waits for what it wants, not for what there was when it came."""
    tokens, _ = with_left(token("a"))

    with tokens.lease(), tokens.lease() as waiting:
        assert waiting.token is None
        tokens.replace([token("a"), token("b")])
        assert waiting.token is not None
        assert "b" == waiting.token.label


def test_those_in_line_avoid_what_was_tried_under_another_object() -> None:
    """A second try does not meet the account of the first, whatever else of it has changed."""
    tokens, _ = with_left(token("a", id="1"), token("b"))
    with tokens.lease() as lease:
        tried = lend(lease)

    with tokens.lease(), tokens.lease(avoid={tried}) as waiting:
        tokens.replace([token("b"), token("new", id="1")])
        assert waiting.token is None


def test_those_in_line_that_nothing_fits_any_more_are_refused() -> None:
    """At once; those that others fit go on waiting."""
    tokens, _ = with_left(token("key", kind="key"), token("cookie"))

    with tokens.lease(), tokens.lease(), tokens.lease(kinds={"key"}) as one, tokens.lease() as any_:
        tokens.replace([token("cookie")])
        with pytest.raises(NoTokenLeft, match="no Poe account"):
            one.wait(0)
        assert any_.wait(0) is None


def test_those_in_line_that_would_wait_too_long_are_refused() -> None:
    """Limits may have become stricter."""
    tokens, _ = with_left(token("a", limits=(Rest(10.0),)))
    use(tokens)

    with tokens.lease() as waiting:
        tokens.replace([token("a", limits=(Rest(100.0),))])
        with pytest.raises(NoTokenFree) as refusal:
            waiting.wait(0)

    assert 100 == refusal.value.retry_after


def test_a_mistake_changes_nothing() -> None:
    """Two tokens of one name are refused before anything is replaced."""
    tokens, left = with_left(token("a"))

    with pytest.raises(ValueError, match="two tokens"):
        tokens.replace([token("b"), token("b")], places=0)

    assert [] == left
    with tokens.lease() as lease, tokens.lease():
        assert "a" == lend(lease).label


def test_other_values_are_replaced_in_the_same_step() -> None:
    """How long one waits, and how many may; what is not named stays."""
    tokens, _ = with_left(token("a"), patience=30.0, places=5)

    tokens.replace([token("a")], patience=7.0, places=0, points_check=60.0)
    assert (7.0, 60.0) == (tokens.patience, tokens.points_check)
    with tokens.lease() as lease:
        lend(lease)
        with pytest.raises(NoTokenFree):
            use(tokens)

    tokens.replace([token("a")])
    assert (7.0, 60.0) == (tokens.patience, tokens.points_check)


def test_the_audit_log_has_that_an_account_is_suspended_and_back() -> None:
    """Each once, by its label: that Poe refuses it again is no news."""
    tokens = pool("a", ledger=MemoryLedger(clock=Clock()))
    with log_lines() as lines:
        for _ in range(2):
            tokens.suspend(only(tokens), TokenRejected("Log in."))
        tokens.revive(only(tokens))
        tokens.exhaust(only(tokens), "You have no points.")

    assert [
        "a is suspended: Log in.",
        "a is lent again",
        "a rests until it has points again: You have no points.",
    ] == [re.split(" +", line, maxsplit=4)[4] for line in lines.getvalue().splitlines()]


# ---- bots


def test_a_token_may_be_for_some_bots_only() -> None:
    """It is never lent for another one, and serves the named ones in any case."""
    tokens, _ = with_left(token("a", bots=frozenset({"GPT-4o"})), token("b"))

    assert ["b", "b"] == [use(tokens, bot="Sora") for _ in range(2)]
    assert "a" == use(tokens, bot="gpt-4O")
    assert "b" == use(tokens)
    assert "a" == use(tokens)


def test_a_bot_that_no_token_is_for_is_refused() -> None:
    """At once."""
    tokens, _ = with_left(token("a", bots=frozenset({"GPT-4o"})))

    with pytest.raises(NoTokenLeft):
        use(tokens, bot="Sora")


# ---- another chance


def test_a_restart_looks_anew_at_what_was_set_aside() -> None:
    """An operator who restarts may have mended what Poe refused."""
    ledger, clock = MemoryLedger(clock=Clock()), Clock()
    rejected = token("a")
    before = TokenRotator([rejected], clock=clock, ledger=ledger)
    before.suspend(rejected, TokenRejected("Log in."))
    assert [60.0] == [state.next_look for _, state in before.states()]

    after = TokenRotator([token("a")], clock=clock, ledger=ledger)
    assert [0.0] == [state.next_look for _, state in after.states()]


def test_another_way_to_poe_is_looked_at_at_once() -> None:
    """A reload with another proxy, say; a reload that changes nothing says nothing."""
    one, other = object(), object()
    rejected = Token("a", one)
    tokens = TokenRotator([rejected], clock=Clock(), ledger=MemoryLedger(clock=Clock()))
    tokens.suspend(rejected, TokenRejected("Log in."))
    looks = []
    for upstream in (one, other):
        tokens.replace([Token("a", upstream, limits=(Rest(10.0),))])
        looks += [state.next_look for _, state in tokens.states()]

    assert [60.0, 0.0] == looks


def test_a_doubt_outlasts_a_reload() -> None:
    """Other limits make another token of the same account."""
    tokens = TokenRotator([token("a", limits=(Rest(0.0),))], clock=Clock())
    use(tokens, TokenExhausted("No points for this bot."), bot="Veo-3")
    tokens.replace([token("a", limits=(Rest(10.0),))])
    assert ["a"] == [one.label for one in tokens.doubted()]

    tokens.replace([token("b")])
    assert [] == tokens.doubted()


def test_a_doubt_holds_until_the_balance_may_be_known() -> None:
    """However often balances are checked: the bot is not asked for again before."""
    tokens = TokenRotator([token("a")], clock=Clock(), points_check=0.3)

    use(tokens, TokenExhausted("No points for this bot."), bot="Veo-3")
    with pytest.raises(NoTokenFree) as refusal:
        use(tokens, bot="Veo-3", deadline=1010.0)
    assert 15 == refusal.value.retry_after
