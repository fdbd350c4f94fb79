"""What every ledger must do, whatever it keeps its state in: its verbs, one by one.

A new store joins `LEDGERS`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from itertools import count
from math import inf
from typing import Any, Final, TypeAlias

import pytest

from poe_proxy.errors import TokenExhausted
from poe_proxy.pool.ledger import Ledger, Outlook, Standing, TokenState, Want
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.redis.ledger import RedisLedger

from ..fakes import Clock
from ..shared.redis_server import RedisServer
from .redis.direct import Direct, fake

#: Makes a ledger on the clock of the test, and on a server if it needs one.
LEDGERS: Final[dict[str, Callable[[Clock, Callable[[], RedisServer]], Ledger]]] = {
    "memory": lambda clock, _: MemoryLedger(clock=clock),
    "script": lambda clock, _: RedisLedger(fake(clock)),
    "redis": lambda clock, server: RedisLedger(Direct(server().client, clock)),
}

#: Ids of leases are used once.
LEASES: Final = map("for a moment {}".format, count())

#: Changes what is known of the token `a`.
Verb: TypeAlias = Callable[[Ledger], object]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, clock: Clock) -> Ledger:
    return LEDGERS[request.param](clock, lambda: request.getfixturevalue("redis_server"))


def state(ledger: Ledger, name: str = "a", bot: str = "") -> TokenState:
    return ledger.state([name], bot=bot)[name]


def take(ledger: Ledger, names: Collection[str], lease: str, **wish: Any) -> str | None:
    """Take a token for the only lease in line; return its name."""
    return ledger.serve([Want(lease, names, **wish)]).lent.get(lease)


def borrow(ledger: Ledger, *names: str, **wish: Any) -> str | None:
    """Take a token and give it back; return its name."""
    lease = next(LEASES)
    name = take(ledger, names, lease, **wish)
    ledger.give_back(lease)
    return name


def send(ledger: Ledger, lease: str) -> float:
    """Send something that arrives at once, if that is allowed; return what `use` says."""
    wait = ledger.use(lease)
    ledger.arrived(lease)
    return wait


def spend(ledger: Ledger, name: str = "a") -> None:
    """Take a token that has to be free, send something, give it back."""
    lease = next(LEASES)
    assert name == take(ledger, [name], lease)
    assert 0.0 == send(ledger, lease)
    ledger.give_back(lease)


# ---- enlist


def test_a_new_token_is_free(ledger: Ledger) -> None:
    """Nothing is known of it but that it may be lent."""
    ledger.enlist("a")

    assert state(ledger) == TokenState(is_free=True, in_use=0, rest=0.0, standing=Standing.FIT)
    assert Outlook(uses=[], rest=0.0, in_use=0) == ledger.outlook(["a"])["a"]


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda ledger: ledger.withdraw("b"), id="withdraw"),
        pytest.param(lambda ledger: ledger.rest("b", 1.0), id="rest"),
        pytest.param(lambda ledger: ledger.strike("b"), id="strike"),
        pytest.param(lambda ledger: ledger.clear("b"), id="clear"),
        pytest.param(lambda ledger: ledger.exhaust("b"), id="exhaust"),
        pytest.param(lambda ledger: ledger.suspend("b", "Who are you?"), id="suspend"),
        pytest.param(lambda ledger: ledger.reconsider("b"), id="reconsider"),
        pytest.param(lambda ledger: ledger.revive("b"), id="revive"),
        pytest.param(lambda ledger: ledger.pause("b", 1.0), id="pause"),
        pytest.param(lambda ledger: ledger.bring_back("b"), id="bring back"),
        pytest.param(lambda ledger: ledger.retire("b", "Logged out."), id="retire"),
        pytest.param(lambda ledger: ledger.state(["a", "b"]), id="state"),
        pytest.param(lambda ledger: ledger.outlook(["a", "b"]), id="outlook"),
        pytest.param(lambda ledger: ledger.use("a lease that has no token"), id="use"),
    ],
)
def test_what_was_never_enlisted_is_a_mistake(ledger: Ledger, verb: Verb) -> None:
    """A wrong name, or a lease without a token, is not passed over in silence."""
    ledger.enlist("a")

    with pytest.raises(KeyError):
        verb(ledger)
    assert "a" == take(ledger, ["b", "a"], "one")


def test_terms_may_change_and_what_is_known_stays(ledger: Ledger, clock: Clock) -> None:
    """To enlist a token anew frees it of no use, no lease, no rest."""
    ledger.enlist("a", limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    ledger.enlist("a", concurrency=2, limits=[Rest(30.0)])

    assert (1, 30.0) == (state(ledger).in_use, state(ledger).rest)
    clock.go(30.0)
    assert "a" == take(ledger, ["a"], "two")
    assert take(ledger, ["a"], "three") is None


def test_a_new_rank_counts_at_once(ledger: Ledger) -> None:
    """The next one to be lent is the lowest in rank as it is now."""
    ledger.enlist("a", rank=1)
    ledger.enlist("b", rank=2)
    ledger.enlist("b", rank=0)

    assert "b" == borrow(ledger, "a", "b")


def test_the_same_terms_again_change_nothing(ledger: Ledger) -> None:
    """Tokens keep their turns when a file of settings is read again."""
    for name in "abc":
        ledger.enlist(name)
    assert "a" == borrow(ledger, *"abc")
    for name in "abc":
        ledger.enlist(name)

    assert ["b", "c", "a"] == [borrow(ledger, *"abc") for _ in range(3)]


# ---- withdraw


def test_a_withdrawn_token_is_lent_no_more(ledger: Ledger) -> None:
    """Its leases go on, and may use it."""
    ledger.enlist("a", concurrency=2)
    take(ledger, ["a"], "one")
    ledger.withdraw("a")

    assert take(ledger, ["a"], "two") is None
    assert (False, 1) == (state(ledger).is_free, state(ledger).in_use)
    assert 0.0 == send(ledger, "one")
    ledger.give_back("one")
    assert (False, 0) == (state(ledger).is_free, state(ledger).in_use)
    assert take(ledger, ["a"], "two") is None


def test_a_withdrawn_token_may_come_back_and_what_is_known_stays(
    ledger: Ledger, clock: Clock
) -> None:
    """Neither its limits nor its leases nor what Poe said of it are gone."""
    ledger.enlist("a", concurrency=2, limits=[Within(1, 60.0)])
    spend(ledger)
    ledger.rest("a", 45.0, "Slow down.")
    ledger.withdraw("a")
    ledger.withdraw("a")
    ledger.enlist("a", concurrency=2, limits=[Within(1, 60.0)])

    assert (60.0, "Slow down.") == (state(ledger).rest, state(ledger).reason)
    clock.go(45.0)
    assert (15.0, "") == (state(ledger).rest, state(ledger).reason)
    clock.go(15.0)
    assert "a" == take(ledger, ["a"], "one")


# ---- serve


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
    take(ledger, ["key"], "one")
    assert "cookie" == borrow(ledger, "cookie", "key")


def test_only_what_is_named_is_lent(ledger: Ledger) -> None:
    """A free token that was not asked for stays."""
    ledger.enlist("a")
    ledger.enlist("b")

    assert "b" == take(ledger, ["b"], "one")
    assert take(ledger, ["b"], "two") is None
    assert take(ledger, [], "three") is None
    assert (True, False) == (state(ledger, "a").is_free, state(ledger, "b").is_free)


def test_a_token_has_room_for_so_many_leases(ledger: Ledger) -> None:
    """Concurrency is how many may have it at a time."""
    ledger.enlist("a", concurrency=2)

    assert ["a", "a", None] == [take(ledger, ["a"], lease) for lease in ("one", "two", "three")]
    assert 2 == state(ledger).in_use
    ledger.give_back("one")
    assert "a" == take(ledger, ["a"], "three")


def test_a_lease_takes_once(ledger: Ledger) -> None:
    """The same call again, after a lost answer, gives the same token and costs nothing."""
    ledger.enlist("a", concurrency=2, limits=[Within(2, 60.0)])
    ledger.enlist("b")

    assert ["a", "a"] == [take(ledger, ["a", "b"], "one") for _ in range(2)]
    assert 1 == state(ledger).in_use
    assert "a" == take(ledger, ["a"], "two")


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
    ledger.enlist("a", limits=[Within(2, 60.0), Rest(10.0)])
    borrow(ledger, "a")
    assert 10.0 == state(ledger).rest
    clock.go(10.0)
    borrow(ledger, "a")

    assert 50.0 == state(ledger).rest


def test_the_line_is_served_in_order(ledger: Ledger) -> None:
    """Each free token goes to the first that it fits; a want that none fits is overtaken."""
    ledger.enlist("a")
    ledger.enlist("b")

    served = ledger.serve(
        [Want("one", ["a"]), Want("two", ["a"]), Want("three", ["a", "b"]), Want("four", ["b"])]
    )

    assert {"one": "a", "three": "b"} == served.lent
    ledger.give_back("one")
    ledger.give_back("three")
    assert {"two": "a", "four": "b"} == ledger.serve([Want("two", ["a"]), Want("four", "ab")]).lent


def test_one_token_is_lent_as_often_as_it_has_room(ledger: Ledger) -> None:
    """In one step too; in between others have their turn."""
    ledger.enlist("a", concurrency=2)
    ledger.enlist("b", concurrency=2)
    line = [Want(lease, "ab") for lease in ("one", "two", "three", "four", "five")]

    lent = ledger.serve(line).lent

    assert {"one": "a", "two": "b", "three": "a", "four": "b"} == lent


def test_turns_are_kept_behind_one_that_has_to_wait(ledger: Ledger) -> None:
    """Who is not served changes nothing for the rest of the line."""
    ledger.enlist("a", concurrency=2)
    ledger.enlist("b", concurrency=2)
    waiting = Want("nothing fits", ["c"])
    line = [waiting, *(Want(lease, "ab") for lease in ("one", "two", "three"))]

    assert {"one": "a", "two": "b", "three": "a"} == ledger.serve(line).lent


def test_who_has_a_token_keeps_it(ledger: Ledger) -> None:
    """A line that is given twice, after a lost answer, costs nothing."""
    ledger.enlist("a", limits=[Within(1, 60.0)])
    ledger.enlist("b", limits=[Within(1, 60.0)])
    line = [Want(lease, "ab") for lease in ("one", "two", "three")]

    assert [{"one": "a", "two": "b"}] * 2 == [ledger.serve(line).lent for _ in range(2)]
    assert {"a": 1, "b": 1} == {
        name: len(one.uses) for name, one in ledger.outlook(["a", "b"]).items()
    }


def test_a_name_that_was_never_enlisted_serves_nobody(ledger: Ledger) -> None:
    """The line may be older than the settings."""
    assert ({}, inf) == (ledger.serve([Want("one", ["a"])]).lent, due(ledger, Want("one", ["a"])))
    ledger.enlist("a")
    assert "a" == take(ledger, ["a"], "one")


def test_a_rest_for_one_bot_leaves_the_token_to_others(ledger: Ledger, clock: Clock) -> None:
    """However the bot is spelled; the line behind is not held up."""
    ledger.enlist("a")
    ledger.rest("a", 30.0, "No more videos today.", bot="Veo-3")

    assert [30.0, 30.0, 0.0, 0.0] == [
        state(ledger, bot=bot).rest for bot in ("Veo-3", "veo-3", "GPT-5", "")
    ]
    served = ledger.serve([Want("one", ["a"], bot="VEO-3"), Want("two", ["a"], bot="GPT-5")])
    assert {"two": "a"} == served.lent
    ledger.give_back("two")
    assert 30.0 == due(ledger, Want("one", ["a"], bot="VEO-3"))
    clock.go(30.0)
    assert "a" == take(ledger, ["a"], "one", bot="VEO-3")


# ---- due


def due(ledger: Ledger, *line: Want) -> float:
    return ledger.serve(line).due


def test_the_line_is_due_when_the_first_rest_is_over(ledger: Ledger, clock: Clock) -> None:
    """Of the tokens that fit a want in line, whatever others do."""
    for name, rest in {"a": 30.0, "b": 20.0, "c": 10.0}.items():
        ledger.enlist(name)
        ledger.rest(name, rest)

    assert 20.0 == due(ledger, Want("one", ["a"]), Want("two", ["a", "b"]))
    clock.go(20.0)
    served = ledger.serve([Want("one", ["a"]), Want("two", ["a", "b"])])
    assert ({"two": "b"}, 10.0) == (served.lent, served.due)


def test_the_line_is_due_for_the_bot_that_may_be_asked_first(ledger: Ledger) -> None:
    """Whoever stands in front."""
    ledger.enlist("a")
    ledger.rest("a", 30.0, bot="Veo-3")
    ledger.rest("a", 10.0)

    assert 30.0 == due(ledger, Want("one", ["a"], bot="Veo-3"))
    assert 10.0 == due(ledger, Want("one", ["a"], bot="Veo-3"), Want("two", ["a"], bot="GPT-5"))


def test_only_another_verb_serves_who_waits_for_a_lease_to_end(ledger: Ledger) -> None:
    """Time alone gives nothing back, revives nothing, and brings no points."""
    for name in "abcd":
        ledger.enlist(name, limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    ledger.exhaust("b")
    ledger.suspend("c", "Who are you?")
    ledger.withdraw("d")

    assert inf == due(ledger, Want("two", "abcd"))
    ledger.give_back("one")
    assert 10.0 == due(ledger, Want("two", "abcd"))


def test_an_empty_line_is_never_due(ledger: Ledger) -> None:
    """Nor is one in which all have been served."""
    ledger.enlist("a")

    assert [inf, inf] == [due(ledger), due(ledger, Want("one", ["a"]))]


# ---- use


def test_a_use_counts_from_when_it_is_sent(ledger: Ledger, clock: Clock) -> None:
    """What was noted when the token was lent is not in the way of the first use, and then gone."""
    ledger.enlist("a", limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    clock.go(7.0)

    assert 0.0 == ledger.use("one")
    assert 10.0 == state(ledger).rest


def test_each_further_use_counts_as_one_more(ledger: Ledger, clock: Clock) -> None:
    """One lease may send more than once, within the limits."""
    ledger.enlist("a", limits=[Within(2, 60.0), Rest(10.0)])
    take(ledger, ["a"], "one")

    assert [0.0, 10.0] == [send(ledger, "one"), send(ledger, "one")]
    clock.go(10.0)
    assert [0.0, 50.0] == [send(ledger, "one"), send(ledger, "one")]


def test_a_lease_that_waits_for_its_use_keeps_the_token(ledger: Ledger, clock: Clock) -> None:
    """Once it has rested, the token is for the lease that waits, and then for others."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    send(ledger, "one")
    assert 10.0 == send(ledger, "one")
    clock.go(10.0)

    assert (False, 0.0) == (state(ledger).is_free, state(ledger).rest)
    assert take(ledger, ["a"], "two") is None
    assert 0.0 == send(ledger, "one")
    clock.go(10.0)
    assert "a" == take(ledger, ["a"], "two")


