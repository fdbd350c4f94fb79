"""The pool of several workers, as the requests of each see it."""

from __future__ import annotations

import re
from contextlib import suppress
from math import inf
from typing import Any
from unittest import mock

import pytest

from poe_proxy.errors import (
    NoPointsLeft,
    NoTokenFree,
    NoTokenLeft,
    PoeProxyError,
    PoolUnavailable,
    TokenExhausted,
    TokenHeldBack,
    TokenLimited,
    TokenRejected,
    UpstreamOverloaded,
)
from poe_proxy.pool.known import Funds, Grant
from poe_proxy.pool.ledger import Standing
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.rotator import Lease, Token
from poe_proxy.shared.calling import StoreAway

from ...fakes import FakeUpstream, log_lines, until
from ..fixtures import lend, only, sends, state, use
from .workers import Pool, Worker


def token(label: str, **options: Any) -> Token[Any]:
    return Token(label, FakeUpstream(), **{"kind": "key", **options})


def cookie(label: str, **options: Any) -> Token[Any]:
    return token(label, kind="cookie", has_home=True, **options)


def two(*tokens: Token[Any], **options: Any) -> tuple[Pool, Worker, Worker]:
    """A pool, and two workers that know the same accounts."""
    pool = Pool()
    return pool, pool.worker(*tokens, **options), pool.worker(*tokens, **options)


def begun(worker: Worker, **wish: Any) -> Lease[Any]:
    """A lease in whose block we are."""
    return worker.rotator.lease(**wish).__enter__()


def ended(lease: Lease[Any], failure: BaseException | None = None) -> None:
    lease.__exit__(type(failure) if failure else None, failure, None)


def refusal(lease: Lease[Any]) -> PoeProxyError:
    """Why a lease that waited was refused."""
    try:
        token = lease.wait(0)
    except PoeProxyError as refused:
        ended(lease)
        return refused
    raise AssertionError(f"it was not refused, and has {token}")


# ---- whose turn it is


def test_workers_take_turns_with_the_same_accounts() -> None:
    """An account that one of them has used comes last for the other, too."""
    _, one, other = two(token("a"), token("b"))

    assert ["a", "b", "a", "b"] == [use(each.rotator) for each in (one, other, one, other)]


def test_whoever_waits_is_served_when_another_worker_gives_back() -> None:
    """A message says so."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    assert waits.wait(0) is None

    ended(busy)
    pool.hear()
    assert "a" == lend(waits).label
    assert not pool.redis.zcard(f"{pool.prefix}line")


def test_a_message_that_is_lost_costs_a_second() -> None:
    """Whoever waits looks by the clock, too. If it comes after all, it says nothing new."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    ended(busy)

    assert waits.wait(0) is None
    other.rotator._line.look()
    assert "a" == lend(waits).label
    pool.hear()
    assert {"in_use": 1} == state(one.rotator)


def test_a_look_is_due_at_once_where_time_alone_helps_and_after_a_second_otherwise() -> None:
    """One alarm for all that wait, and none if nobody does."""
    pool, one, _ = two(token("a", limits=(Rest(0.5),)), token("b", kind="other"))
    alarms = one.line_alarm.asked
    one.rotator._line._chance = lambda: 0.5
    busy = begun(one, kinds={"other"})
    quick = begun(one, kinds={"key"})
    assert sends(quick)
    ended(quick)

    first = begun(one, kinds={"key"})
    assert [0.525] == alarms
    second = begun(one, kinds={"other"})
    assert [0.525] == alarms, "it looks sooner for the other one"
    pool.go(0.525)
    one.rotator._line.look()
    assert "a" == lend(first).label
    assert 1.025 == alarms[-1]
    ended(second)
    before = len(alarms)
    one.rotator._line.look()
    assert before == len(alarms)
    ended(busy)


def test_requests_of_all_workers_stand_in_one_line() -> None:
    """They are served in the order in which they came, wherever that was."""
    pool, one, other = two(token("a"))
    busy = begun(one)
    line = [begun(each) for each in (other, one, other, one)]
    while line:
        ended(busy)
        pool.hear()
        busy = line.pop(0)
        assert "a" == lend(busy).label
        assert all(each.token is None for each in line)


