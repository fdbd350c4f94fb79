"""How long a token rests, and how long a request waits for one."""

from __future__ import annotations

import time

import pytest

from poe_proxy.errors import (
    NoTokenFree,
    TokenLimited,
)
from poe_proxy.net.background import Background
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import TokenRotator

from ..fakes import Clock
from .fixtures import labels, lend, pool, state, token, use

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
    tokens = pool("a", clock=clock, patience=100.0, limits=(Within(2, 60.0),))
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
    tokens = pool("a", clock=clock, patience=100.0, limits=(Rest(10.0), Within(2, 60.0)))

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
    tokens = TokenRotator([token("a", limits=(Rest(0.03),))], patience=3600.0)
    began = time.monotonic()
    use(tokens)

    with tokens.lease() as lease:
        waiting = Background(lambda: lease.wait(3600.0))
        assert waiting.wait(60.0)
        assert waiting.result() is not None

    assert 0.03 <= time.monotonic() - began + 0.005


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

    with tokens.lease(), tokens.lease() as lease:
        waiting = Background(lambda: lease.wait(3600.0))
        assert waiting.wait(60.0)
        with pytest.raises(NoTokenFree):
            waiting.result()


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
