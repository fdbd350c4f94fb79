"""The rotator: which request gets which token, which one waits, and what becomes of a token."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from math import inf
from typing import Any

import pytest

from poe_proxy.errors import (
    BotFailed,
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamTimeout,
)
from poe_proxy.pool.ledger import Ledger
from poe_proxy.pool.limits import PerMinute, Rest
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import Lease, Token, TokenRotator

from ..fakes import Clock


def token(label: str, **options: Any) -> Token[None]:
    return Token(label, None, **options)


def pool(
    *labels: str,
    clock: Clock | None = None,
    patience: float = 30.0,
    ledger: Ledger | None = None,
    **options: Any,
) -> TokenRotator[None]:
    """A rotator over tokens that are all alike."""
    tokens = [token(label, **options) for label in labels]
    return TokenRotator(tokens, patience=patience, clock=clock or Clock(), ledger=ledger)


def lend(lease: Lease[None]) -> Token[None]:
    """The token of a lease that must have one by now."""
    lent = lease.wait(0)
    assert lent is not None
    return lent


def use(tokens: TokenRotator[None], failure: BaseException | None = None, **wish: Any) -> str:
    """Lease a token for a moment; let the block end with *failure*. Return its label."""
    label = ""
    try:
        with tokens.lease(**wish) as lease:
            label = lend(lease).label
            if failure is not None:
                raise failure
    except BaseException as raised:
        if raised is not failure:
            raise
    return label


def labels(tokens: TokenRotator[None], times: int) -> list[str]:
    return [use(tokens) for _ in range(times)]


def state(tokens: TokenRotator[None]) -> dict[str, int]:
    """The census without its zeros."""
    return {name: count for name, count in tokens.census().items() if count}


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
    """A request in another thread has the token at once, not at its next look."""
    tokens = TokenRotator([token("a")], patience=30.0)
    in_line = threading.Event()
    got: list[tuple[str, float]] = []

    def wait() -> None:
        with tokens.lease() as lease:
            in_line.set()
            lent = lease.wait(20.0)
            got.append((lent.label if lent else "", time.monotonic()))

    with tokens.lease():
        waiter = threading.Thread(target=wait)
        waiter.start()
        in_line.wait(5)
        given_back = time.monotonic()
    waiter.join(10)

    assert ["a"] == [label for label, _ in got]
    assert got[0][1] - given_back < 5
    assert {"free": 1} == state(tokens)


def test_many_threads_share_few_tokens() -> None:
    """However many ask at once, each is served, and no token by two at a time."""
    tokens = TokenRotator([token(label) for label in "abc"], patience=30.0)
    in_use: list[str] = []
    clashes: list[str] = []
    served: list[str] = []

    def work() -> None:
        for _ in range(20):
            with tokens.lease() as lease:
                lent = lease.wait(10)
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
        thread.join(20)

    assert [] == clashes
    assert 240 == len(served)
    assert {"free": 3} == state(tokens)


def test_a_token_that_has_just_rested_is_for_the_first_in_line() -> None:
    """Also if its rest ends while the line is being served, between two requests in it."""
    clock = Clock()

    class Slow(MemoryLedger):
        """Time goes on while it works."""

        def take(self, names: Collection[str], lease: str) -> str | None:
            taken = super().take(names, lease)
            clock.go(1.0)
            return taken

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
        tokens = pool("a", "b", "c", limits=(limit,))
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


# ---- resting


def test_a_used_token_rests() -> None:
    """COOL_DOWN counts from one use to the next, however short the reply was."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))
    use(tokens)

    clock.go(9.9)
    assert {"resting": 1} == state(tokens)
    clock.go(0.1)
    assert {"free": 1} == state(tokens)


def test_a_token_over_its_rate_rests() -> None:
    """RATE_LIMIT uses within a minute, then none until the first of them is a minute old."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=100.0, limits=(PerMinute(2),))
    use(tokens)
    clock.go(20.0)
    use(tokens)

    with tokens.lease() as lease:
        assert lease.wait(0) is None
        clock.go(39.9)
        assert lease.wait(0) is None
        clock.go(0.1)
        assert "a" == lend(lease).label


def test_the_stricter_limit_decides() -> None:
    """With several limits a token is free once all of them allow it."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=100.0, limits=(Rest(10.0), PerMinute(2)))

    use(tokens)
    clock.go(10.0)
    use(tokens)
    clock.go(10.0)

    assert {"resting": 1} == state(tokens)
    clock.go(40.0)
    assert {"free": 1} == state(tokens)


