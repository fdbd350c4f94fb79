"""How long a token rests, and how long a request waits for one."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from math import inf
from typing import Any

import pytest

from poe_proxy.errors import (
    NoTokenFree,
    NoTokenLeft,
    TokenLimited,
    TokenRejected,
    UpstreamOverloaded,
)
from poe_proxy.net.background import Background
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.line import prospects
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.rotator import Lease, TokenRotator

from ..fakes import Clock, until
from .fixtures import labels, lend, pool, sends, state, token, use

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
    """The end of a rest serves the request that waits for it, at that very time."""
    tokens = TokenRotator([token("a", limits=(Rest(0.03),))], patience=3600.0)
    began = time.monotonic()
    use(tokens)

    with tokens.lease() as lease:
        waiting = Background(lambda: lease.wait(3600.0))
        assert waiting.wait(60.0)
        assert waiting.result() is not None

    # A sleep may end a little early.
    assert 0.025 <= time.monotonic() - began


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


def test_a_wait_may_become_hopeless_when_a_use_comes_late() -> None:
    """What was lent is used only after a login: those in line whose turn is too late by that are
    told as soon as it is known."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=30.0, concurrency=9, limits=(Rest(10.0),))
    with tokens.lease() as first, tokens.lease(), tokens.lease(), tokens.lease() as last:
        clock.go(0.5)
        assert sends(first)
        with pytest.raises(NoTokenFree) as refusal:
            last.wait(0)

    # Three pauses, and a moment until each of the uses between them has arrived.
    assert 31 == refusal.value.retry_after


def test_a_wait_may_become_hopeless_in_another_thread() -> None:
    """It ends at once, not with the next look at the client."""
    tokens = TokenRotator([token("a")], patience=3600.0)
    holder = tokens.lease().__enter__()

    with tokens.lease() as lease:
        waiting = Background(lambda: lease.wait(3600.0))
        holder.__exit__(TokenRejected, TokenRejected("Logged out."), None)
        assert waiting.wait(60.0)
        with pytest.raises(NoTokenLeft):
            waiting.result()


# ---- the line counts itself


def knock(tokens: TokenRotator[None], **wish: Any) -> Lease[None] | float:
    """Ask for a token: a place in line, or the seconds after which one may come again."""
    lease = tokens.lease(**wish)
    try:
        return lease.__enter__()
    except NoTokenFree as refusal:
        return refusal.retry_after or inf


def test_those_who_cannot_be_served_in_time_are_refused_at_once() -> None:
    """Of 1,500 requests for one account only those wait that it can serve within QUEUE_TIMEOUT;
    each of the others is given a time of its own, as the account allows."""
    tokens = pool("a", patience=30.0, limits=(Rest(10.0),))

    answers = [knock(tokens) for _ in range(1500)]

    assert [False] * 4 + [True] * 1496 == [isinstance(answer, float | int) for answer in answers]
    assert [40 + 10 * place for place in range(1496)] == answers[4:]
    assert {"in_use": 1, "waiting": 3} == state(tokens)


def test_those_who_come_back_when_they_may_are_served() -> None:
    """None of them meets another one, and none finds the account at rest."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=10.0, limits=(Rest(10.0),))
    began = clock.now
    with tokens.lease() as first, tokens.lease() as second:
        times = [knock(tokens) for _ in range(20)]
        assert sends(first)
        first.__exit__(None, None, None)
        clock.go(10.0)
        assert sends(second) if second.wait(0) else False

    for seconds in times:
        assert isinstance(seconds, int)
        clock.now = began + seconds
        with tokens.lease() as lease:
            lend(lease)
            assert sends(lease)


def test_times_are_given_as_the_limits_allow_them() -> None:
    """So many within a minute, then none until the first of them is a minute old."""
    tokens = pool("a", patience=0.0, concurrency=3, limits=(Within(3, 60.0),))
    for _ in range(3):
        use(tokens)

    assert [60, 60, 60, 120, 120, 120, 180] == [knock(tokens) for _ in range(7)]


def test_times_are_given_for_the_tokens_that_fit() -> None:
    """Requests that another kind may serve come back for that."""
    tokens = TokenRotator(
        [token("a", limits=(Rest(40.0),)), token("k", kind="key", limits=(Rest(100.0),))],
        patience=0.0,
        clock=Clock(),
    )
    use(tokens, kinds={"cookie"})
    use(tokens, kinds={"key"})

    wishes: list[dict[str, Any]] = [{"kinds": {"cookie"}}, {"kinds": {"key"}}, {}, {}]

    assert [40, 100, 80, 120] == [knock(tokens, **wish) for wish in wishes]


def test_a_promise_keeps_no_newcomer_out() -> None:
    """Refused requests may never come back: one that comes while there is room waits."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=10.0, limits=(Rest(10.0),))
    with tokens.lease() as lease, tokens.lease():
        assert sends(lease)
        assert [20, 30] == [knock(tokens) for _ in range(2)]
    clock.go(5.0)

    with tokens.lease() as newcomer:
        assert newcomer.wait(0) is None
        clock.go(5.0)
        assert "a" == lend(newcomer).label


