"""What every ledger must do, whatever it keeps its state in: its verbs, one by one.

A new store joins `LEDGERS`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Final, TypeAlias

import pytest

from poe_proxy.pool.ledger import Ledger, TokenState
from poe_proxy.pool.limits import PerMinute, Rest
from poe_proxy.pool.memory import MemoryLedger

from ..fakes import Clock

LEDGERS: Final = {"memory": lambda clock: MemoryLedger(clock=clock)}

#: Changes what is known of the token `a`.
Verb: TypeAlias = Callable[[Ledger], object]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, clock: Clock) -> Ledger:
    return LEDGERS[request.param](clock)


def state(ledger: Ledger, name: str = "a") -> TokenState:
    return ledger.state([name])[name]


def borrow(ledger: Ledger, *names: str, lease: str = "for a moment") -> str | None:
    """Take a token and give it back; return its name."""
    name = ledger.take(names, lease)
    ledger.give_back(lease)
    return name


# ---- enlist


def test_a_new_token_is_free(ledger: Ledger) -> None:
    """Nothing is known of it but that it may be lent."""
    ledger.enlist("a")

    assert state(ledger) == TokenState(
        is_free=True, in_use=0, rest=0.0, is_out_of_points=False, retired=None
    )


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda ledger: ledger.rest("b", 1.0), id="rest"),
        pytest.param(lambda ledger: ledger.exhaust("b"), id="exhaust"),
        pytest.param(lambda ledger: ledger.revive("b"), id="revive"),
        pytest.param(lambda ledger: ledger.retire("b", "Logged out."), id="retire"),
        pytest.param(lambda ledger: ledger.state(["a", "b"]), id="state"),
        pytest.param(lambda ledger: ledger.use("a lease that has no token"), id="use"),
    ],
)
def test_what_was_never_enlisted_is_a_mistake(ledger: Ledger, verb: Verb) -> None:
    """A wrong name, or a lease without a token, is not passed over in silence."""
    ledger.enlist("a")

    with pytest.raises(KeyError):
        verb(ledger)
    assert "a" == ledger.take(["b", "a"], "one")


def test_terms_may_change_and_what_is_known_stays(ledger: Ledger, clock: Clock) -> None:
    """To enlist a token anew frees it of no use, no lease, no rest."""
    ledger.enlist("a", limits=[Rest(10.0)])
    ledger.take(["a"], "one")
    ledger.enlist("a", concurrency=2, limits=[Rest(30.0)])

    assert (1, 30.0) == (state(ledger).in_use, state(ledger).rest)
    clock.go(30.0)
    assert "a" == ledger.take(["a"], "two")
    assert ledger.take(["a"], "three") is None


def test_a_new_rank_counts_at_once(ledger: Ledger) -> None:
    """The next one to be lent is the lowest in rank as it is now."""
    ledger.enlist("a", rank=1)
    ledger.enlist("b", rank=2)
    ledger.enlist("b", rank=0)

    assert "b" == borrow(ledger, "a", "b")


# ---- take


def test_tokens_are_lent_in_turn(ledger: Ledger) -> None:
    """The one that was not lent for the longest time comes first, at the start as enlisted."""
    for name in "abc":
        ledger.enlist(name)

    assert ["a", "b", "c", "a"] == [borrow(ledger, "a", "b", "c") for _ in range(4)]
    assert "c" == borrow(ledger, "c")
    assert ["b", "a", "c"] == [borrow(ledger, "a", "b", "c") for _ in range(3)]


def test_the_lowest_rank_is_lent_first(ledger: Ledger) -> None:
    """A higher rank is lent only while none of a lower rank is free."""
    ledger.enlist("cookie", rank=1)
    ledger.enlist("key", rank=0)

    assert ["key", "key"] == [borrow(ledger, "cookie", "key") for _ in range(2)]
    ledger.take(["key"], "one")
    assert "cookie" == borrow(ledger, "cookie", "key")


def test_only_what_is_named_is_lent(ledger: Ledger) -> None:
    """A free token that was not asked for stays."""
    ledger.enlist("a")
    ledger.enlist("b")

    assert "b" == ledger.take(["b"], "one")
    assert ledger.take(["b"], "two") is None
    assert ledger.take([], "three") is None
    assert (True, False) == (state(ledger, "a").is_free, state(ledger, "b").is_free)


def test_a_token_has_room_for_so_many_leases(ledger: Ledger) -> None:
    """Concurrency is how many may have it at a time."""
    ledger.enlist("a", concurrency=2)

    assert ["a", "a", None] == [ledger.take(["a"], lease) for lease in ("one", "two", "three")]
    assert 2 == state(ledger).in_use
    ledger.give_back("one")
    assert "a" == ledger.take(["a"], "three")


def test_a_lease_takes_once(ledger: Ledger) -> None:
    """The same call again, after a lost answer, gives the same token and costs nothing."""
    ledger.enlist("a", concurrency=2, limits=[PerMinute(2)])
    ledger.enlist("b")

    assert ["a", "a"] == [ledger.take(["a", "b"], "one") for _ in range(2)]
    assert 1 == state(ledger).in_use
    assert "a" == ledger.take(["a"], "two")


def test_what_is_lent_counts_as_a_use(ledger: Ledger, clock: Clock) -> None:
    """From the moment it is lent, also if nothing was ever sent."""
    ledger.enlist("a", limits=[Rest(10.0)])
    borrow(ledger, "a")

    assert (False, 10.0) == (state(ledger).is_free, state(ledger).rest)
    clock.go(9.5)
    assert borrow(ledger, "a") is None
    clock.go(0.5)
    assert "a" == borrow(ledger, "a")


def test_all_limits_are_heeded(ledger: Ledger, clock: Clock) -> None:
    """The one that asks for the longest wait decides."""
    ledger.enlist("a", limits=[PerMinute(2), Rest(10.0)])
    borrow(ledger, "a")
    assert 10.0 == state(ledger).rest
    clock.go(10.0)
    borrow(ledger, "a")

    assert 50.0 == state(ledger).rest


# ---- use


def test_a_use_counts_from_when_it_is_sent(ledger: Ledger, clock: Clock) -> None:
    """What was noted when the token was lent is not in the way of the first use, and then gone."""
    ledger.enlist("a", limits=[Rest(10.0)])
    ledger.take(["a"], "one")
    clock.go(7.0)

    assert 0.0 == ledger.use("one")
    assert 10.0 == state(ledger).rest


def test_each_further_use_counts_as_one_more(ledger: Ledger, clock: Clock) -> None:
    """One lease may send more than once, within the limits."""
    ledger.enlist("a", limits=[PerMinute(2), Rest(10.0)])
    ledger.take(["a"], "one")

    assert [0.0, 10.0] == [ledger.use("one"), ledger.use("one")]
    clock.go(10.0)
    assert [0.0, 50.0] == [ledger.use("one"), ledger.use("one")]


def test_a_lease_that_waits_for_its_use_keeps_the_token(ledger: Ledger, clock: Clock) -> None:
    """Once it has rested, the token is for the lease that waits, and then for others."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    ledger.take(["a"], "one")
    ledger.use("one")
    assert 10.0 == ledger.use("one")
    clock.go(10.0)

    assert (False, 0.0) == (state(ledger).is_free, state(ledger).rest)
    assert ledger.take(["a"], "two") is None
    assert 0.0 == ledger.use("one")
    clock.go(10.0)
    assert "a" == ledger.take(["a"], "two")