def test_what_was_lent_to_a_request_that_is_gone_is_given_back() -> None:
    """Its client hung up while the message was under way."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    ended(busy)
    held = other.rotator._line
    with held.lock:
        held._forget(waits.id)  # and Redis does not hear of it

    assert {"in_use": 1} == state(one.rotator)
    pool.hear()
    pool.go(1.0)
    assert {"free": 1} == state(one.rotator)


def test_a_request_that_hangs_up_leaves_the_line() -> None:
    """The next one is served in its place."""
    pool, one, other = two(token("a"))
    busy, gone, waits = begun(one), begun(other), begun(other)
    ended(gone, GeneratorExit())
    ended(busy)
    pool.hear()

    assert gone.token is None
    assert "a" == lend(waits).label


# ---- who is refused, and when it may come again


def test_a_full_line_refuses_at_once_and_says_when_to_come_again() -> None:
    """All lines together are as long as one may be."""
    pool, one, other = two(token("a", limits=(Rest(20.0),)), places=2)
    busy = begun(one)
    assert sends(busy)
    waits = [begun(one), begun(other)]
    pool.go(3.0)

    with pytest.raises(NoTokenFree) as raised, other.rotator.lease():
        pass
    assert 17 == raised.value.retry_after
    assert "All Poe accounts are in use or resting" in raised.value.message
    for lease in (busy, *waits):
        ended(lease)
    assert not other.rotator._line.holds()


def test_who_cannot_be_served_in_time_is_refused_at_once() -> None:
    """It is told when the soonest account that fits is rested."""
    _, one, other = two(token("a", limits=(Rest(40.0),)), token("b", limits=(Rest(50.0),)))
    for _ in range(2):
        lease = begun(one)
        assert sends(lease)
        ended(lease)

    with pytest.raises(NoTokenFree) as raised, other.rotator.lease():
        pass
    assert 40 == raised.value.retry_after


def test_who_waits_is_refused_once_there_is_no_hope_left() -> None:
    """The only account that fits has just been found to be without points."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    one.rotator.exhaust(only(one.rotator), "Empty.")
    other.rotator._line.look()

    assert isinstance(refusal(waits), NoPointsLeft)
    ended(busy)
    assert {"out_of_points": 1} == state(pool.workers[1].rotator)


def test_who_has_waited_long_enough_is_refused() -> None:
    """Unless it is served at the last moment, although no message has come."""
    pool, one, other = two(token("a"), token("b", kind="other"), patience=10.0)
    busy = [begun(one, kinds={"key"}), begun(one, kinds={"other"})]
    late, lucky = begun(other, kinds={"key"}), begun(other, kinds={"other"})
    ended(busy.pop())
    pool.go(10.0)

    assert "b" == lend(lucky).label
    told = refusal(late)
    assert isinstance(told, NoTokenFree)
    assert 1 == told.retry_after
    assert not pool.redis.zcard(f"{pool.prefix}line")


def test_what_poe_says_is_the_reason_in_all_workers() -> None:
    """Who is refused reads why, although another worker was told."""
    _, one, other = two(token("a"))
    with suppress(TokenLimited), one.rotator.lease():
        raise TokenLimited("Slow down.", retry_after=60)

    with pytest.raises(NoTokenFree, match="Poe holds back each account") as raised:
        begun(other)
    assert 60 == raised.value.retry_after
    with suppress(TokenRejected), one.rotator.lease(kinds=None, deadline=inf):
        pass
    one.rotator.suspend(only(one.rotator), TokenRejected("Logged out."))
    with pytest.raises(NoTokenLeft):
        begun(other)


def test_where_no_account_fits_redis_is_not_asked() -> None:
    """There is none for this bot."""
    _, one, _ = two(token("a", bots=frozenset({"gpt"})))
    one.courier.verbs.clear()

    with pytest.raises(NoTokenLeft, match="There is no Poe account"):
        begun(one, bot="claude")
    assert [] == one.courier.verbs


def test_what_a_request_was_tried_on_is_a_part_of_the_reason() -> None:
    """It avoids that account, which rests by now."""
    _, one, _ = two(token("a"))
    account = only(one.rotator)
    with suppress(TokenLimited), one.rotator.lease():
        raise TokenLimited("Slow down.", retry_after=60)

    with pytest.raises(NoTokenFree, match="Slow down") as raised:
        begun(one, avoid=(account,))
    assert 60 == raised.value.retry_after


# ---- what is sent


def test_an_ordinary_request_costs_two_calls() -> None:
    """Its use was counted when it was lent, and no limit asks when it arrived."""
    _, one, _ = two(token("a"))
    use(one.rotator)
    one.courier.verbs.clear()
    with one.rotator.lease() as lease:
        assert lease.may_send(0)
        lease.arrived()
        lease.worked()

    assert ["join", "leave"] == one.courier.verbs
    one.courier.verbs.clear()


def test_what_is_sent_later_or_again_is_counted_when_it_is() -> None:
    """Limits hold within a lease, and for all workers."""
    pool, one, other = two(token("a", limits=(Within(2, 60.0),), concurrency=5), patience=50.0)
    lease = begun(one)
    pool.go(0.5)
    one.courier.verbs.clear()
    assert sends(lease)
    assert ["use", "arrived"] == one.courier.verbs
    pool.go(10.0)
    assert sends(begun(other))

    pool.go(0.5)
    assert not lease.may_send(0)
    with pytest.raises(NoTokenFree) as raised:
        begun(other, deadline=pool.clock() + 1.0)
    assert 50 == raised.value.retry_after
    pool.go(49.5)
    assert sends(lease)
    assert 3 == one.rotator.day_uses.of("a")


