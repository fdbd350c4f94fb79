"""The ledger in this process: what it remembers, what its store is given, what a verb costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from poe_proxy.pool.ledger import Served, Standing, Want
from poe_proxy.pool.limits import Rest, Within
from poe_proxy.pool.memory import MemoryLedger
from poe_proxy.pool.store import Forgetful, Note, Remembered, Store

from ...fakes import Clock


class Watching:
    """A limit that allows everything, or nothing, and keeps what it was asked."""

    def __init__(self, window: float = 0.0, *, wait: float = 0.0) -> None:
        self.window = window
        self._wait = wait
        #: How many uses it was shown, each time.
        self.shown: list[int] = []

    def wait(self, used_at: Sequence[float], now: float) -> float:
        self.shown.append(len(used_at))
        assert sorted(used_at) == list(used_at)
        return self._wait


def take(ledger: MemoryLedger, names: str, lease: str) -> str | None:
    return ledger.serve([Want(lease, names)]).lent.get(lease)


def spend(ledger: MemoryLedger, name: str, lease: str) -> None:
    """Take a token that has to be free, send something that arrives at once, give it back."""
    assert name == take(ledger, name, lease)
    assert 0.0 == ledger.use(lease)
    ledger.arrived(lease)
    ledger.give_back(lease)


# ---- what is remembered


def test_uses_out_of_every_window_are_forgotten() -> None:
    """A token that serves for months does not remember each use."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    watching = Watching()
    ledger.enlist("a", limits=(Within(1000, 60.0), Rest(0.5), watching))
    for turn in range(500):
        assert "a" == take(ledger, "a", f"lease {turn}")
        ledger.give_back(f"lease {turn}")
        clock.go(1.0)
    ledger.state(["a"])

    assert 61 == watching.shown[-1]