def test_a_lease_that_ends_no_longer_waits(ledger: Ledger, clock: Clock) -> None:
    """What it waited for is free for others."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    ledger.take(["a"], "one")
    ledger.use("one")
    ledger.use("one")
    ledger.give_back("one")
    clock.go(10.0)

    assert "a" == ledger.take(["a"], "two")


def test_a_late_use_does_no_harm(ledger: Ledger, clock: Clock) -> None:
    """What was noted at the lending may be older than all limits by the time of the first use."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    ledger.take(["a"], "slow")
    clock.go(100.0)
    borrow(ledger, "a")

    assert 10.0 == ledger.use("slow")
    clock.go(10.0)
    assert 0.0 == ledger.use("slow")


# ---- give_back


def test_what_is_given_back_is_free(ledger: Ledger) -> None:
    """Its uses stay noted; its room is there again."""
    ledger.enlist("a", limits=[PerMinute(2)])
    ledger.take(["a"], "one")
    ledger.give_back("one")

    assert (True, 0) == (state(ledger).is_free, state(ledger).in_use)
    borrow(ledger, "a")
    assert 60.0 == state(ledger).rest


def test_a_lease_is_given_back_once(ledger: Ledger) -> None:
    """Again, or without a token, it does nothing: another lease has the token by now."""
    ledger.enlist("a")
    ledger.take(["a"], "one")
    ledger.give_back("one")
    ledger.take(["a"], "two")
    ledger.give_back("one")
    ledger.give_back("a lease that never had one")

    assert 1 == state(ledger).in_use
    with pytest.raises(KeyError):
        ledger.use("one")


# ---- rest, exhaust, revive, retire


def test_a_token_rests_for_a_time(ledger: Ledger, clock: Clock) -> None:
    """It is lent again when the time is over, not before."""
    ledger.enlist("a")
    ledger.rest("a", 30.0)

    assert (False, 30.0) == (state(ledger).is_free, state(ledger).rest)
    clock.go(29.5)
    assert ledger.take(["a"], "one") is None
    clock.go(0.5)
    assert "a" == ledger.take(["a"], "one")


def test_of_two_rests_the_longer_one_holds(ledger: Ledger, clock: Clock) -> None:
    """Whichever of them came first; a limit may be the longer one too."""
    ledger.enlist("a", limits=[Rest(200.0)])
    ledger.rest("a", 100.0)
    ledger.rest("a", 5.0)
    assert 100.0 == state(ledger).rest
    clock.go(100.0)
    borrow(ledger, "a")
    ledger.rest("a", 5.0)

    assert 200.0 == state(ledger).rest