def test_a_token_without_limits_never_rests() -> None:
    """RATE_LIMIT=0 and COOL_DOWN=0 let a token be used without a pause."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    tokens = pool("a", clock=clock, ledger=ledger)

    assert 0.0 == ledger.state(["a"])["a"].rest
    assert ["a"] * 100 == labels(tokens, 100)
    assert 0.0 == ledger.state(["a"])["a"].rest


def test_a_waiter_takes_a_token_as_soon_as_it_has_rested() -> None:
    """Nothing is woken by the end of a rest, so a waiting request looks again at that very time."""
    tokens = TokenRotator([token("a", limits=(Rest(0.03),))], patience=10.0)
    began = time.monotonic()
    use(tokens)

    with tokens.lease() as lease:
        assert lease.wait(5.0) is not None

    assert 0.03 <= time.monotonic() - began + 0.005 < 2.0


# ---- how long one waits


def test_a_wait_comes_in_steps() -> None:
    """Waiting returns None now and then, so that the caller can look after its client."""
    tokens = pool("a")

    with tokens.lease(), tokens.lease() as lease:
        assert [None, None] == [lease.wait(0.001), lease.wait(0)]


def test_the_line_ends_at_the_deadline() -> None:
    """After QUEUE_TIMEOUT seconds a request is refused, although a token may come back soon."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=30.0)

    with tokens.lease():
        with tokens.lease() as lease:
            clock.go(29.9)
            assert lease.wait(0) is None
            clock.go(0.1)
            with pytest.raises(NoTokenFree) as refusal:
                lease.wait(0)
        assert 1 == refusal.value.retry_after
        assert {"in_use": 1} == state(tokens)


def test_a_wait_does_not_outlast_the_deadline() -> None:
    """A wait that is meant to last longer than the line is refused at its end."""
    tokens = TokenRotator([token("a")], patience=0.03)
    began = time.monotonic()

    with tokens.lease(), tokens.lease() as lease, pytest.raises(NoTokenFree):
        lease.wait(20.0)

    assert time.monotonic() - began < 5.0


def test_a_second_try_inherits_the_deadline_of_the_first() -> None:
    """A deadline that is given counts instead of a new QUEUE_TIMEOUT."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=30.0)
    deadline = tokens.now() + tokens.patience
    clock.go(25.0)

    with tokens.lease(), tokens.lease(deadline=deadline) as lease:
        clock.go(4.9)
        assert lease.wait(0) is None
        clock.go(0.2)
        with pytest.raises(NoTokenFree):
            lease.wait(0)


def test_a_free_token_is_lent_although_the_deadline_is_over() -> None:
    """No request is refused while a token is free: with QUEUE_TIMEOUT=0 too."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=0.0)

    assert "a" == use(tokens)
    assert "a" == use(tokens, deadline=clock.now - 10)
    with tokens.lease(), pytest.raises(NoTokenFree):
        use(tokens)


@pytest.mark.parametrize(
    ("rest", "patience", "retry_after"),
    [
        pytest.param(10.0, 9.9, 10, id="just too long"),
        pytest.param(40.0, 30.0, 40, id="too long"),
        pytest.param(40.2, 30.0, 41, id="rounded up"),
        pytest.param(0.2, 0.0, 1, id="at least a second"),
    ],
)
def test_a_hopeless_wait_is_refused_at_once(rest: float, patience: float, retry_after: int) -> None:
    """If no token can be free before the deadline, the answer is at once when one will be."""
    tokens = pool("a", patience=patience, limits=(Rest(rest),))
    use(tokens)

    with pytest.raises(NoTokenFree) as refusal:
        tokens.lease().__enter__()

    assert retry_after == refusal.value.retry_after
    assert f"{retry_after} s" in refusal.value.message
    assert {"resting": 1} == state(tokens)