def test_a_lease_that_ends_no_longer_waits(ledger: Ledger, clock: Clock) -> None:
    """What it waited for is free for others."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    send(ledger, "one")
    send(ledger, "one")
    ledger.give_back("one")
    clock.go(10.0)

    assert "a" == take(ledger, ["a"], "two")


def test_a_late_use_does_no_harm(ledger: Ledger, clock: Clock) -> None:
    """What was noted at the lending may be older than all limits by the time of the first use."""
    ledger.enlist("a", concurrency=2, limits=[Rest(10.0)])
    take(ledger, ["a"], "slow")
    clock.go(100.0)
    borrow(ledger, "a")

    assert 10.0 == ledger.use("slow")
    clock.go(10.0)
    assert 0.0 == ledger.use("slow")


def test_a_rest_that_poe_asks_for_holds_back_what_was_lent(ledger: Ledger, clock: Clock) -> None:
    """A lease that has the token sends nothing before the rest is over, for its bot either."""
    ledger.enlist("a", concurrency=3)
    for lease, bot in {"one": "Veo-3", "two": "GPT-5"}.items():
        take(ledger, ["a"], lease, bot=bot)
    ledger.rest("a", 20.0, bot="veo-3")
    assert [20.0, 0.0] == [send(ledger, "one"), send(ledger, "two")]
    ledger.rest("a", 10.0)

    assert [20.0, 10.0] == [send(ledger, "one"), send(ledger, "two")]
    clock.go(10.0)
    assert [10.0, 0.0] == [send(ledger, "one"), send(ledger, "two")]
    assert take(ledger, ["a"], "three") is None
    clock.go(10.0)
    assert 0.0 == send(ledger, "one")
    assert "a" == take(ledger, ["a"], "three")


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(lambda ledger: ledger.exhaust("a"), id="out of points"),
        pytest.param(lambda ledger: ledger.pause("a", inf), id="paused"),
        pytest.param(lambda ledger: ledger.suspend("a", "Who are you?"), id="suspended"),
        pytest.param(lambda ledger: ledger.retire("a", "Logged out."), id="retired"),
    ],
)
def test_nothing_is_sent_with_a_token_that_was_set_aside(ledger: Ledger, verdict: Verb) -> None:
    """What was lent before is of no use, however long its lease waits."""
    ledger.enlist("a")
    take(ledger, ["a"], "one")
    verdict(ledger)

    assert inf == ledger.use("one")
    ledger.give_back("one")
    assert (0, False) == (state(ledger).in_use, state(ledger).is_free)


def test_a_strike_holds_back_no_use(ledger: Ledger) -> None:
    """It says which token is lent, not what may be sent."""
    ledger.enlist("a")
    take(ledger, ["a"], "one")
    ledger.strike("a", "Overloaded.")

    assert 0.0 == ledger.use("one")


# ---- arrived


def test_a_use_counts_from_its_arrival(ledger: Ledger, clock: Clock) -> None:
    """Until then it may be anywhere on its way, and counts as if it were sent this moment."""
    ledger.enlist("a", limits=[Within(1, 60.0)])
    take(ledger, ["a"], "one")
    ledger.use("one")

    assert 60.0 == state(ledger).rest
    clock.go(3.0)
    assert (60.0, [0.0]) == (state(ledger).rest, ledger.outlook(["a"])["a"].uses)
    ledger.arrived("one")
    clock.go(1.0)
    assert (59.0, [1.0]) == (state(ledger).rest, ledger.outlook(["a"])["a"].uses)


def test_a_use_has_arrived_after_five_seconds(ledger: Ledger, clock: Clock) -> None:
    """Or it never will: an answer that comes later says nothing new."""
    ledger.enlist("a", limits=[Within(1, 60.0)])
    take(ledger, ["a"], "one")
    ledger.use("one")
    clock.go(30.0)

    assert 35.0 == state(ledger).rest
    ledger.arrived("one")
    assert 35.0 == state(ledger).rest


def test_it_is_the_last_use_that_has_arrived(ledger: Ledger, clock: Clock) -> None:
    """What a lease sent before may be on its way for longer. To say it again does nothing."""
    ledger.enlist("a", limits=[Within(9, 60.0)])
    take(ledger, ["a"], "one")
    ledger.use("one")
    clock.go(1.0)
    ledger.use("one")
    ledger.arrived("one")
    ledger.arrived("one")
    clock.go(1.0)

    assert [1.0, 0.0] == ledger.outlook(["a"])["a"].uses
    clock.go(10.0)
    assert [11.0, 7.0] == ledger.outlook(["a"])["a"].uses


def test_nothing_arrives_of_a_lease_that_sent_nothing(ledger: Ledger) -> None:
    """The place that is held for a first use stays held."""
    ledger.enlist("a", limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    ledger.arrived("one")
    ledger.arrived("a lease that never had a token")

    assert [0.0] == ledger.outlook(["a"])["a"].uses
    assert 0.0 == ledger.use("one")


# ---- give_back


def test_what_is_on_its_way_stays_so_when_its_lease_ends(ledger: Ledger, clock: Clock) -> None:
    """A client that hangs up does not call back what was sent: it arrives all the same."""
    ledger.enlist("a", limits=[Rest(10.0)])
    take(ledger, ["a"], "one")
    ledger.use("one")
    clock.go(1.0)
    ledger.give_back("one")

    clock.go(3.0)
    assert 10.0 == state(ledger).rest
    ledger.arrived("one")
    clock.go(1.0)
    assert 10.0 == state(ledger).rest
    clock.go(1.0)
    assert 9.0 == state(ledger).rest


def test_what_is_given_back_is_free(ledger: Ledger) -> None:
    """Its uses stay noted; its room is there again."""
    ledger.enlist("a", limits=[Within(2, 60.0)])
    take(ledger, ["a"], "one")
    ledger.give_back("one")

    assert (True, 0) == (state(ledger).is_free, state(ledger).in_use)
    borrow(ledger, "a")
    assert 60.0 == state(ledger).rest


def test_a_lease_is_given_back_once(ledger: Ledger) -> None:
    """Again, or without a token, it does nothing: another lease has the token by now."""
    ledger.enlist("a")
    take(ledger, ["a"], "one")
    ledger.give_back("one")
    take(ledger, ["a"], "two")
    ledger.give_back("one")
    ledger.give_back("a lease that never had one")

    assert 1 == state(ledger).in_use
    with pytest.raises(KeyError):
        ledger.use("one")


# ---- rest


def test_a_token_rests_for_a_time(ledger: Ledger, clock: Clock) -> None:
    """It is lent again when the time is over, not before."""
    ledger.enlist("a")
    ledger.rest("a", 30.0, "Slow down.")

    assert (False, 30.0) == (state(ledger).is_free, state(ledger).rest)
    assert (Standing.LIMITED, "Slow down.") == (state(ledger).standing, state(ledger).reason)
    clock.go(29.5)
    assert take(ledger, ["a"], "one") is None
    clock.go(0.5)
    assert (Standing.FIT, "") == (state(ledger).standing, state(ledger).reason)
    assert "a" == take(ledger, ["a"], "one")


def test_of_two_rests_the_longer_one_holds(ledger: Ledger, clock: Clock) -> None:
    """Whichever of them came first; a limit may be the longer one too."""
    ledger.enlist("a", limits=[Rest(200.0)])
    ledger.rest("a", 100.0, "You are fast.")
    ledger.rest("a", 5.0, "A moment.")
    assert (100.0, "You are fast.") == (state(ledger).rest, state(ledger).reason)
    clock.go(100.0)
    borrow(ledger, "a")
    ledger.rest("a", 5.0)

    assert 200.0 == state(ledger).rest


def test_a_rest_for_a_bot_and_one_for_all_hold_both(ledger: Ledger) -> None:
    """The reason is that of the longer one."""
    ledger.enlist("a")
    ledger.rest("a", 10.0, "Slow down.")
    ledger.rest("a", 30.0, "No more videos today.", bot="Veo-3")
    ledger.rest("a", 5.0, "A moment.", bot="GPT-5")

    assert {
        "Veo-3": (30.0, "No more videos today."),
        "GPT-5": (10.0, "Slow down."),
        "": (10.0, "Slow down."),
    } == {
        bot: (state(ledger, bot=bot).rest, state(ledger, bot=bot).reason)
        for bot in ("Veo-3", "GPT-5", "")
    }


def test_of_two_rests_that_end_together_the_first_is_the_reason(ledger: Ledger) -> None:
    """For a bot or for all: what was said first is said again."""
    ledger.enlist("a")
    ledger.enlist("b")
    for name, bots in {"a": ("Veo-3", ""), "b": ("", "Veo-3")}.items():
        for bot in bots:
            ledger.rest(name, 30.0, f"For {bot or 'all'}.", bot=bot)

    assert ["For Veo-3.", "For all."] == [
        one.reason for one in ledger.state("ab", bot="Veo-3").values()
    ]


# ---- exhaust, revive, retire


def test_without_points_a_token_rests_until_it_is_revived(ledger: Ledger, clock: Clock) -> None:
    """No time brings it back, whatever rest it was given besides."""
    ledger.enlist("a")
    ledger.exhaust("a", "You have no points.")
    ledger.rest("a", 5.0)
    clock.go(1e9)

    assert state(ledger) == TokenState(
        is_free=False,
        in_use=0,
        rest=inf,
        standing=Standing.OUT_OF_POINTS,
        reason="You have no points.",
        next_look=0.0,
    )
    ledger.revive("a")
    assert state(ledger) == TokenState(is_free=True, in_use=0, rest=0.0, standing=Standing.FIT)


def test_reviving_ends_no_limit_and_no_rest_that_poe_asked_for(ledger: Ledger) -> None:
    """That the account has points again says nothing about either."""
    ledger.enlist("a", limits=[Rest(10.0)])
    borrow(ledger, "a")
    ledger.rest("a", 100.0, bot="Veo-3")
    ledger.rest("a", 30.0, "Too many requests.", "rate_limit_exceeded")
    ledger.exhaust("a")
    ledger.revive("a")

    assert (Standing.LIMITED, "Too many requests.") == (
        state(ledger).standing,
        state(ledger).reason,
    )
    assert [30.0, 100.0] == [state(ledger).rest, state(ledger, bot="Veo-3").rest]


def test_reviving_ends_the_rests_for_want_of_points(ledger: Ledger) -> None:
    """Whoever has bought some does not wait for the bot that was asked without any."""
    ledger.enlist("a")
    ledger.rest("a", 300.0, "You have no points.", TokenExhausted.code, bot="Veo-3")
    ledger.exhaust("a")
    ledger.revive("a")

    assert 0.0 == state(ledger, bot="Veo-3").rest


def test_reviving_forgets_no_failure(ledger: Ledger) -> None:
    """A look at the account does not show whether its sends work again."""
    ledger.enlist("a")
    ledger.enlist("b")
    ledger.strike("a", "Overloaded.")
    ledger.suspend("a", "Who are you?")
    ledger.revive("a")
    take(ledger, ["b"], "one")
    ledger.give_back("one")

    assert "b" == take(ledger, ["a", "b"], "two")


def test_a_retired_token_stays_retired(ledger: Ledger, clock: Clock) -> None:
    """Neither time nor points nor new terms bring it back."""
    ledger.enlist("a")
    ledger.retire("a", "Logged out.")
    ledger.revive("a")
    ledger.enlist("a", concurrency=5)
    clock.go(1e9)

    assert state(ledger) == TokenState(
        is_free=False, in_use=0, rest=inf, standing=Standing.RETIRED, reason="Logged out."
    )
    assert take(ledger, ["a"], "one") is None


def test_a_token_in_use_may_be_judged(ledger: Ledger) -> None:
    """Its leases go on, and it is not lent again when they are over."""
    ledger.enlist("a", concurrency=2)
    take(ledger, ["a"], "one")
    ledger.retire("a", "Logged out.")

    assert take(ledger, ["a"], "two") is None
    assert 1 == state(ledger).in_use
    ledger.give_back("one")
    assert (0, False) == (state(ledger).in_use, state(ledger).is_free)


def test_what_becomes_of_one_token_is_nothing_to_another(ledger: Ledger) -> None:
    """Each verb is about the token that it names."""
    for name in "abcdef":
        ledger.enlist(name, limits=[Rest(10.0)])
    ledger.rest("a", 100.0)
    ledger.exhaust("b")
    ledger.retire("c", "Logged out.")
    ledger.suspend("d", "Who are you?")
    ledger.strike("e", "Overloaded.")

    assert state(ledger, "f") == TokenState(is_free=True, in_use=0, rest=0.0, standing=Standing.FIT)
    assert [100.0, inf, inf, inf, 0.0, 0.0] == [one.rest for one in ledger.state("abcdef").values()]


def test_the_gravest_standing_is_the_one_that_is_named(ledger: Ledger) -> None:
    """Each with its own reason."""
    ledger.enlist("a", limits=[Rest(10.0)])
    spend(ledger)
    told = [(state(ledger).standing, state(ledger).reason)]
    for verb in (
        lambda: ledger.rest("a", 5.0, "Slow down."),
        lambda: ledger.pause("a", 1.0),
        lambda: ledger.exhaust("a", "No points."),
        lambda: ledger.suspend("a", "Who are you?"),
        lambda: ledger.retire("a", "Logged out."),
    ):
        verb()
        told.append((state(ledger).standing, state(ledger).reason))

    assert [
        (Standing.RESTING, ""),
        (Standing.LIMITED, "Slow down."),
        (Standing.PAUSED, ""),
        (Standing.OUT_OF_POINTS, "No points."),
        (Standing.SUSPENDED, "Who are you?"),
        (Standing.RETIRED, "Logged out."),
    ] == told


# ---- what the operator says


def test_the_operator_lets_a_token_rest(ledger: Ledger, clock: Clock) -> None:
    """For a time; of two such rests the later word counts, and a rest of Poe's goes on."""
    ledger.enlist("a")
    ledger.pause("a", inf)
    clock.go(1e9)
    assert state(ledger) == TokenState(
        is_free=False, in_use=0, rest=inf, standing=Standing.PAUSED, code="paused"
    )
    ledger.pause("a", 600.0)
    ledger.rest("a", 900.0, "Slow down.")
    assert (Standing.PAUSED, 900.0) == (state(ledger).standing, state(ledger).rest)
    clock.go(600.0)
    assert (Standing.LIMITED, 300.0) == (state(ledger).standing, state(ledger).rest)
    clock.go(300.0)
    assert state(ledger).is_free