def test_times_that_are_over_are_forgotten() -> None:
    """A time that was promised to some request an hour ago is of no use to anyone."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=0.0, limits=(Rest(10.0),))
    use(tokens)
    assert [10, 20, 30] == [knock(tokens) for _ in range(3)]

    clock.go(3600.0)
    use(tokens)

    assert 10 == knock(tokens)


def test_the_book_of_times_is_bounded() -> None:
    """However many are refused, no more is kept than so much; those behind hear the last time."""
    tokens = pool("a", patience=0.0, limits=(Rest(1.0),))
    use(tokens)

    times = [knock(tokens) for _ in range(prospects.MOST_PROMISES + 5)]

    assert prospects.MOST_PROMISES + 1 == len(set(times))
    assert [prospects.MOST_PROMISES + 1] * 5 == times[-5:]


def test_the_line_has_so_many_places() -> None:
    """QUEUE_SIZE requests may wait; the next one is refused at once, whatever the tokens allow."""
    tokens = pool("a", places=2)

    with tokens.lease(), tokens.lease(), tokens.lease() as last:
        assert 1 == knock(tokens)
        assert {"in_use": 1, "waiting": 2} == state(tokens)
        last.__exit__(None, None, None)
        assert not isinstance(knock(tokens), int)


def test_a_request_that_hangs_up_makes_room() -> None:
    """Its place in line is for the next one."""
    tokens = pool("a", patience=20.0, limits=(Rest(10.0),))
    use(tokens)

    with tokens.lease(), tokens.lease() as leaver:
        assert 30 == knock(tokens)
        leaver.__exit__(None, None, None)
        assert not isinstance(knock(tokens), int)


def test_a_request_that_fits_little_is_not_kept_out_by_those_that_fit_much() -> None:
    """Each place is reckoned with the token that can serve it first."""
    tokens = TokenRotator(
        [token("a", limits=(Rest(10.0),)), token("k", kind="key", limits=(Rest(10.0),))],
        patience=10.0,
        clock=Clock(),
    )
    use(tokens)
    use(tokens)

    with tokens.lease(kinds={"cookie"}), tokens.lease():
        assert [20, 20] == [knock(tokens, kinds={kind}) for kind in ("cookie", "key")]


def test_a_limit_of_one_bot_is_a_wait_for_this_bot_alone() -> None:
    """The time that clients hear is that of the bot they ask."""
    tokens = pool("a", patience=5.0)
    use(tokens, UpstreamOverloaded("Busy.", retry_after=50.0), bot="Sora")

    with pytest.raises(NoTokenFree) as refusal:
        use(tokens, bot="sora")

    assert 50 == refusal.value.retry_after
    assert "Busy." in refusal.value.message
    assert "a" == use(tokens, bot="GPT-4o")


# ---- how long replies take


def answers_within(seconds: float, *, patience: float, places: int) -> TokenRotator[None]:
    """A pool of one that has given *places* answers, each of them in *seconds*."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=patience)
    for _ in range(places):
        with tokens.lease() as lease:
            lend(lease)
            clock.go(seconds)
    return tokens


def test_replies_that_are_always_long_are_counted_in() -> None:
    """Whoever would wait behind one that has just begun, and behind another one, is refused."""
    tokens = answers_within(20.0, patience=30.0, places=40)

    with tokens.lease(), tokens.lease():
        assert 40 == knock(tokens)


def test_replies_that_may_be_short_refuse_nobody() -> None:
    """What is not known to last is taken to end at any moment."""
    tokens = answers_within(20.0, patience=30.0, places=1)

    with tokens.lease(), tokens.lease(), tokens.lease() as third:
        assert third.wait(0) is None


def test_one_that_waits_is_not_refused_for_a_reply_that_lasts() -> None:
    """Only limits and rests are certain: a reply may always end."""
    clock = Clock()
    tokens = pool("a", "b", clock=clock, patience=30.0)
    for _ in range(80):
        with tokens.lease() as lease:
            lend(lease)
            clock.go(20.0)

    with tokens.lease(), tokens.lease() as other, tokens.lease(), tokens.lease() as last:
        other.__exit__(TokenRejected, TokenRejected("Logged out."), None)
        assert last.wait(0) is None


def test_a_login_before_each_request_is_counted_in() -> None:
    """A use counts from its sending: what is always sent late makes those that follow later."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=30.0, limits=(Rest(10.0),))
    for _ in range(40):
        with tokens.lease() as lease:
            clock.go(3.0)
            assert sends(lease)
        clock.go(10.0)

    with tokens.lease() as lease, tokens.lease(), tokens.lease():
        assert 10 + 13 + 13 == knock(tokens)


# ---- those of one client


def test_a_chat_does_not_wait_for_its_own_title() -> None:
    """A web client asks for a title first; the answer that is read as it is written goes first."""
    tokens = pool("a")
    with (
        tokens.lease(client="me") as holder,
        tokens.lease(client="me") as title,
        tokens.lease(client="you") as other,
        tokens.lease(client="me", streams=True) as chat,
    ):
        served = []
        for lease in (holder, chat, other, title):
            assert lease.token is not None
            lease.__exit__(None, None, None)
            served.append([one.token is not None for one in (title, other, chat)])

    assert [[False, False, True], [False, True, False], [True, False, False]] == served[:3]


def test_the_last_that_is_let_in_is_served() -> None:
    """Three pauses of ten seconds take more than thirty: a request needs a moment to arrive."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10.0),), patience=30.0)

    def send(lease: Lease[None]) -> None:
        assert lease.may_send(0)
        clock.go(0.4)
        lease.arrived()

    with tokens.lease() as first:
        lend(first)
        send(first)
    clock.go(60.0)
    with ExitStack() as stack:
        line = [stack.enter_context(tokens.lease()) for _ in range(3)]
        with pytest.raises(NoTokenFree):
            stack.enter_context(tokens.lease())
        for lease in line:
            lend(lease)
            send(lease)
            lease.__exit__(None, None, None)
            clock.go(10.0)
            tokens.serve_due()