def test_a_wait_that_fits_is_not_hopeless() -> None:
    """A rest that ends with the deadline, or before it, is waited for."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=10.0, limits=(Rest(10.0),))
    use(tokens)

    with tokens.lease() as lease:
        assert lease.wait(0) is None
        clock.go(10.0)
        assert "a" == lend(lease).label


def test_the_soonest_token_decides_how_long_to_wait() -> None:
    """Retry-After is the rest of the token that will be free first, of those that fit."""
    clock = Clock()
    tokens = TokenRotator(
        [
            token("a", limits=(Rest(90.0),)),
            token("b", limits=(Rest(50.0),)),
            token("k", kind="key"),
        ],
        patience=5.0,
        clock=clock,
    )
    use(tokens, kinds={"cookie"})
    use(tokens, kinds={"cookie"})

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens, kinds={"cookie"})

    assert 50 == refusal.value.retry_after


def test_a_wait_may_become_hopeless() -> None:
    """A request in line is refused as soon as its token has to rest for too long."""
    tokens = pool("a", patience=30.0)
    holder = tokens.lease()
    lend(holder.__enter__())

    with tokens.lease() as lease:
        assert lease.wait(0) is None
        limited = TokenLimited("Slow down.", retry_after=120)
        holder.__exit__(TokenLimited, limited, None)
        with pytest.raises(NoTokenFree) as refusal:
            lease.wait(0)

    assert 120 == refusal.value.retry_after


# ---- how a lease ends


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(None, id="success"),
        pytest.param(BotFailed("It broke."), id="failure at Poe"),
        pytest.param(UpstreamTimeout("Silence."), id="silence"),
        pytest.param(ZeroDivisionError(), id="fault of our own"),
        pytest.param(GeneratorExit(), id="hang-up"),
        pytest.param(KeyboardInterrupt(), id="ctrl-c"),
        pytest.param(SystemExit(), id="end of the process"),
    ],
)
def test_a_lease_is_always_given_back(failure: BaseException | None) -> None:
    """However a reply ends, its token is free again, and has lost nothing."""
    tokens = pool("a")

    use(tokens, failure)

    assert {"free": 1} == state(tokens)


def test_a_lease_lets_failures_pass() -> None:
    """The block's failure goes on to those above."""
    with pytest.raises(BotFailed), pool("a").lease():
        raise BotFailed("It broke.")


def test_a_lease_is_given_back_once() -> None:
    """Leaving a lease twice does not free a token that another lease has by now."""
    tokens = pool("a")
    lease = tokens.lease()
    lend(lease.__enter__())
    lease.__exit__(None, None, None)

    with tokens.lease() as other:
        assert "a" == lend(other).label
        lease.__exit__(None, None, None)
        assert {"in_use": 1} == state(tokens)


def test_a_rejected_token_never_comes_back() -> None:
    """A rejection by Poe sets a token aside for good; the others take all turns."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock)

    assert "a" == use(tokens, TokenRejected("Logged out."))

    assert ["b", "b", "b"] == labels(tokens, 3)
    clock.go(1e9)
    assert ["b", "b"] == labels(tokens, 2)
    assert {"free": 1, "retired": 1} == state(tokens)


def test_replies_in_flight_do_not_bring_a_rejected_token_back() -> None:
    """A reply that ends well on a token rejected meanwhile changes nothing."""
    tokens = pool("a", concurrency=2)
    with tokens.lease() as lease:
        lend(lease)
        use(tokens, TokenRejected("Logged out."))

    assert {"retired": 1} == state(tokens)


def test_without_any_token_left_there_is_no_line() -> None:
    """Once the last token is rejected, requests are refused at once, in line or not."""
    tokens = pool("a")
    holder = tokens.lease()
    lend(holder.__enter__())

    with tokens.lease() as waiting:
        assert waiting.wait(0) is None
        holder.__exit__(TokenRejected, TokenRejected("Logged out."), None)
        with pytest.raises(NoTokenLeft):
            waiting.wait(0)
    with pytest.raises(NoTokenLeft):
        use(tokens)
    assert {"retired": 1} == state(tokens)


@pytest.mark.parametrize(
    ("failure", "rest"),
    [
        pytest.param(TokenLimited("Slow."), 30.0, id="limited"),
        pytest.param(TokenLimited("Slow.", retry_after=7.0), 7.0, id="limited, with a time"),
        pytest.param(TokenLimited("Slow.", retry_after=0.001), 1.0, id="limited, hardly"),
        pytest.param(TokenLimited("Slow.", retry_after=0.0), 1.0, id="limited, no longer"),
        pytest.param(UpstreamBlocked("Robot?"), 60.0, id="blocked"),
        pytest.param(UpstreamBlocked("Robot?", retry_after=9.0), 9.0, id="blocked, with a time"),
    ],
)
def test_a_tired_token_rests(failure: BaseException, rest: float) -> None:
    """A token that had its share rests as long as Poe says, else as long as the class says."""
    clock = Clock()
    tokens = pool("a", clock=clock)

    use(tokens, failure)

    clock.go(rest - 0.01)
    assert {"resting": 1} == state(tokens)
    clock.go(0.02)
    assert {"free": 1} == state(tokens)


def test_a_long_rest_is_not_cut_short_by_a_second_failure() -> None:
    """Of two rests the longer one holds."""
    clock = Clock()
    tokens = pool("a", clock=clock, concurrency=2)
    with tokens.lease() as lease:
        lend(lease)
        use(tokens, TokenLimited("Slow.", retry_after=100))
        lease.__exit__(TokenLimited, TokenLimited("Slow.", retry_after=5), None)

    clock.go(99.0)
    assert {"resting": 1} == state(tokens)


# ---- points


def test_if_all_are_out_of_points_the_answer_says_that() -> None:
    """Accounts without points are another answer than accounts that rest."""
    tokens = pool("a", "b", patience=5.0)
    use(tokens, TokenExhausted("Empty.", retry_after=100))
    use(tokens, TokenExhausted("Empty.", retry_after=50))

    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens)

    assert refusal.value.retry_after is None


def test_if_one_only_rests_points_are_not_the_matter() -> None:
    """One account that merely rests makes it worth a later try."""
    tokens = pool("a", "b", patience=5.0)
    use(tokens, TokenExhausted("Empty.", retry_after=10))
    use(tokens, TokenLimited("Slow.", retry_after=50))

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)

    assert not isinstance(refusal.value, NoPointsLeft)
    assert 50 == refusal.value.retry_after


def test_a_token_without_points_rests_until_it_is_revived() -> None:
    """It does not come back by time alone, whatever Poe says about time."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    tokens = pool("a", clock=clock, ledger=ledger)
    use(tokens, TokenExhausted("Empty.", retry_after=5))
    clock.go(1e9)

    with pytest.raises(NoPointsLeft) as refusal:
        use(tokens)
    assert refusal.value.retry_after is None
    (empty,) = tokens.exhausted()
    assert inf == ledger.state(["a"])["a"].rest

    tokens.revive(empty)

    assert [] == tokens.exhausted()
    assert "a" == use(tokens)