def test_a_look_ends_no_rest_of_the_operators(ledger: Ledger) -> None:
    """That Poe accepts the account says nothing of why the operator has set it aside."""
    ledger.enlist("a")
    ledger.pause("a", inf)
    ledger.exhaust("a")
    ledger.revive("a")

    assert Standing.PAUSED == state(ledger).standing


def test_the_operator_brings_a_token_back_from_everything(ledger: Ledger) -> None:
    """What Poe said, what failed, and the operator's own word: only the limits hold on."""
    ledger.enlist("a", limits=[Rest(10.0)])
    ledger.enlist("b", rank=1)
    spend(ledger)
    ledger.strike("a", "Overloaded.")
    ledger.rest("a", 100.0, bot="Veo-3")
    ledger.rest("a", 30.0, "Too many requests.")
    ledger.pause("a", inf)
    ledger.exhaust("a", "No points.")
    ledger.suspend("a", "Who are you?")
    ledger.retire("a", "Logged out.")
    ledger.bring_back("a")

    for bot in ("", "Veo-3"):
        assert state(ledger, bot=bot) == TokenState(
            is_free=False, in_use=0, rest=10.0, standing=Standing.RESTING
        )


# ---- suspend


def test_a_suspended_token_is_set_aside_until_it_is_revived(ledger: Ledger, clock: Clock) -> None:
    """Time does no more than to make a look due."""
    ledger.enlist("a")
    ledger.suspend("a", "Who are you?", "upstream_auth")

    assert state(ledger) == TokenState(
        is_free=False,
        in_use=0,
        rest=inf,
        standing=Standing.SUSPENDED,
        reason="Who are you?",
        code="upstream_auth",
        next_look=60.0,
    )
    clock.go(1e9)
    assert (inf, 0.0) == (state(ledger).rest, state(ledger).next_look)
    assert take(ledger, ["a"], "one") is None
    ledger.revive("a")
    assert state(ledger) == TokenState(is_free=True, in_use=0, rest=0.0, standing=Standing.FIT)


