"""What is of the ledger in Redis alone: its texts, its pauses, what it does without its memory.

What all ledgers have in common is in `tests/pool/test_ledger.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import fakeredis
import pytest

from poe_proxy import rules
from poe_proxy.pool.ledger import Standing, Want
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.redis.ledger import RedisLedger
from poe_proxy.shared import script

from ...fakes import Clock
from .direct import Direct, fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def direct(clock: Clock) -> Direct:
    return fake(clock)


@pytest.fixture
def ledger(direct: Direct) -> RedisLedger:
    return RedisLedger(direct)


def pauses(ledger: RedisLedger, clock: Clock, number: int) -> Iterator[float]:
    """The waits after so many uses, one after the other, each seen by another ledger too."""
    for place in range(number):
        lease = f"lease {place}"
        assert {lease: "a"} == ledger.serve([Want(lease, ["a"])]).lent
        ledger.use(lease)
        ledger.arrived(lease)
        ledger.give_back(lease)
        clock.go(0.001)
        pause = ledger.state(["a"])["a"].rest + 0.001
        yield pause
        clock.go(pause)


def test_each_pause_has_a_length_of_its_own(ledger: RedisLedger, clock: Clock) -> None:
    """Between the shortest and the longest, and all over between them."""
    ledger.enlist("a", limits=[Rest(10.0, 4.0)])
    found = sorted(round(pause, 6) for pause in pauses(ledger, clock, 60))

    assert 60 == len(set(found))
    assert 10.0 <= found[0] < 10.5
    assert 11.5 < found[30] < 12.5
    assert 13.5 < found[-1] < 14.0


def test_a_pause_is_the_same_whoever_asks(direct: Direct, clock: Clock) -> None:
    """And however often; what is on its way adds nothing yet."""
    here, there = RedisLedger(direct), RedisLedger(direct)
    here.enlist("a", limits=[Rest(10.0, 4.0)])
    here.serve([Want("one", ["a"])])
    here.use("one")
    assert 10.0 == there.state(["a"])["a"].rest
    here.arrived("one")
    assert 10.0 == there.state(["a"])["a"].rest
    clock.go(1.0)

    waits = {ledger.state(["a"])["a"].rest for ledger in (here, there) for _ in range(3)}
    assert 1 == len(waits)
    assert 9.0 < waits.pop() < 13.0


def test_limits_that_remember_longer_know_what_was_used_before(
    ledger: RedisLedger, clock: Clock
) -> None:
    """As far as it is kept: the last five hundred uses."""
    ledger.enlist("a", concurrency=9)
    for lease in ("one", "two"):
        ledger.serve([Want(lease, ["a"])])
        ledger.use(lease)
        ledger.arrived(lease)
    clock.go(100.0)
    ledger.enlist("a", concurrency=9, limits=[Within(2, 3600.0)])

    assert 3500.0 == ledger.state(["a"])["a"].rest


def test_a_place_that_was_forgotten_stays_so(ledger: RedisLedger, clock: Clock) -> None:
    """It was none of what Poe counts: limits that remember longer do not bring it back."""
    ledger.enlist("a", limits=[Rest(10.0)])
    ledger.serve([Want("one", ["a"])])
    ledger.give_back("one")
    clock.go(10.5)
    ledger.enlist("a", limits=[Rest(60.0)])

    assert 0.0 == ledger.state(["a"])["a"].rest


def test_what_no_limit_asks_for_is_forgotten(direct: Direct, clock: Clock) -> None:
    """What a limit asks for is kept, however much it is."""
    ledger = RedisLedger(direct)
    ledger.enlist("a", concurrency=9, limits=[Within(10_000, 100.0)])

    def known(ago: float, apart: float) -> int:
        """How many of 1,200 uses are known after one more."""
        with direct.moment():
            uses = {f"use {place}": clock() - ago - place * apart for place in range(1200)}
            direct.client.zadd(f"{direct.prefix}u:a", uses)
            ledger.serve([Want(f"after {ago}", ["a"])])
            kept: Any = direct.client.zcard(f"{direct.prefix}u:a")
            direct.client.delete(f"{direct.prefix}u:a")
        return int(kept)

    assert [500, 1201] == [known(200.0, 1.0), known(0.0, 0.01)]


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_enlisted_anew_has_one_more_look(
    direct: Direct, ledger: RedisLedger, clock: Clock, times: int
) -> None:
    """One, however often it is told; without that, what is refused stays so."""
    terms = {"name": "a", "kind": "key", "rank": 0, "concurrency": 1, "limits": []}
    direct.call("enlist", {**terms, "anew": True})
    assert ledger.state(["a"])["a"].is_free
    ledger.retire("a", "Logged out.")
    direct.call("enlist", {**terms, "anew": False})
    assert Standing.RETIRED == ledger.state(["a"])["a"].standing
    for _ in range(times):
        direct.call("enlist", {**terms, "anew": True})

    state = ledger.state(["a"])["a"]
    assert (0.0, Standing.SUSPENDED, "Logged out.") == (
        state.next_look,
        state.standing,
        state.reason,
    )
    ledger.suspend("a", "Logged out.", "upstream_auth")
    assert Standing.RETIRED == ledger.state(["a"])["a"].standing


def test_words_that_are_no_text_are_taken_all_the_same(ledger: RedisLedger) -> None:
    """Poe may say anything, also half of an emoji."""
    ledger.enlist("a")
    ledger.rest("a", 30.0, "No \ud83d more.\x00", "a \ud800 code")

    state = ledger.state(["a"])["a"]
    assert ("No ? more.\x00", "a ? code") == (state.reason, state.code)


def test_a_rest_without_an_end_has_none(ledger: RedisLedger, clock: Clock) -> None:
    """JSON has no infinity; the script has."""
    ledger.enlist("a")
    ledger.rest("a", inf, "For ever.")
    clock.go(1e9)

    assert (inf, "For ever.") == (ledger.state(["a"])["a"].rest, ledger.state(["a"])["a"].reason)


def test_a_limit_that_the_script_does_not_know_is_a_mistake(ledger: RedisLedger) -> None:
    """It would be none."""

    class Odd:
        window = 1.0

        def wait(self, used_at: Any, now: float) -> float:
            return 0.0

    with pytest.raises(TypeError, match="Odd"):
        ledger.enlist("a", limits=[Odd()])


@pytest.mark.parametrize("lost", ["t:a", "want", "leases", "l:a", "ready:key", "rested:key"])
def test_a_script_fails_nobody_whatever_redis_has_forgotten(clock: Clock, lost: str) -> None:
    """Where it makes room for others by that, one key may be gone and not the next."""
    direct = fake(clock)
    ledger = RedisLedger(direct)
    for name in "ab":
        ledger.enlist(name, limits=[Rest(10.0)])
    direct.call("names", {"digest": "both", "names": ["a", "b"]})
    wish = {"names": "both", "kinds": None, "avoid": [], "bot": "", "within": None, "probes": True}
    wish |= {"client": "", "streams": False, "priority": 5, "size": 9, "sends": True}
    for lease in ("one", "two", "three", "four"):
        direct.call("join", {"lease": lease, **wish})
    direct.client.delete(direct.prefix + lost)
    direct.call("use", {"lease": "one", "count": 2})
    for lease in ("one", "two"):
        direct.call("arrived", {"lease": lease, "count": 1})
        direct.call("leave", {"lease": lease})
    clock.go(100.0)
    for name in "ab":
        ledger.enlist(name, limits=[Rest(10.0)])
    assert isinstance(direct.call("look", {"leases": ["three", "four"]})["due"], float | int | None)

    for lease in ("three", "four"):
        direct.call("leave", {"lease": lease})
    assert 0 == direct.client.zcard(f"{direct.prefix}line")


def test_the_script_has_the_numbers_of_the_house() -> None:
    """None of them is written down twice."""
    numbers = script.text().splitlines()[1]
    told: Any = fakeredis.FakeRedis().eval(
        f"{numbers} return {{tostring(rules.MARGIN), tostring(rules.LOOKS[5]), rules.NO_POINTS}}", 0
    )

    assert [rules.MARGIN, rules.LOOKS[4]] == [float(number) for number in told[:2]]
    assert {name for name in vars(rules) if name.isupper()} == {
        one.split("=")[0].strip(" {") for one in numbers.split("{", 1)[1].split(",") if "=" in one
    } - {"NO_POINTS"}