def test_reviving_serves_the_line() -> None:
    """The first in line gets the revived token without asking again."""
    tokens = TokenRotator([token("a"), token("b")], clock=Clock())
    use(tokens, TokenExhausted("Empty."))

    with tokens.lease() as holder, tokens.lease() as waiting:
        assert "b" == lend(holder).label
        assert waiting.token is None
        tokens.revive(tokens.exhausted()[0])
        assert waiting.token is not None
        assert "a" == waiting.token.label


def test_a_revived_token_serves_as_many_as_it_can() -> None:
    """As many of the line are served at once as the token serves at a time."""
    tokens = TokenRotator([token("a", concurrency=2), token("b")], clock=Clock())
    use(tokens, TokenExhausted("Empty."))

    with tokens.lease(), tokens.lease() as one, tokens.lease() as two, tokens.lease() as three:
        tokens.revive(tokens.exhausted()[0])
        assert [True, True, False] == [lease.token is not None for lease in (one, two, three)]


def test_every_token_without_points_is_known() -> None:
    """Whatever its kind: its balance decides when it comes back."""
    tokens = TokenRotator([token("cookie"), token("key", kind="key"), token("fit")], clock=Clock())

    use(tokens, TokenExhausted("Empty."))
    use(tokens, TokenExhausted("Empty."))

    assert ["cookie", "key"] == [one.label for one in tokens.exhausted()]
    assert {"free": 1, "resting": 2} == state(tokens)


def test_a_token_that_is_revived_is_no_longer_out_of_points() -> None:
    """Once it has points again it counts as a token like any other."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=1.0)
    use(tokens, TokenExhausted("Empty."))
    tokens.revive(tokens.exhausted()[0])
    use(tokens, TokenLimited("Slow.", retry_after=10))

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens)

    assert NoTokenFree is type(refusal.value)


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

    assert {"free": 0, "in_use": 2, "resting": 1, "retired": 1, "waiting": 1} == census
    clock.go(10.0)
    assert {"free": 3, "retired": 1} == state(tokens)


def test_a_token_may_be_set_aside_while_it_rests() -> None:
    """Its balance was asked for, and Poe no longer knows it: no request waits for it."""
    tokens = pool("a", "b")
    use(tokens, TokenExhausted("Empty."))
    (exhausted,) = tokens.exhausted()

    tokens.retire(exhausted, TokenRejected("Unknown."))

    assert {"free": 1, "retired": 1} == state(tokens)
    assert [] == tokens.exhausted()
    assert exhausted not in tokens.accepted()


def test_logs_name_tokens_by_their_labels(caplog: pytest.LogCaptureFixture) -> None:
    """What becomes of a token is logged under its label, with the reason."""
    tokens = pool("cookie-1", "cookie-2")

    with caplog.at_level(logging.INFO):
        use(tokens, TokenRejected("Poe asks for a new login."))
        use(tokens, TokenLimited("Too fast.", retry_after=9))

    assert [
        "cookie-1 is set aside: Poe asks for a new login.",
        "cookie-2 rests for 9 s: Too fast.",
    ] == caplog.messages


def test_logs_know_of_no_time_for_a_token_without_points(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No line says that it rests for `inf` seconds."""
    with caplog.at_level(logging.WARNING):
        use(pool("key-1"), TokenExhausted("Empty."))

    assert ["key-1 rests until it has points again: Empty."] == caplog.messages