def test_refusals_while_no_look_is_due_say_nothing_new(ledger: Ledger, clock: Clock) -> None:
    """Requests that were under way together are refused together."""
    ledger.enlist("a")
    for seconds in (0.0, 1.0, 58.0):
        clock.go(seconds)
        ledger.suspend("a", f"Refused after {seconds} s.")

    assert ("Refused after 0.0 s.", 1.0) == (state(ledger).reason, state(ledger).next_look)


def test_each_look_that_finds_a_refusal_makes_the_next_one_later(
    ledger: Ledger, clock: Clock
) -> None:
    """After the sixth refusal the token is retired, with what Poe said last."""
    ledger.enlist("a")
    looks = []
    for place in range(5):
        ledger.suspend("a", f"Refusal {place}.", "upstream_auth")
        looks.append(state(ledger).next_look)
        clock.go(looks[-1])

    assert [60.0, 300.0, 900.0, 3600.0, 3600.0] == looks
    assert Standing.SUSPENDED == state(ledger).standing
    ledger.suspend("a", "The last refusal.", "upstream_auth")
    assert state(ledger) == TokenState(
        is_free=False,
        in_use=0,
        rest=inf,
        standing=Standing.RETIRED,
        reason="The last refusal.",
        code="upstream_auth",
    )