def test_uses_are_remembered_for_the_longest_window() -> None:
    """One limit with a long memory is enough."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock)
    watching = Watching(window=3600.0)
    ledger.enlist("a", limits=(Rest(0.5), watching))
    for turn in range(100):
        spend(ledger, "a", f"lease {turn}")
        clock.go(60.0)
    ledger.state(["a"])

    assert 61 == watching.shown[-1]


def test_a_lease_that_is_over_is_forgotten() -> None:
    """What a million requests leave behind is no more than what one of them does."""
    ledger = MemoryLedger(clock=Clock())
    ledger.enlist("a")
    for turn in range(10):
        spend(ledger, "a", f"lease {turn}")

    assert {} == ledger._loans


def test_a_limit_that_fails_leaves_the_uses_as_they_were() -> None:
    """What is on its way is shown to it, and not counted twice for that."""

    class Broken(Watching):
        def wait(self, used_at: Sequence[float], now: float) -> float:
            super().wait(used_at, now)
            if len(self.shown) == 3:
                raise ZeroDivisionError
            return 0.0

    ledger = MemoryLedger(clock=Clock())
    broken = Broken(window=60.0)
    ledger.enlist("a", concurrency=9, limits=[broken])
    take(ledger, "a", "one")
    ledger.use("one")
    for _ in range(3):
        try:
            ledger.state(["a"])
        except ZeroDivisionError:
            continue

    assert {1} == set(broken.shown[2:])
    assert [0.0] == ledger.outlook(["a"])["a"].uses


# ---- what the store is given


@dataclass
class Telling(Store):
    """A store that knows what it is given, and writes down each call."""

    knows: Mapping[str, Remembered] = field(default_factory=dict)
    calls: list[object] = field(default_factory=list)
    notes: list[Sequence[Note]] = field(default_factory=list)

    def recall(self, name: str, window: float) -> Remembered:
        self.calls.append(("recall", name, window))
        known = self.knows.get(name, Remembered())
        return Remembered([age for age in known.uses if age <= window], known.notes)

    def add_use(self, name: str, use: str) -> None:
        self.calls.append(("add", name, use))

    def settle_use(self, use: str, ago: float) -> None:
        self.calls.append(("settle", use, ago))

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        self.notes.append(notes)


def test_a_use_is_stored_before_it_is_sent_and_settled_when_it_arrives() -> None:
    """A place that is held for a use is nothing to remember."""
    clock = Clock()
    store = Telling()
    ledger = MemoryLedger(clock=clock, store=store)
    ledger.enlist("a", limits=[Within(9, 60.0)])
    take(ledger, "a", "one")
    assert [("recall", "a", 60.0)] == store.calls

    ledger.use("one")
    clock.go(1.0)
    ledger.use("one")
    clock.go(1.0)
    ledger.arrived("one")
    clock.go(10.0)
    ledger.give_back("one")
    ledger.state(["a"])

    first, second = "one-1", "one-2"
    assert [
        ("add", "a", first),
        ("add", "a", second),
        ("settle", second, 0.0),
        ("settle", first, 7.0),
    ] == store.calls[1:]


def test_a_use_that_may_not_be_sent_is_not_stored() -> None:
    """Asking costs nothing."""
    store = Telling()
    ledger = MemoryLedger(clock=Clock(), store=store)
    ledger.enlist("a")
    take(ledger, "a", "one")
    ledger.rest("a", 10.0)

    assert 10.0 == ledger.use("one")
    assert [("recall", "a", 0.0)] == store.calls


def test_what_is_stored_holds_after_a_restart() -> None:
    """Limits count what was used before, and what Poe said is still so."""
    store = Telling(
        {
            "a": Remembered(uses=[50.0, 20.0]),
            "b": Remembered(notes=[Note("rest", "", 30.0, "Slow down.")]),
            "c": Remembered(notes=[Note("rest", "veo-3", 30.0, "No more videos.")]),
            "d": Remembered(notes=[Note("points", reason="No points.")]),
            "e": Remembered(notes=[Note("suspended", "", 40.0, "Who?", "upstream_auth", 2)]),
            "f": Remembered(notes=[Note("retired", reason="Logged out.")]),
            "g": Remembered(notes=[Note("strike", "", 20.0, "Unreachable.", count=3)]),
        }
    )
    ledger = MemoryLedger(clock=Clock(), store=store)
    for name in "abcdefg":
        ledger.enlist(name, limits=[Within(2, 60.0)])

    states = ledger.state("abcdefg", bot="Veo-3")
    assert {
        "a": (Standing.RESTING, 10.0, ""),
        "b": (Standing.LIMITED, 30.0, "Slow down."),
        "c": (Standing.LIMITED, 30.0, "No more videos."),
        "d": (Standing.OUT_OF_POINTS, inf, "No points."),
        "e": (Standing.SUSPENDED, inf, "Who?"),
        "f": (Standing.RETIRED, inf, "Logged out."),
        "g": (Standing.FIT, 0.0, "Unreachable."),
    } == {name: (one.standing, one.rest, one.reason) for name, one in states.items()}
    assert (40.0, "upstream_auth") == (states["e"].next_look, states["e"].code)
    assert states["g"].is_struck


def test_a_use_that_was_on_its_way_at_a_restart_still_is() -> None:
    """A process that comes back within five seconds cannot know when it arrives."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock, store=Telling({"a": Remembered(uses=[30.0, -3.0])}))
    ledger.enlist("a", limits=[Within(1, 60.0)])

    assert [30.0, 0.0] == ledger.outlook(["a"])["a"].uses
    clock.go(2.0)
    assert 60.0 == ledger.state(["a"])["a"].rest
    clock.go(2.0)
    assert 59.0 == ledger.state(["a"])["a"].rest


def test_a_longer_limit_asks_the_store_for_what_was_forgotten() -> None:
    """What is still remembered is not counted twice, and a shorter limit asks for nothing."""
    clock = Clock()
    store = Telling({"a": Remembered(uses=[3000.0, 70.0, 50.0])})
    ledger = MemoryLedger(clock=clock, store=store)
    ledger.enlist("a", limits=[Within(9, 60.0)])
    ledger.enlist("a", limits=[Within(9, 3600.0)])
    ledger.enlist("a", limits=[Within(9, 600.0)])

    assert [("recall", "a", 60.0), ("recall", "a", 3600.0)] == store.calls
    assert [70.0, 50.0] == ledger.outlook(["a"])["a"].uses