def test_an_empty_pool_refuses() -> None:
    """Without a single token there is nothing to wait for."""
    empty: Iterable[Token[None]] = ()

    with pytest.raises(NoTokenLeft):
        use(TokenRotator(empty))


# ---- sending


def test_a_use_counts_from_when_it_is_sent() -> None:
    """A login may take its time between the two: the token rests behind what Poe has seen."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),))

    with tokens.lease() as lease:
        lend(lease)
        clock.go(7)
        assert lease.may_send(0)
    clock.go(9)
    assert 1 == tokens.census()["resting"]
    clock.go(1)
    assert 1 == tokens.census()["free"]


def test_what_is_lent_holds_its_place_until_it_is_sent() -> None:
    """A use that was never sent counts from when the token was lent."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),))

    with tokens.lease() as lease:
        lend(lease)
        clock.go(7)
    clock.go(2)
    assert 1 == tokens.census()["resting"]
    clock.go(1)
    assert 1 == tokens.census()["free"]


def test_what_is_sent_twice_counts_twice() -> None:
    """Within a lease a token rests like between two, and the second use is one for the limits."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(PerMinute(2), Rest(10)), patience=100.0)

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(0)
        assert not lease.may_send(0)
        clock.go(9)
        assert not lease.may_send(0)
        clock.go(1)
        assert lease.may_send(0)
        clock.go(10)
        assert not lease.may_send(0)
        clock.go(40)
        assert lease.may_send(0)


def test_of_two_that_were_lent_one_after_the_other_neither_is_sent_too_soon() -> None:
    """Where logins take longer than the rest, one waits for the other all the same."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first, tokens.lease() as second:
        lend(first)
        clock.go(10)
        lend(second)
        clock.go(2)
        assert not first.may_send(0)
        assert second.may_send(0)
        clock.go(9)
        assert not first.may_send(0)
        clock.go(1)
        assert first.may_send(0)


def test_a_use_that_is_older_than_every_limit_does_no_harm() -> None:
    """What was noted at the lending may be forgotten by the time it is sent."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as slow:
        lend(slow)
        clock.go(100)
        use(tokens)
        assert not slow.may_send(0)
        clock.go(10)
        assert slow.may_send(0)


def test_a_lease_that_waits_to_send_comes_before_the_line() -> None:
    """A request that has its token is not overtaken, time and again, by those without one."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first:
        lend(first)
        assert first.may_send(0)
        assert not first.may_send(0)
        with tokens.lease() as other:
            clock.go(10)
            assert other.wait(0) is None
            assert first.may_send(0)
            clock.go(10)
            assert other.wait(0)


def test_a_lease_that_gives_up_waiting_to_send_lets_the_line_on() -> None:
    """The token of one that hung up meanwhile is lent as soon as it is rested."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10),), concurrency=2)

    with tokens.lease() as first:
        lend(first)
        assert first.may_send(0)
        assert not first.may_send(0)
    with tokens.lease() as other:
        clock.go(10)
        assert other.wait(0)


def test_sending_waits_no_longer_than_a_place_in_line() -> None:
    """If the rest is longer than that, the request ends, and says when it may come again."""
    tokens = pool("a", limits=(Rest(10),), patience=5.0)

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(0)
        with pytest.raises(NoTokenFree) as refusal:
            lease.may_send(0)

    assert 10 == refusal.value.retry_after


def test_sending_waits_for_the_token_and_not_for_long() -> None:
    """A wait for time to pass ends with that time, or with the seconds that were asked for."""
    tokens = TokenRotator([token("a", limits=(Rest(0.05),))])

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(10)
        began = time.monotonic()
        assert not lease.may_send(10)
        assert time.monotonic() - began < 5
        assert lease.may_send(10)