def test_a_token_that_is_accepted_again_begins_anew(ledger: Ledger, clock: Clock) -> None:
    """Refusals before that are not counted."""
    ledger.enlist("a")
    for _ in range(3):
        ledger.suspend("a", "Who are you?")
        clock.go(state(ledger).next_look)
    ledger.revive("a")
    ledger.suspend("a", "Who are you?")

    assert 60.0 == state(ledger).next_look


# ---- reconsider


def test_a_suspended_token_may_be_looked_at_sooner(ledger: Ledger, clock: Clock) -> None:
    """Something about it changed; what is known of its refusals stays."""
    ledger.enlist("a")
    ledger.suspend("a", "Who are you?", "upstream_auth")
    assert 60.0 == state(ledger).next_look
    ledger.reconsider("a")

    assert (0.0, Standing.SUSPENDED) == (state(ledger).next_look, state(ledger).standing)


def test_a_look_before_its_time_is_no_further_refusal(ledger: Ledger, clock: Clock) -> None:
    """However often the server is restarted: only refusals a look apart retire a token."""
    ledger.enlist("a")
    ledger.suspend("a", "Who are you?", "upstream_auth")
    for _ in range(9):
        clock.go(5.0)
        ledger.reconsider("a")
        ledger.suspend("a", "Who are you?", "upstream_auth")

    assert (15.0, Standing.SUSPENDED) == (state(ledger).next_look, state(ledger).standing)
    clock.go(15.0)
    ledger.suspend("a", "Who are you?", "upstream_auth")
    assert 300.0 == state(ledger).next_look