def test_what_would_have_to_wait_too_long_is_not_sent() -> None:
    """Or what Poe holds back meanwhile."""
    pool, one, other = two(token("a", limits=(Rest(60.0),), concurrency=2))
    lease = begun(one)
    assert sends(lease)

    with pytest.raises(TokenHeldBack, match="has to rest"):
        lease.may_send(0)
    pool.go(60.0)
    other.rotator.suspend(only(other.rotator), TokenRejected("Logged out."))
    with pytest.raises(TokenHeldBack, match="may not be used now"):
        lease.may_send(0)
    ended(lease)
    with pytest.raises(TokenHeldBack, match="was over"):
        lease.may_send(0)


def test_an_answer_is_told_only_where_something_had_failed() -> None:
    """A token that was struck is lent as before once it has answered."""
    _, one, other = two(token("a"), token("b"))
    with suppress(UpstreamOverloaded), one.rotator.lease(bot="x"):
        raise UpstreamOverloaded("Busy.")
    assert ["b", "b"] == [use(other.rotator, bot="x") for _ in range(2)]

    busy = begun(other, accounts=frozenset({"b"}))
    with other.rotator.lease(bot="X", accounts=frozenset({"a"})) as lease:
        lend(lease)
        other.courier.verbs.clear()
        lease.worked()
        lease.worked()
        assert ["clear"] == other.courier.verbs
    ended(busy)
    assert "a" in {use(one.rotator, bot="x") for _ in range(2)}


def test_what_failed_while_it_was_lent_is_over_with_the_next_answer() -> None:
    """Another request had the same account meanwhile."""
    _, one, _ = two(token("a", concurrency=2))
    lease = begun(one)
    with suppress(UpstreamOverloaded), one.rotator.lease(probes=True):
        raise UpstreamOverloaded("Busy.")
    one.courier.verbs.clear()
    lease.worked()

    assert ["clear"] == one.courier.verbs


# ---- while Redis is away


def test_requests_wait_for_redis_and_are_served_in_their_order() -> None:
    """None of them is refused before its time is over."""
    pool, one, other = two(token("a"))
    for each in (one, other):
        each.courier.trouble = "refused"
    first = begun(one)
    pool.go(1.0)
    second = begun(one)
    assert first.wait(0) is second.wait(0) is None

    one.courier.back()
    assert "a" == lend(first).label
    assert second.wait(0) is None
    ended(first)
    pool.hear()
    assert "a" == lend(second).label


def test_who_waits_for_redis_too_long_is_told_so() -> None:
    """It may come again soon; nothing stays behind of it when Redis is back."""
    pool, one, other = two(token("a"), patience=10.0)
    busy, was_in_line = begun(one), begun(one)
    one.courier.trouble = "refused"
    waits = begun(one)
    pool.go(10.0)

    for lease in (waits, was_in_line):
        told = refusal(lease)
        assert isinstance(told, PoolUnavailable)
        assert 5 == told.retry_after
    ended(busy)
    one.courier.back()
    assert {"free": 1} == state(other.rotator)
    assert "a" == use(other.rotator)


def test_no_more_wait_for_redis_than_may_wait_in_line() -> None:
    """The next one is refused at once."""
    _, one, _ = two(token("a"), places=2)
    one.courier.trouble = "refused"
    waits = [begun(one) for _ in range(2)]

    with pytest.raises(PoolUnavailable):
        begun(one)
    assert 2 == len(one.rotator._line.holds())
    for lease in waits:
        ended(lease)
    assert [] == one.rotator._line.holds()


def test_what_redis_never_knew_of_is_not_told_to_it() -> None:
    """There are as many such requests as come while it is away; what is to be told is bounded."""
    _, one, _ = two(token("a"), patience=10.0, places=2)
    one.courier.trouble = "refused"
    waits = [begun(one) for _ in range(2)]
    with pytest.raises(PoolUnavailable):
        begun(one)
    one.rotator._line._give_up(waits[0])
    for lease in waits:
        ended(lease)
    assert [] == one.courier._kept

    one.courier.trouble = ""
    one.courier.loses = 1
    lost = begun(one)
    one.courier.trouble = "refused"
    ended(lost)
    assert 1 == len(one.courier._kept), "it may be in line"


def test_who_joins_anew_does_not_ask_a_redis_that_is_away_again() -> None:
    """Each would take a second, and all that goes on in this worker waits for it."""
    pool, one, other = two(token("a"))
    held = begun(one)
    waits = [begun(one) for _ in range(3)]
    pool.forget()
    call, asked = one.courier.call, []

    def away(*act: Any) -> Any:
        asked.append(act[0])
        if act[0] == "join":
            raise StoreAway("gone again")
        return call(*act)

    with mock.patch.object(one.courier, "call", away), pytest.raises(StoreAway):
        one.presence.beat()
    assert 1 == asked.count("join")

    one.presence.introduce()
    other.presence.beat()
    pool.go(1.0)
    assert sends(held), "nobody took it for dead"
    ended(held)
    pool.hear()
    assert "a" == lend(waits[0]).label
    assert 2 == one.rotator.line().waiting