def test_each_change_is_stored_with_all_that_is_known() -> None:
    """And what a verb did not change is not written."""
    store = Telling()
    ledger = MemoryLedger(clock=Clock(), store=store)
    ledger.enlist("a")
    ledger.rest("a", 30.0, "No more videos.", bot="Veo-3")
    ledger.strike("a", "Overloaded.", bot="GPT-5")
    ledger.clear("a", bot="Veo-3")
    ledger.exhaust("a", "No points.")
    ledger.suspend("a", "Who are you?", "upstream_auth")
    ledger.revive("a")
    ledger.retire("a", "Logged out.")

    rest = Note("rest", "veo-3", 30.0, "No more videos.")
    strike = Note("strike", "gpt-5", 5.0, "Overloaded.", count=1)
    points = Note("points", reason="No points.")
    assert [
        [rest],
        [rest, strike],
        [rest, strike, points],
        [rest, strike, points, Note("suspended", "", 60.0, "Who are you?", "upstream_auth", 1)],
        [rest, strike],
        [rest, strike, Note("retired", reason="Logged out.")],
    ] == store.notes


def test_an_answer_that_clears_a_failure_is_stored() -> None:
    """The next process begins with a clean slate too."""
    store = Telling()
    ledger = MemoryLedger(clock=Clock(), store=store)
    ledger.enlist("a")
    ledger.strike("a", "Overloaded.")
    ledger.clear("a", bot="GPT-5")
    ledger.clear("a", bot="GPT-5")

    assert [1, 0] == [len(notes) for notes in store.notes]


# ---- what a verb costs


def test_no_more_limits_are_asked_than_have_to_be() -> None:
    """The first token that is free is lent, and a full one is not looked at."""
    ledger = MemoryLedger(clock=Clock())
    watching = {name: Watching() for name in "abcdef"}
    for name, limit in watching.items():
        ledger.enlist(name, limits=(limit,))

    assert ["a", "b", "c"] == [take(ledger, "abcdef", lease) for lease in ("one", "two", "three")]

    assert [1, 1, 1, 0, 0, 0] == [len(limit.shown) for limit in watching.values()]


def test_a_long_line_asks_each_limit_as_often_as_a_short_one() -> None:
    """Two hundred wants that are alike, while nothing is free, cost no more than one of them."""

    def asked(line: int) -> int:
        ledger = MemoryLedger(clock=Clock())
        watching = Watching(wait=10.0)
        for name in "abcdef":
            ledger.enlist(name, limits=(watching,))
        served = ledger.serve(Want(f"lease {place}", frozenset("abcdef")) for place in range(line))
        assert Served({}, 10.0) == served
        return len(watching.shown)

    assert asked(1) == asked(200)


def test_a_line_that_is_passed_over_asks_once() -> None:
    """What failed is looked at once for all wants that are alike, however long the line is."""

    def asked(line: int) -> int:
        ledger = MemoryLedger(clock=Clock())
        watching = Watching()
        for name in "abcdef":
            ledger.enlist(name, limits=(watching,))
        for name in "abcde":
            ledger.strike(name)
        assert "f" == take(ledger, "f", "busy")
        wants = [Want(f"lease {place}", frozenset("abcdef")) for place in range(line)]
        assert Served({}, 5.0) == ledger.serve(wants)
        return len(watching.shown)

    assert asked(1) == asked(200)


def test_a_place_that_was_forgotten_frees_no_use() -> None:
    """Limits that remember less forget it; of that very moment there may be a use all the same."""
    clock = Clock()
    ledger = MemoryLedger(clock=clock, store=Telling({"a": Remembered(uses=[30.0])}))
    ledger.enlist("a", limits=[Rest(20.0)])
    assert "a" == take(ledger, "a", "one")
    clock.go(30.0)
    ledger.enlist("a", limits=[Rest(10.0)])
    ledger.enlist("a", limits=[Within(1, 60.0)])

    assert 30.0 == ledger.use("one")


def test_a_use_that_is_recalled_slowly_is_no_older_for_that() -> None:
    """A store on a disk takes its time, and says how old a use is when it has read that."""
    clock = Clock()

    class Slow(Forgetful):
        def recall(self, name: str, window: float) -> Remembered:
            clock.go(0.5)
            return Remembered(uses=[1.0])

    ledger = MemoryLedger(clock=clock, store=Slow())
    ledger.enlist("a", limits=(Rest(4.0),))

    assert 3.0 == ledger.state(["a"])["a"].rest