def test_a_retired_token_has_one_more_look(ledger: Ledger) -> None:
    """If Poe still refuses it, it is retired again."""
    ledger.enlist("a")
    ledger.retire("a", "Logged out.")
    ledger.reconsider("a")
    assert (0.0, Standing.SUSPENDED, "Logged out.") == (
        state(ledger).next_look,
        state(ledger).standing,
        state(ledger).reason,
    )
    ledger.suspend("a", "Logged out still.", "upstream_auth")

    assert (Standing.RETIRED, "Logged out still.") == (state(ledger).standing, state(ledger).reason)


def test_a_token_that_is_accepted_is_not_looked_at(ledger: Ledger) -> None:
    """There is nothing to reconsider."""
    ledger.enlist("a")
    ledger.reconsider("a")

    assert (inf, Standing.FIT) == (state(ledger).next_look, state(ledger).standing)


# ---- strike, clear


def test_a_token_that_failed_is_lent_after_the_others(ledger: Ledger) -> None:
    """Also while these are busy, if they may be free in time."""
    ledger.enlist("a")
    ledger.enlist("b", rank=1)
    ledger.strike("a", "Overloaded.")

    assert (True, True, "Overloaded.") == (
        state(ledger).is_struck,
        state(ledger).is_free,
        state(ledger).reason,
    )
    assert "b" == take(ledger, "ab", "one")
    assert take(ledger, "ab", "two") is None
    assert "a" == take(ledger, "a", "two")