def test_a_chat_is_served_before_three_whole_answers_that_its_client_asked_for_first() -> None:
    """Title, tags, follow-ups, chat, all at once: with pauses of ten seconds it is the second."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))
    served = []
    with ExitStack() as stack:
        line = {
            name: stack.enter_context(tokens.lease(client="me", streams=name == "chat"))
            for name in ("title", "tags", "follow-ups", "chat")
        }
        for _ in range(4):
            tokens.serve_due()
            (name,) = (name for name, lease in line.items() if lease.token is not None)
            served.append(name)
            line.pop(name).__exit__(None, None, None)
            clock.go(10.0)

    assert ["title", "chat", "tags", "follow-ups"] == served


def test_no_other_client_loses_its_place_to_a_stream() -> None:
    """Nor do clients without a key: they may be different ones."""
    tokens = pool("a")
    for client in ("", "you"):
        with (
            tokens.lease() as holder,
            tokens.lease(client=client) as whole,
            tokens.lease(client="" if not client else "me", streams=True) as stream,
        ):
            holder.__exit__(None, None, None)
            assert (True, False) == (whole.token is not None, stream.token is not None)


def test_a_whole_answer_that_waits_goes_before_later_streams() -> None:
    """It regains a place for each 5 s, so that a busy chat does not keep it for ever."""
    clock = Clock()
    tokens = pool("a", clock=clock)
    with tokens.lease() as holder, tokens.lease(client="me") as whole:
        clock.go(5.0)
        with tokens.lease(client="me", streams=True) as stream:
            holder.__exit__(None, None, None)
            assert (True, False) == (whole.token is not None, stream.token is not None)


def test_a_whole_answer_that_was_overtaken_too_often_is_refused_at_once() -> None:
    """It can no longer be served in time, and its refusal says when to come again."""
    clock = Clock()
    tokens = pool("a", clock=clock, patience=10.0, limits=(Rest(10.0),))
    use(tokens)

    with tokens.lease(client="me") as whole, tokens.lease(client="me", streams=True) as stream:
        with pytest.raises(NoTokenFree) as refusal:
            whole.wait(0)
        assert 20 == refusal.value.retry_after
        clock.go(10.0)
        assert "a" == lend(stream).label


# ---- the alarm


def test_the_line_is_served_when_it_is_due() -> None:
    """Without any request that looks."""
    clock = Clock()
    tokens = pool("a", clock=clock, limits=(Rest(10.0),))
    use(tokens)
    assert inf == tokens.serve_due()

    with tokens.lease() as lease:
        assert 10.0 == tokens.serve_due()
        clock.go(9.0)
        assert 1.0 == tokens.serve_due()
        assert lease.token is None
        clock.go(1.0)
        assert inf == tokens.serve_due()
        assert lease.token is not None


def test_the_line_is_served_when_any_of_it_is_due() -> None:
    """One that waits for long does not keep those from being served that wait for less."""
    clock = Clock()
    tokens = TokenRotator(
        [token("a", limits=(Rest(5.0),)), token("k", kind="key", limits=(Rest(20.0),))],
        clock=clock,
    )
    use(tokens)
    use(tokens)

    with tokens.lease(kinds={"cookie"}), tokens.lease(kinds={"key"}):
        assert 5.0 == tokens.serve_due()


def test_a_request_that_waits_alone_is_served_by_the_alarm() -> None:
    """Its own thread sleeps until it is called."""
    tokens = TokenRotator([token("a", limits=(Rest(0.03),))], patience=3600.0)
    use(tokens)

    with tokens.lease() as lease:
        until(lambda: lease.token is not None)
    tokens.close()


def test_a_rotator_that_is_closed_has_no_thread() -> None:
    """Nor has one whose line is empty."""
    tokens = TokenRotator([token("a", limits=(Rest(3000.0),))], patience=3600.0)
    use(tokens)

    def threads() -> int:
        return sum(thread.name == "line" for thread in threading.enumerate())

    until(lambda: not threads())
    with tokens.lease():
        assert 1 == threads()
    until(lambda: not threads())
    with tokens.lease():
        assert 1 == threads()
        tokens.close()
        until(lambda: not threads())
    with tokens.lease():
        assert 0 == threads()
