"""What becomes of a token: how a lease ends, points that ran out, and each sending."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace

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
from poe_proxy.pool import rotator
from poe_proxy.pool.limits import Within, Rest
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import TokenRotator

from ..fakes import Clock
from .fixtures import labels, lend, pool, state, token, use

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
    tokens = pool("a", clock=clock, limits=(Within(2, 60.0), Rest(10)), patience=100.0)

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


def test_sending_waits_for_the_token_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for time to pass ends with that time, or with the seconds that were asked for."""
    clock = Clock()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.go(seconds)

    monkeypatch.setattr(rotator, "time", SimpleNamespace(sleep=sleep))
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))

    with tokens.lease() as lease:
        lend(lease)
        assert lease.may_send(3600.0)
        assert not lease.may_send(4.0)
        assert not lease.may_send(3600.0)
        assert lease.may_send(3600.0)

    assert [4.0, 6.0] == waited