def test_a_token_that_failed_is_lent_if_there_is_no_better_one(
    ledger: Ledger, clock: Clock
) -> None:
    """A rest that is too long, a standing, a withdrawal: none of these is better."""
    for name in "abcdef":
        ledger.enlist(name)
    ledger.strike("a", "Overloaded.")
    ledger.rest("b", 30.0)
    ledger.exhaust("c")
    ledger.suspend("d", "Who are you?")
    ledger.retire("e", "Logged out.")
    ledger.withdraw("f")

    assert take(ledger, "abcdef", "one", within=30.0) is None
    assert "a" == take(ledger, "abcdef", "one", within=29.5)


def test_who_has_less_time_takes_what_others_pass_over(ledger: Ledger) -> None:
    """Each want by itself, in one line too."""
    ledger.enlist("a")
    ledger.enlist("b")
    ledger.strike("a", "Overloaded.")
    ledger.rest("b", 20.0)
    both = frozenset("ab")
    line = [Want("one", both, within=30.0), Want("two", both, within=20.0)]

    assert {} == ledger.serve(line).lent
    assert {"three": "a"} == ledger.serve([*line, Want("three", both, within=19.5)]).lent


def test_what_may_be_free_too_late_is_no_better(ledger: Ledger, clock: Clock) -> None:
    """A use on its way may arrive at the last moment, and the rest begins there."""
    ledger.enlist("a")
    ledger.enlist("b", concurrency=2, limits=[Rest(10.0)])
    ledger.strike("a", "Overloaded.")
    take(ledger, "b", "sends")
    ledger.use("sends")

    assert take(ledger, "ab", "one", within=15.0) is None
    assert "a" == take(ledger, "ab", "one", within=14.5)


def test_of_those_that_failed_the_one_that_has_waited_longest_is_lent(
    ledger: Ledger, clock: Clock
) -> None:
    """If there are no others: the one whose backoff ends first, whatever its rank."""
    for name in "abc":
        ledger.enlist(name, rank=ord(name))
    for name in "bca":
        ledger.strike(name)
        clock.go(1.0)

    assert ["b", "c", "a"] == [take(ledger, "abc", lease) for lease in ("one", "two", "three")]


def test_a_token_that_failed_is_tried_by_one_at_a_time(ledger: Ledger, clock: Clock) -> None:
    """Once the backoff is over, and in its turn; the others go on with what works."""
    ledger.enlist("a", concurrency=9)
    ledger.enlist("b", concurrency=9, rank=1)
    ledger.strike("a", "Overloaded.")
    assert "b" == take(ledger, "ab", "early")
    clock.go(5.0)

    line = [Want(lease, "ab") for lease in ("one", "two", "three")]
    assert {"one": "a", "two": "b", "three": "b"} == ledger.serve(line).lent
    ledger.give_back("one")
    assert "a" == take(ledger, "ab", "four")
    ledger.clear("a")
    assert "a" == take(ledger, "ab", "five")


def test_who_does_not_probe_gets_what_works(ledger: Ledger, clock: Clock) -> None:
    """Even if the backoff is over; without anything better it takes what there is."""
    ledger.enlist("a", concurrency=2)
    ledger.enlist("b", rank=1)
    ledger.strike("a", "Overloaded.")
    clock.go(5.0)

    assert "b" == take(ledger, "ab", "one", probes=False)
    assert take(ledger, "ab", "two", probes=False) is None
    assert "a" == take(ledger, "a", "two", probes=False)


def test_who_probes_does_not_wait_for_what_is_better(ledger: Ledger, clock: Clock) -> None:
    """Once the backoff is over: others may serve, but not now."""
    ledger.enlist("a")
    ledger.enlist("b", rank=1)
    take(ledger, "b", "busy")
    ledger.strike("a", "Overloaded.")
    assert take(ledger, "ab", "one") is None
    clock.go(5.0)

    assert take(ledger, "ab", "two", probes=False) is None
    assert "a" == take(ledger, "ab", "three")


def test_each_failure_doubles_the_backoff(ledger: Ledger, clock: Clock) -> None:
    """Up to five minutes, until the token answers."""
    ledger.enlist("a")
    ledger.enlist("b")
    take(ledger, "b", "busy")
    backoffs = []
    for _ in range(8):
        ledger.strike("a", "Overloaded.")
        backoffs.append(due(ledger, Want("one", "ab")))
        clock.go(backoffs[-1])

    assert [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] == backoffs
    ledger.clear("a")
    ledger.strike("a", "Overloaded.")
    assert 5.0 == due(ledger, Want("one", "ab"))


def test_failures_at_the_same_time_are_one_failure(ledger: Ledger, clock: Clock) -> None:
    """Ten replies that break off together say no more than one of them."""
    ledger.enlist("a")
    ledger.enlist("b")
    take(ledger, "b", "busy")
    for _ in range(10):
        ledger.strike("a", "Overloaded.")

    assert 5.0 == due(ledger, Want("one", "ab"))
    clock.go(5.0)
    ledger.strike("a", "Overloaded.")
    assert 10.0 == due(ledger, Want("one", "ab"))