def test_an_answer_that_is_lost_lends_nothing_twice() -> None:
    """The same request asks again, and has what it was given."""
    _, one, other = two(token("a"), token("b"))
    one.courier.loses = 1
    lease = begun(one)
    assert lease.wait(0) is None

    one.rotator._line.look()
    assert "a" == lend(lease).label
    assert {"free": 1, "in_use": 1} == state(other.rotator)


@pytest.mark.parametrize("lost", ["join", "use"])
def test_what_is_sent_long_after_an_answer_was_lost_counts_from_then_on(lost: str) -> None:
    """Redis has counted it since it was asked for first; once, all the same."""
    pool, one, other = two(token("a", limits=(Within(1, 60.0),), concurrency=2), patience=50.0)
    if lost == "join":
        digest = one.rotator._line._digest(frozenset({"a"}))
        one.courier.call("names", {"digest": digest, "names": ["a"]})
        one.courier.loses = 1
        lease = begun(one)
    else:
        lease = begun(one)
        pool.go(1.0)
        one.courier.loses = 1
        assert not lease.may_send(0)
    pool.go(20.0)
    one.rotator._line.look()
    assert sends(lease)

    with pytest.raises(NoTokenFree) as raised:
        begun(other)
    assert 60 == raised.value.retry_after
    assert 1 == one.rotator.day_uses.of("a")


def test_a_reply_goes_on_while_redis_is_away_and_is_told_later() -> None:
    """What Poe said of the account, too."""
    pool, one, other = two(token("a"))
    lease = begun(one)
    assert lease.may_send(0)
    one.courier.trouble = "refused"
    lease.arrived()
    lease.worked()
    ended(lease, TokenLimited("Slow down.", retry_after=60))

    assert {"in_use": 1} == state(other.rotator)
    one.courier.back()
    pool.go(1.0)
    assert {"limited": 1} == state(other.rotator)


def test_nothing_is_sent_while_redis_is_away() -> None:
    """A request that has its account waits until it may, or until its time is over."""
    pool, one, _ = two(token("a"), patience=10.0)
    lease = begun(one)
    pool.go(1.0)
    one.courier.trouble = "refused"

    assert not lease.may_send(0)
    pool.go(9.0)
    assert not lease.may_send(0)
    pool.go(1.0)
    with pytest.raises(PoolUnavailable):
        lease.may_send(0)
    one.courier.back()
    assert lease.may_send(0)


@pytest.mark.parametrize(
    ("verb", "about"),
    [
        ("rest", (30.0,)),
        ("strike", ("Busy.",)),
        ("clear", ()),
        ("exhaust", ("Empty.",)),
        ("suspend", ("Logged out.",)),
        ("reconsider", ()),
        ("revive", ()),
        ("pause", (30.0,)),
        ("bring_back", ()),
        ("retire", ("Logged out.",)),
        ("withdraw", ()),
    ],
)
def test_nobody_waits_for_redis_to_tell_what_befalls_an_account(
    verb: str, about: tuple[Any, ...]
) -> None:
    """Whatever it is: Redis is told when it is there."""
    _, one, _ = two(token("a"))
    (told,) = one.rotator._members.tokens.values()
    one.courier.trouble = "refused"
    getattr(one.rotator._ledger, verb)(told.name, *about)
    one.courier.verbs.clear()
    one.courier.back()

    assert verb in one.courier.verbs


def test_how_the_pool_was_is_told_while_redis_is_away() -> None:
    """Before anything is known, nothing is free."""
    pool = Pool()
    one = pool.worker(token("a"))
    assert {"free": 1} == state(one.rotator)
    one.courier.trouble = "refused"
    pool.go(100.0)

    assert {"free": 1} == state(one.rotator)
    assert one.rotator.may_ask(only(one.rotator), 60.0) is None
    assert {} == one.rotator.uses()
    one.rotator._census._states = {}
    assert {"resting": 1} == state(one.rotator)


# ---- workers that die, freeze and end


def test_what_a_dead_worker_had_is_lent_again() -> None:
    """Its accounts; its uses stay counted, and nothing is left of its places in line."""
    pool, one, other = two(token("a", limits=(Rest(30.0),)), patience=100.0)
    assert sends(begun(one))
    begun(one)
    waits = begun(other)
    pool.go(29.0, but=one)
    other.rotator._line.look()
    assert waits.wait(0) is None
    pool.go(1.0, but=one)
    other.rotator._line.look()

    assert "a" == lend(waits).label
    assert {"in_use": 1} == state(other.rotator)


def test_a_worker_that_was_taken_for_dead_sends_nothing_with_what_it_had() -> None:
    """Others may have it by now. What was sent goes on; who waits joins the line anew."""
    pool, one, other = two(token("a"), patience=100.0)
    lease, waits = begun(one), begun(one)
    pool.go(20.0, but=one)
    taken = begun(other)
    assert "a" == lend(taken).label

    with pytest.raises(TokenHeldBack, match="given to others"):
        lease.may_send(0)
    assert 2 == in_use(other)
    ended(lease)
    assert waits.wait(0) is None
    ended(taken)
    pool.hear()
    assert "a" == lend(waits).label