def test_without_points_a_token_rests_until_it_is_revived(ledger: Ledger, clock: Clock) -> None:
    """No time brings it back, whatever rest it was given besides."""
    ledger.enlist("a")
    ledger.exhaust("a")
    ledger.rest("a", 5.0)
    clock.go(1e9)

    assert (False, inf, True) == (
        state(ledger).is_free,
        state(ledger).rest,
        state(ledger).is_out_of_points,
    )
    ledger.revive("a")
    assert (True, 0.0, False) == (
        state(ledger).is_free,
        state(ledger).rest,
        state(ledger).is_out_of_points,
    )


def test_reviving_ends_a_rest_and_no_limit(ledger: Ledger) -> None:
    """What Poe asked for is over with; how often the token may be used is not."""
    ledger.enlist("a", limits=[Rest(10.0)])
    borrow(ledger, "a")
    ledger.rest("a", 100.0)
    ledger.revive("a")

    assert 10.0 == state(ledger).rest


def test_a_retired_token_stays_retired(ledger: Ledger, clock: Clock) -> None:
    """Neither time nor points nor new terms bring it back."""
    ledger.enlist("a")
    ledger.retire("a", "Logged out.")
    ledger.revive("a")
    ledger.enlist("a", concurrency=5)
    clock.go(1e9)

    assert ("Logged out.", False, inf) == (
        state(ledger).retired,
        state(ledger).is_free,
        state(ledger).rest,
    )
    assert ledger.take(["a"], "one") is None


def test_a_token_in_use_may_be_judged(ledger: Ledger) -> None:
    """Its leases go on, and it is not lent again when they are over."""
    ledger.enlist("a", concurrency=2)
    ledger.take(["a"], "one")
    ledger.retire("a", "Logged out.")

    assert ledger.take(["a"], "two") is None
    assert 0.0 == ledger.use("one")
    ledger.give_back("one")
    assert (0, False) == (state(ledger).in_use, state(ledger).is_free)


def test_what_becomes_of_one_token_is_nothing_to_another(ledger: Ledger) -> None:
    """Each verb is about the token that it names."""
    for name in "abcd":
        ledger.enlist(name, limits=[Rest(10.0)])
    ledger.rest("a", 100.0)
    ledger.exhaust("b")
    ledger.retire("c", "Logged out.")

    assert state(ledger, "d").is_free
    assert [100.0, inf, inf, 0.0] == [one.rest for one in ledger.state("abcd").values()]


# ---- atomicity


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Let so many threads begin at the same moment; return what they found, in any order."""
    together = threading.Barrier(count)
    found: list[object] = []

    def run(place: int) -> None:
        together.wait(60)
        found.append(work(place))

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_of_many_at_once_so_many_are_served_as_there_is_room(ledger: Ledger) -> None:
    """Between the look and the lending nothing else is lent."""
    for name in "abc":
        ledger.enlist(name, concurrency=2)

    taken = in_threads(24, lambda place: ledger.take("abc", f"lease {place}"))

    assert ["a", "a", "b", "b", "c", "c"] == sorted(str(name) for name in taken if name)
    assert [2, 2, 2] == [one.in_use for one in ledger.state("abc").values()]


def test_no_limit_is_exceeded_by_many_at_once(ledger: Ledger) -> None:
    """Neither by taking nor by sending."""
    ledger.enlist("a", concurrency=100, limits=[PerMinute(5)])
    taken = in_threads(24, lambda place: ledger.take(["a"], f"lease {place}") and f"lease {place}")
    leases = [str(lease) for lease in taken if lease]
    assert 5 == len(leases)

    waits = in_threads(24, lambda place: ledger.use(leases[place % 5]))

    assert 5 == waits.count(0.0)
    assert {0.0, 60.0} == set(waits)


def test_a_lease_is_given_back_once_by_many_at_once(ledger: Ledger) -> None:
    """Only one of the calls frees the place."""
    ledger.enlist("a", concurrency=3)
    for lease in ("one", "two", "three"):
        ledger.take(["a"], lease)

    in_threads(12, lambda place: ledger.give_back("one"))

    assert 2 == state(ledger).in_use


def test_nothing_is_lost_while_many_take_use_and_give_back(ledger: Ledger) -> None:
    """However their calls mix, no token is ever lent to two, and all are free at the end."""
    for name in "abc":
        ledger.enlist(name)
    having: list[str] = []
    clashes: list[str] = []
    served: list[str] = []

    def work(place: int) -> None:
        for turn in range(50):
            lease = f"lease {place}-{turn}"
            if (name := ledger.take("abc", lease)) is None:
                continue
            if name in having:
                clashes.append(name)
            having.append(name)
            ledger.use(lease)
            having.remove(name)
            served.append(name)
            ledger.give_back(lease)

    in_threads(8, work)

    assert [] == clashes
    assert served
    assert [(True, 0)] * 3 == [(one.is_free, one.in_use) for one in ledger.state("abc").values()]