def test_a_failure_that_cost_a_client_its_request_counts_for_longer(
    ledger: Ledger, clock: Clock
) -> None:
    """To find out whether the token works again may cost another one."""
    ledger.enlist("a")
    ledger.enlist("b")
    take(ledger, "b", "busy")
    backoffs = []
    for _ in range(4):
        ledger.strike("a", "Lost.", costly=True)
        backoffs.append(due(ledger, Want("one", "ab")))
        clock.go(backoffs[-1])

    assert [900.0, 1800.0, 3600.0, 3600.0] == backoffs


def test_a_failure_with_one_bot_is_no_failure_with_another(ledger: Ledger, clock: Clock) -> None:
    """Each pair has its own backoff, and its own lease that tries."""
    ledger.enlist("a", concurrency=9)
    ledger.enlist("b", concurrency=9, rank=1)
    ledger.strike("a", "Overloaded.", bot="GPT-5")
    assert [True, True, False, False] == [
        state(ledger, bot=bot).is_struck for bot in ("GPT-5", "gpt-5", "Veo-3", "")
    ]
    assert ["b", "a"] == [
        take(ledger, "ab", "one", bot="gpt-5"),
        take(ledger, "ab", "two", bot="Veo-3"),
    ]
    ledger.strike("a", "Overloaded.", bot="Veo-3")
    clock.go(5.0)

    assert ["a", "a", "b"] == [
        take(ledger, "ab", "three", bot="GPT-5"),
        take(ledger, "ab", "four", bot="Veo-3"),
        take(ledger, "ab", "five", bot="Veo-3"),
    ]
    ledger.clear("a", bot="Veo-3")
    assert [True, False] == [state(ledger, bot=bot).is_struck for bot in ("GPT-5", "Veo-3")]


def test_an_answer_of_any_bot_clears_what_is_held_against_all(ledger: Ledger) -> None:
    """And nothing that is held against another bot."""
    ledger.enlist("a")
    ledger.strike("a", "Unreachable.")
    ledger.strike("a", "Overloaded.", bot="GPT-5")
    assert [True, True] == [state(ledger, bot=bot).is_struck for bot in ("GPT-5", "Veo-3")]
    assert [True, False] == [ledger.clear("a", bot="Veo-3") for _ in range(2)]

    assert [True, False] == [state(ledger, bot=bot).is_struck for bot in ("GPT-5", "Veo-3")]


def test_failures_are_forgotten_an_hour_after_the_backoff(ledger: Ledger, clock: Clock) -> None:
    """Also by wants that do not probe, and wait for nothing else."""
    ledger.enlist("a")
    ledger.enlist("b")
    take(ledger, "b", "busy")
    ledger.strike("a", "Overloaded.")

    assert 3605.0 == due(ledger, Want("one", "ab", probes=False))
    clock.go(3605.0)
    assert not state(ledger).is_struck
    assert "a" == take(ledger, "ab", "one", probes=False)
    ledger.give_back("one")
    ledger.strike("a", "Overloaded.")
    assert 5.0 == due(ledger, Want("one", "ab"))


def test_what_is_lent_meanwhile_is_no_longer_better(ledger: Ledger) -> None:
    """A token that was passed over for it serves in the same step."""
    ledger.enlist("a")
    ledger.enlist("b", limits=[Rest(60.0)])
    ledger.strike("a", "Overloaded.", bot="Veo-3")
    ledger.rest("b", 10.0, bot="Veo-3")

    line = [Want("one", "ab", bot="Veo-3", within=30.0), Want("two", "b", bot="GPT-5")]
    assert {"one": "a", "two": "b"} == ledger.serve(line).lent


# ---- outlook


def test_the_outlook_is_what_decides_from_now_on(ledger: Ledger, clock: Clock) -> None:
    """Uses that limits remember, what Poe asked for, and how many leases there are."""
    ledger.enlist("a", concurrency=3, limits=[Within(9, 60.0)])
    spend(ledger)
    clock.go(40.0)
    spend(ledger)
    take(ledger, ["a"], "one")
    ledger.rest("a", 50.0)
    ledger.rest("a", 70.0, bot="Veo-3")
    ledger.rest("a", 5.0, bot="GPT-5")
    clock.go(20.0)

    assert (
        Outlook(uses=[60.0, 20.0, 20.0], rest=30.0, in_use=1, bots={"veo-3": 50.0})
        == ledger.outlook(["a"])["a"]
    )
    ledger.suspend("a", "Who are you?")
    assert inf == ledger.outlook(["a"])["a"].rest


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

    taken = in_threads(24, lambda place: take(ledger, "abc", f"lease {place}"))

    assert ["a", "a", "b", "b", "c", "c"] == sorted(str(name) for name in taken if name)
    assert [2, 2, 2] == [one.in_use for one in ledger.state("abc").values()]


def test_no_limit_is_exceeded_by_many_at_once(ledger: Ledger) -> None:
    """Neither by taking nor by sending."""
    ledger.enlist("a", concurrency=100, limits=[Within(5, 60.0)])
    taken = in_threads(24, lambda place: take(ledger, ["a"], f"lease {place}") and f"lease {place}")
    leases = [str(lease) for lease in taken if lease]
    assert 5 == len(leases)

    waits = in_threads(24, lambda place: ledger.use(leases[place % 5]))

    assert 5 == waits.count(0.0)
    assert {0.0, 60.0} == set(waits)


def test_a_lease_is_given_back_once_by_many_at_once(ledger: Ledger) -> None:
    """Only one of the calls frees the place."""
    ledger.enlist("a", concurrency=3)
    for lease in ("one", "two", "three"):
        take(ledger, ["a"], lease)

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
            if (name := take(ledger, "abc", lease)) is None:
                continue
            if name in having:
                clashes.append(name)
            having.append(name)
            send(ledger, lease)
            having.remove(name)
            served.append(name)
            ledger.give_back(lease)

    in_threads(8, work)

    assert [] == clashes
    assert served
    assert [(True, 0)] * 3 == [(one.is_free, one.in_use) for one in ledger.state("abc").values()]