def in_use(worker: Worker) -> int:
    """How many leases have the account a, by Redis's own word."""
    return worker.rotator._asked.state(["a"])["a"].in_use


def test_what_a_worker_hears_late_is_no_longer_true() -> None:
    """It was served, and taken for dead before it heard of that."""
    pool, one, other = two(token("a"), patience=100.0)
    busy, waits = begun(other), begun(one)
    ended(busy)
    pool.go(20.0, but=one)
    taken = begun(other)
    one.presence.beat()
    pool.hear()

    assert "a" == lend(taken).label
    assert waits.wait(0) is None
    assert 1 == in_use(other)
    ended(taken)
    pool.hear()
    assert "a" == lend(waits).label


def test_who_is_no_longer_in_line_joins_it_anew() -> None:
    """Whatever has become of its place."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    one.courier.call("leave", {"lease": waits.id})
    ended(busy)
    pool.hear()
    assert waits.wait(0) is None

    other.rotator._line.look()
    assert "a" == lend(waits).label


def test_what_is_given_to_others_is_not_sent_with() -> None:
    """Redis says so, whatever the reason."""
    pool, one, _ = two(token("a"))
    lease = begun(one)
    one.courier.call("leave", {"lease": lease.id})
    pool.go(1.0)

    for _ in range(2):
        with pytest.raises(TokenHeldBack, match="given to others"):
            lease.may_send(0)


def test_what_was_counted_when_it_was_lent_is_counted_again_if_redis_forgets_it() -> None:
    """Also if that is a moment before it is sent."""
    pool, one, _ = two(token("a", limits=(Rest(50.0),)))
    lease = begun(one)
    pool.forget()
    one.presence.beat()
    assert sends(lease)
    ended(lease)
    pool.clock.go(14.0)

    with pytest.raises(NoTokenFree) as raised:
        begun(one)
    assert 36 == raised.value.retry_after


def test_a_verdict_holds_for_what_was_lent_a_moment_ago() -> None:
    """It asks before it sends."""
    _, one, _ = two(token("a", concurrency=3))
    leases = [begun(one) for _ in range(3)]
    ended(leases[0], TokenLimited("Slow down.", retry_after=60))
    with pytest.raises(TokenHeldBack, match="Slow down"):
        leases[1].may_send(0)

    one.rotator.bring_back(only(one.rotator))
    assert leases[1].may_send(0)
    one.rotator.pause(only(one.rotator), 60.0)
    with pytest.raises(TokenHeldBack):
        leases[2].may_send(0)


def test_the_end_of_a_worker_gives_all_back() -> None:
    """At once, to whoever waits."""
    pool, one, other = two(token("a"))
    begun(one)
    waits = begun(other)
    one.courier.call("quit", {})
    pool.hear()

    assert "a" == lend(waits).label


def test_a_redis_that_has_forgotten_is_told_what_is_held_and_was_used() -> None:
    """No limit is exceeded: what the workers remember decides. Nobody else had what this one has,
    so it may still send."""
    pool, one, other = two(token("a", limits=(Within(3, 60.0),), concurrency=5), patience=100.0)
    held = begun(one)
    pool.go(1.0)
    for each in (one, other):
        lease = begun(each)
        assert sends(lease)
        ended(lease)
    pool.forget()
    waits = begun(one)
    for each in (one, other):
        each.presence.beat()

    assert waits.wait(0) is None, "it is not known yet what all have used"
    pool.go(1.0)
    one.rotator._line.look()
    assert "a" == lend(waits).label
    assert 2 == in_use(one)
    pool.go(1.0)
    assert sends(waits)
    assert not held.may_send(0)
    pool.go(57.0)
    assert not held.may_send(0)
    pool.go(1.0)
    assert sends(held)


def test_a_worker_that_has_just_come_is_waited_for_when_redis_forgets_all() -> None:
    """Others have heard of it, although they have given no sign of life since."""
    account = token("a", limits=(Within(1, 60.0),))
    pool, one = two(account, patience=100.0)[:2]
    late = pool.worker(account)
    pool.hear()
    lease = begun(late)
    assert sends(lease)
    ended(lease)
    pool.forget()
    waits = begun(one)
    pool.workers[1].presence.beat()
    pool.go(1.0, but=late)

    one.rotator._line.look()
    assert waits.wait(0) is None, "the limit is exceeded"
    late.presence.beat()
    pool.go(60.0)
    one.rotator._line.look()
    assert "a" == lend(waits).label


@pytest.mark.parametrize("is_older", [False, True], ids=["", "before it forgot all"])
@pytest.mark.parametrize("away", [1.0, 30.0])
def test_a_redis_that_comes_back_with_what_it_knew_before_is_one_that_has_forgotten(
    away: float, is_older: bool
) -> None:
    """It wrote down what it knew now and then only."""
    account = token("a", limits=(Within(2, 600.0),), concurrency=2)
    pool, one, other = two(account, patience=20.0)
    if is_older:
        before = pool.saved()
        pool.forget()
        one.presence.beat()
        other.presence.beat()
        pool.go(20.0)
    saved = before if is_older else pool.saved()
    pool.go(60.0)
    held, lost = begun(one), begun(other)
    assert sends(held)
    assert sends(lost)
    pool.go(8.0)
    for each in (one, other):
        each.courier.trouble = "refused"
    pool.go(away)
    pool.restore(saved)

    pool.worker(account)
    one.courier.back()
    waits = begun(one, deadline=pool.clock() + 5000.0)
    assert waits.wait(0) is None, "the other one has yet to tell what it has used"
    other.courier.back()
    other.presence.beat()
    pool.go(16.0)
    one.rotator._line.look()
    assert waits.wait(0) is None, "the limit is exceeded"
    for lease in (held, lost):
        ended(lease)
    pool.go(600.0)
    one.rotator._line.look()
    assert "a" == lend(waits).label


# ---- homes


def test_an_account_that_moves_is_let_go_where_it_was() -> None:
    """There is one session at a time."""
    account = cookie("c")
    pool, one, other = two(account, patience=100.0)
    upstreams = [each.rotator._members.tokens["c"].upstream for each in (one, other)]
    assert upstreams[0] is upstreams[1]
    use(one.rotator)
    pool.go(14.0)
    waits = begun(other)
    assert waits.wait(0) is None, "it is at home elsewhere"
    pool.go(2.0)
    other.rotator._line.look()
    pool.hear()

    assert "c" == lend(waits).label
    until(lambda: 1 == account.upstream.let_gos)


def test_an_account_that_is_in_use_is_let_go_after_the_last_reply() -> None:
    """This worker was taken for dead; its reply goes on."""
    account = cookie("c")
    pool, one, other = two(account)
    lease = begun(one)
    one.presence.beat()
    pool.go(16.0, but=one)
    assert "c" == use(other.rotator)
    one.presence.beat()

    assert 0 == account.upstream.let_gos
    ended(lease)
    until(lambda: 1 == account.upstream.let_gos)


def test_a_worker_that_is_not_heard_of_lets_all_go_in_time() -> None:
    """Others will take it for dead."""
    account = cookie("c")
    _, one, _ = two(account, token("k"))
    alarms = one.homes_alarm.asked
    alarms.clear()
    use(one.rotator, kinds={"cookie"})
    one.presence.beat()
    assert [10.0] == alarms

    one.rotator._homes.lose_all()
    until(lambda: 1 == account.upstream.let_gos)
    assert inf == alarms[-1]


@pytest.mark.parametrize("way", ["lent", "asked about"])
def test_what_has_just_come_home_is_let_go_in_time_too(way: str) -> None:
    """Redis went before it was said once that it is at home here."""
    account = cookie("c")
    _, one, _ = two(account)
    alarms = one.homes_alarm.asked
    alarms.clear()
    one.presence.beat()
    assert [10.0] == alarms, "nobody looks whether the next sign of life comes"
    if way == "lent":
        lease = begun(one)
        assert sends(lease)
        ended(lease)
    else:
        assert one.rotator.may_ask(account, 60.0)

    one.rotator._homes.lose_all()
    until(lambda: 1 == account.upstream.let_gos)


def test_what_was_lent_while_it_was_asked_what_is_at_home_is_so() -> None:
    """The answer came too late to know of it."""
    account = cookie("c")
    _, one, _ = two(account)
    lease = begun(one)
    assert sends(lease)
    ended(lease)
    one.rotator._homes.seen(())

    one.rotator._homes.lose_all()
    until(lambda: 1 == account.upstream.let_gos)


def test_what_was_given_to_others_is_let_go_whoever_still_wanted_to_send() -> None:
    """This worker was taken for dead before its request was sent."""
    account = cookie("c")
    pool, one, other = two(account)
    use(one.rotator)
    lease = begun(one)
    one.presence.beat()
    pool.go(16.0, but=one)
    assert "c" == use(other.rotator)
    one.presence.beat()

    with pytest.raises(TokenHeldBack):
        lease.may_send(0)
    ended(lease)
    until(lambda: 1 == account.upstream.let_gos)


def test_one_worker_at_a_time_asks_about_an_account() -> None:
    """About a cookie only the one at which it is at home; the operator may ask about a key from
    anywhere."""
    pool, one, other = two(cookie("c"), token("k"))
    home, key = (one.rotator._members.tokens[name] for name in ("c", "k"))

    assert one.rotator.may_ask(home, 60.0)
    assert not other.rotator.may_ask(home, 60.0)
    assert not other.rotator.may_ask(home, 0.0)
    assert one.rotator.may_ask(home, 0.0)
    assert other.rotator.may_ask(key, 60.0)
    assert not one.rotator.may_ask(key, 60.0)
    assert one.rotator.may_ask(key, 0.0)
    pool.go(60.0)


# ---- what all workers know


def test_points_and_uses_of_today_are_those_of_all_workers() -> None:
    """Whoever asked Poe, and whoever used it."""
    pool, one, other = two(token("a"))
    assert other.rotator.points.of("a") is None
    assert 0 == other.rotator.day_uses.of("a")
    one.rotator.points.note("a", Funds(7, Grant(5e9, 100)))
    for each in (one, other):
        lease = begun(each)
        assert sends(lease)
        ended(lease)
    pool.go(1.0)

    told = other.rotator.points.of("a")
    assert told is not None
    assert (7, Grant(5e9, 100)) == (told.number, told.next_grant)
    assert (2, 2) == (one.rotator.day_uses.of("a"), other.rotator.day_uses.of("a"))


def test_redis_is_asked_for_all_once_a_second() -> None:
    """What was said here a moment ago is seen at once all the same."""
    pool, one, _ = two(token("a"), token("b"))
    pool.go(1.0)
    one.courier.verbs.clear()
    for _ in range(3):
        one.rotator.census()
        one.rotator.states()
        one.rotator.line()
    assert ["census"] == one.courier.verbs
    one.rotator.pause(only_named(one, "a"), 60.0)

    assert {"free": 1, "paused": 1} == state(one.rotator)
    assert ["census", "pause", "census"] == one.courier.verbs


def only_named(worker: Worker, label: str) -> Token[Any]:
    return worker.rotator._members.tokens[label]


def test_the_line_is_that_of_all_workers() -> None:
    """Its length, and for how long the first one has waited."""
    pool, one, other = two(token("a"), places=7)
    busy, _, _ = begun(one), begun(one), begun(other)
    pool.go(5.0)

    line = other.rotator.line()
    assert (2, 7, 5.0) == (line.waiting, line.places, line.longest)
    assert {"in_use": 1, "waiting": 2} == state(other.rotator)
    ended(busy)


def test_a_refusal_is_logged_once_by_what_has_become_of_the_account() -> None:
    """Redis says whether a look is still to come; nobody waits for that."""
    pool, one, _ = two(token("a"))
    account = only(one.rotator)
    with log_lines() as lines:
        for _ in range(2):
            one.rotator.suspend(account, TokenRejected("Logged out."))
        assert {"suspended": 1} == state(one.rotator)
        for _ in range(10):
            pool.clock.go(90_000.0)
            one.presence.beat()
            one.rotator.suspend(account, TokenRejected("Logged out."))
            one.rotator.census()

    assert {"retired": 1} == state(one.rotator)
    # Lines have one form or another, as the tests before have left it.
    said = re.findall(r"a is \w+: Logged out\.", lines.getvalue())
    assert ["a is suspended: Logged out.", "a is retired: Logged out."] == said


def test_an_account_that_another_worker_found_wanting_is_to_be_looked_at() -> None:
    """That worker may be gone when it is time."""
    pool, one, other = two(token("a"))
    other.rotator.census()
    other.rotator.look.clear()
    with suppress(TokenExhausted), one.rotator.lease(bot="x"):
        raise TokenExhausted("Empty.")
    one.rotator.exhaust(only(one.rotator), "Empty.")
    pool.go(1.0)
    other.rotator.census()

    assert other.rotator.look.is_set()
    assert Standing.OUT_OF_POINTS == other.rotator.states()[0][1].standing


# ---- a reload


def test_what_was_taken_out_is_lent_no_more_by_anybody() -> None:
    """It leaves this worker after its last reply, and the pool once no worker knows it."""
    pool, one, other = two(token("a"), token("b"))
    kept = only_named(one, "b")
    lease = begun(one)
    one.rotator.replace([kept])
    assert [] == one.left

    assert "b" == use(one.rotator)
    assert {"in_use": 1, "free": 1} == state(other.rotator)
    ended(lease)
    assert ["a"] == [gone.label for gone in one.left]
    assert "a" == use(other.rotator, accounts=frozenset({"a"}))
    other.rotator.replace([kept])
    pool.go(1.0)
    assert {"free": 1} == state(other.rotator)


def test_who_waits_keeps_its_place_and_may_have_what_is_new() -> None:
    """Or is refused if nothing fits any more."""
    pool, one, other = two(token("a"), token("b", kind="other"))
    busy = [begun(one, kinds={"key"}), begun(one, kinds={"other"})]
    hopeless, first = begun(one, kinds={"other"}), begun(one, kinds={"key"})
    second = begun(other, kinds={"key"})
    new = token("c")
    one.rotator.replace([only_named(one, "a"), new])
    other.rotator.replace([only_named(other, "a"), new])
    pool.hear()

    assert isinstance(refusal(hopeless), NoTokenLeft)
    assert "c" == lend(first).label
    assert second.wait(0) is None
    for lease in busy:
        ended(lease)
    pool.hear()
    assert "a" == lend(second).label


def test_the_new_values_hold_from_a_reload_on() -> None:
    """As in the pool of one process."""
    _, one, _ = two(token("a"))
    one.rotator.replace([only(one.rotator)], patience=7.0, places=3, points_check=9.0)

    assert (7.0, 3, 9.0) == (
        one.rotator.patience,
        one.rotator.line().places,
        one.rotator.points_check,
    )
    with pytest.raises(ValueError, match="two tokens are called a"):
        one.rotator.replace([token("a"), token("a")])


def test_a_reload_is_told_before_all_that_is_asked_later_and_waited_for_by_nobody() -> None:
    """So it is done wholly, whatever becomes of a part of it."""
    _, one, _ = two(token("a"), token("b"))
    busy, waits = begun(one, accounts=frozenset({"a"})), begun(one, accounts=frozenset({"a"}))
    call, asked = one.courier.call, []
    one.courier.verbs.clear()

    def recorded(*act: Any) -> Any:
        asked.append(act[0])
        return call(*act)

    with mock.patch.object(one.courier, "call", recorded):
        one.rotator.replace([only_named(one, "a"), token("c")])
    assert ["enlist", "enlist", "withdraw"] == one.courier.verbs[:3]
    assert "join" in asked
    assert not {"enlist", "withdraw"} & set(asked)
    ended(busy)
    ended(waits)


def test_only_a_restart_lets_a_refused_account_be_looked_at_anew() -> None:
    """Also where it was retired; what a running worker has to tell once more does not. It costs no
    call of its own: all others wait."""
    pool, one, _ = two(token("a"), token("b"))
    for account in list(one.rotator._members.tokens.values()):
        one.rotator.suspend(account, TokenRejected("Logged out."))
    one.rotator._ledger.retire(only_named(one, "b").name, "Logged out.")
    one.presence.introduce()
    before = one.rotator._asked.state(["a", "b"])
    assert [60.0, inf] == [state.next_look for state in before.values()]
    other = pool.worker(token("a"), token("b"))

    after = other.rotator._asked.state(["a", "b"])
    assert [0.0, 0.0] == [state.next_look for state in after.values()]
    assert {Standing.SUSPENDED} == {state.standing for state in after.values()}
    assert 2 == other.courier.verbs.count("enlist")
    assert "reconsider" not in other.courier.verbs


def test_another_way_to_poe_lets_an_account_be_looked_at_anew() -> None:
    """What is as it was is not, at a reload."""
    _, one, _ = two(token("a"), token("b"))
    for account in list(one.rotator._members.tokens.values()):
        one.rotator.suspend(account, TokenRejected("Logged out."))
    one.rotator.replace([only_named(one, "a"), token("b")])

    states = one.rotator._asked.state(["a", "b"])
    assert {"a": 60.0, "b": 0.0} == {name: state.next_look for name, state in states.items()}


def test_workers_that_differ_are_told_so() -> None:
    """What was read last holds for all."""
    pool = Pool()
    pool.worker(token("a", limits=(Rest(5.0),)))
    with log_lines() as lines:
        pool.worker(token("a", limits=(Rest(50.0),)))

    assert "a: another worker has other settings for it" in lines.getvalue()


def test_a_reload_while_redis_is_away_is_told_later() -> None:
    """Nothing is lost by it."""
    pool, one, other = two(token("a"))
    for each in (one, other):
        each.courier.trouble = "refused"
        each.rotator.replace([token("b")])
        each.courier.back()
    pool.go(1.0)

    assert {"free": 1} == state(one.rotator)
    assert "b" == use(other.rotator)


# ---- what is in Redis


def test_there_are_no_secrets_in_redis() -> None:
    """Neither credentials nor names of clients; accounts are known by their digests."""
    pool = Pool()
    account = token("my-label", id="0123456789abcdef", source="TOKENS")
    one = pool.worker(account, token("b", id="fedcba9876543210", limits=(Rest(5.0),)))
    leases = [begun(one, client="anna@example.org", bot="GPT") for _ in range(3)]
    assert leases[0].may_send(0)
    one.rotator.points.note(account.name, Funds(7))
    one.presence.beat()

    everything = b"\n".join(pool.redis.dump(key) + key for key in pool.names())
    assert b"0123456789abcdef" in everything
    for secret in (b"my-label", b"anna", b"example", b"TOKENS"):
        assert secret not in everything


def test_a_lost_account_that_is_the_only_one_is_no_reason_to_renew_it() -> None:
    """The request may come again at once."""
    pool, one, _ = two(token("a"), patience=100.0)
    lease = begun(one)
    pool.go(20.0, but=one)
    with pytest.raises(TokenHeldBack):
        lease.may_send(0)
    account = lend(lease)
    ended(lease)

    with pytest.raises(NoTokenFree) as raised:
        begun(one, avoid=(account,))
    assert 1 == raised.value.retry_after


def test_who_waited_tells_that_its_account_works_only_if_it_had_failed() -> None:
    """The message says whether it had."""
    pool, one, other = two(token("a"))
    busy, waits = begun(one), begun(other)
    ended(busy)
    pool.hear()
    other.courier.verbs.clear()
    waits.worked()
    assert [] == other.courier.verbs

    probe = begun(one)
    ended(waits, UpstreamOverloaded("Busy."))
    pool.hear()
    pool.go(2.0)
    one.rotator._line.look()
    one.courier.verbs.clear()
    assert "a" == lend(probe).label
    probe.worked()
    assert ["clear"] == one.courier.verbs
