"""Acts on their way to Redis, without one: who brings them, in which order, and what is kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest

from poe_proxy.shared import courier as module
from poe_proxy.shared.acts import Act, ActFailed, text
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.courier import Courier

#: Seconds in which whatever is waited for has happened.
SOON = 10.0


def until(is_so: Callable[[], Any], what: str = "it is not so") -> None:
    """Wait until it is so."""
    end = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.002)


class Store:
    """A way that leads to a list: it answers each act with the act itself."""

    def __init__(self) -> None:
        #: What was run together, as verbs and what they are about.
        self.runs: list[list[list[Any]]] = []
        #: Why it is away; empty: it is there.
        self.trouble = ""
        self.probes = 0
        #: Called once somebody has found that it is there.
        self.when_found: Callable[[], object] = lambda: None
        #: What is answered in place of the next calls.
        self.words: list[bytes] = []
        #: What single verbs are answered.
        self.answers: dict[str, bytes] = {}
        self.is_closed = False
        self.asked_by: list[tuple[bytes, bytes]] = []
        #: Whether what is run may go on.
        self.gate = threading.Event()
        self.gate.set()
        #: How many are in `run`, at most one.
        self.inside = threading.Semaphore(1)
        #: Raised once by the next run that has passed the gate.
        self.breaks: BaseException | None = None

    @property
    def acts(self) -> list[Any]:
        """All acts that were done, in order."""
        return [act for run in self.runs for act in run]

    def run(self, worker: bytes, epoch: bytes, acts: Sequence[bytes]) -> list[bytes] | bytes:
        assert self.inside.acquire(blocking=False), "two go at a time"
        try:
            self.asked_by.append((worker, epoch))
            assert self.gate.wait(SOON)
            if self.breaks:
                broken, self.breaks = self.breaks, None
                raise broken
            if self.trouble:
                raise StoreAway(self.trouble)
            if self.words and orjson.loads(acts[0])[0] != "hello":
                return self.words.pop(0)
            self.runs.append([orjson.loads(act) for act in acts])
            return [self.answers.get(orjson.loads(act)[0], act) for act in acts]
        finally:
            self.inside.release()

    def probe(self) -> None:
        assert self.inside.acquire(blocking=False), "two go at a time"
        self.probes += 1
        try:
            if self.trouble:
                raise StoreAway(self.trouble)
        finally:
            self.inside.release()
        self.when_found()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def courier(store: Store) -> Iterator[Courier]:
    """A courier that tries every few milliseconds whether Redis is back."""
    made = Courier(store, worker="w1", wait=lambda seconds: time.sleep(0.002) or False)
    yield made
    store.gate.set()
    store.trouble = ""
    made.close()


class Caller(threading.Thread):
    """Calls, and keeps what comes of it."""

    def __init__(self, courier: Courier, *act: Any) -> None:
        super().__init__(daemon=True)
        self._courier, self._act = courier, act
        self.answer: Any = None
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._courier.call(*self._act)
        except BaseException as failure:
            self.failure = failure

    def result(self) -> Any:
        """Wait for the end."""
        self.join(SOON)
        assert not self.is_alive(), "the call does not end"
        return self.answer if self.failure is None else self.failure


def test_a_lone_call_is_brought_by_its_caller(courier: Courier, store: Store) -> None:
    """No other thread has a part in it."""
    before = threading.active_count()

    assert ["look", {"leases": ["l1"]}] == courier.call("look", {"leases": ["l1"]})
    assert before == threading.active_count()
    assert [(b"w1", b"")] == store.asked_by


def test_whoever_goes_takes_along_all_that_has_gathered(courier: Courier, store: Store) -> None:
    """A crowd is few ways, in the order in which it came, and each gets its own answer."""
    store.gate.clear()
    callers = [Caller(courier, "first", 0)]
    until(lambda: store.asked_by)
    for number in range(1, 40):
        callers.append(Caller(courier, "more", number))
        until(lambda number=number: len(courier._queue) == number)
    courier.note("noted", 40)
    store.gate.set()

    answers = [one.result() for one in callers]

    assert [["first", 0], *(["more", number] for number in range(1, 40))] == answers
    until(lambda: len(store.acts) == 41)
    assert [1, 40] == [len(run) for run in store.runs]
    assert list(range(41)) == [about for _, about in store.acts]


def test_no_run_is_of_more_than_some(courier: Courier, store: Store) -> None:
    """Redis does nothing else meanwhile."""
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    for number in range(200):
        courier.note("noted", number)
    last = Caller(courier, "last", 0)
    until(lambda: len(courier._queue) == 201)
    store.gate.set()

    assert ["last", 0] == last.result()
    assert ["first", 0] == first.result()
    assert [1, 64, 64, 64, 9] == [len(run) for run in store.runs]


def test_a_note_is_brought_though_nobody_calls(courier: Courier, store: Store) -> None:
    """And whoever notes it does not wait."""
    store.gate.clear()
    courier.note("leave", {"lease": "l1"})
    courier.note("leave", {"lease": "l2"})
    store.gate.set()

    until(lambda: len(store.acts) == 2)
    assert [["leave", {"lease": "l1"}], ["leave", {"lease": "l2"}]] == store.acts


def test_while_redis_is_away_calls_fail_at_once_and_notes_are_kept_in_order(
    courier: Courier, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Once back it has had each of them once, and whoever is to know of it is told."""
    told = []
    courier.on_back += [lambda: told.append(courier.trouble), lambda: told.append("too")]
    store.trouble = "connection refused"
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with pytest.raises(StoreAway, match="connection refused"):
                courier.call("join", {})
        for number in range(100):
            courier.note("noted", number)
        assert "connection refused" == courier.trouble
        until(lambda: store.probes > 3)
        assert [] == store.acts
        store.trouble = ""

        until(lambda: len(store.acts) == 100)
        until(lambda: len(told) == 2)
    assert [["noted", number] for number in range(100)] == store.acts
    assert ["", "too"] == told
    assert "" == courier.trouble
    assert ["the pool in Redis is away: connection refused", "the pool in Redis is back"] == [
        one.getMessage() for one in caplog.records
    ]


def test_what_was_on_the_way_when_redis_went_is_repeated_if_it_was_a_note(
    courier: Courier, store: Store
) -> None:
    """Calls fail, all of them, and only once each."""
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    courier.note("noted", 1)
    other = Caller(courier, "other", 2)
    until(lambda: len(courier._queue) == 2)
    courier.note("noted", 3)
    store.trouble = "gone"
    store.gate.set()

    for one in (first, other):
        assert isinstance(one.result(), StoreAway)
    store.trouble = ""
    until(lambda: len(store.acts) == 2)
    assert [["noted", 1], ["noted", 3]] == store.acts


def test_notes_are_bounded(
    courier: Courier,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of too many the oldest are lost, and the log says how many."""
    monkeypatch.setattr(module, "MOST_NOTES", 10)
    store.trouble = "gone"
    with pytest.raises(StoreAway):
        courier.call("join", {})
    for number in range(25):
        courier.note("noted", number)
    store.trouble = ""

    until(lambda: len(store.acts) == 10)
    assert [["noted", number] for number in range(15, 25)] == store.acts
    assert "15 notes for Redis were too many to be kept" in caplog.messages


def test_it_is_tried_more_and_more_rarely_and_by_one_thread(store: Store) -> None:
    """A tenth of a second, doubled up to two; less by chance, so that not all come at once."""
    pauses: list[float] = []
    waiting = threading.Semaphore(0)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return not waiting.acquire(timeout=SOON)

    courier = Courier(store, wait=wait, chance=lambda: 1.0)
    store.trouble = "gone"
    for _ in range(3):
        with pytest.raises(StoreAway):
            courier.call("join", {})
    for tried in range(1, 8):
        until(lambda tried=tried: len(pauses) == tried)
        waiting.release()
    until(lambda: len(pauses) == 8)

    assert [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0] == pauses
    courier._chance = lambda: 0.0
    waiting.release()
    until(lambda: len(pauses) == 9)
    assert 1.0 == pauses[-1]
    courier.close()
    waiting.release()


def test_a_store_that_goes_again_at_once_is_not_tried_more_often(store: Store) -> None:
    """Such as one that answers, and refuses all that is asked."""
    pauses: list[float] = []
    now = [0.0]

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        until(lambda: courier._closed.is_set() or not courier._is_under_way)
        return False

    courier = Courier(store, wait=wait, chance=lambda: 1.0, clock=lambda: now[0])
    store.answers["join"] = b"!OOM command not allowed when used memory > 'maxmemory'."
    for _ in range(3):
        with pytest.raises(StoreAway, match="maxmemory"):
            courier.call("join", {})
        until(lambda: not courier.trouble)
    assert [0.1, 0.2, 0.4] == pauses
    until(lambda: not courier._is_under_way)
    now[0] += 60
    with pytest.raises(StoreAway):
        courier.call("join", {})
    until(lambda: len(pauses) == 4)
    assert 0.1 == pauses[-1]
    courier.close()


def test_an_act_that_is_refused_for_want_of_memory_is_as_if_redis_were_away(
    courier: Courier, store: Store
) -> None:
    """Others of the same run are answered, and a note is kept."""
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    courier.note("noted", 1)
    other = Caller(courier, "other", 2)
    until(lambda: len(courier._queue) == 2)
    store.answers["noted"] = b"!OOM command not allowed when used memory > 'maxmemory'."
    store.gate.set()

    assert [["first", 0], ["other", 2]] == [first.result(), other.result()]
    until(lambda: ["noted", 1] in store.acts)
    del store.answers["noted"]
    until(lambda: store.acts.count(["noted", 1]) > 1 and not courier.trouble)


def test_an_act_that_the_script_does_not_know_is_our_own_fault(
    courier: Courier, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked is told, and nobody else; what was noted is not noted again."""
    store.answers["wrong"] = b"!user_script:5: attempt to call a nil value"
    with pytest.raises(ActFailed, match="nil value"):
        courier.call("wrong", {})
    courier.note("wrong", 2)
    until(lambda: len(store.acts) == 2)

    assert ["right"] == courier.call("right")
    assert [["wrong", {}], ["wrong", 2], ["right"]] == store.acts
    assert "" == courier.trouble
    assert 1 == sum("nil value" in one for one in caplog.messages)


@pytest.mark.parametrize("word", [b"!stranger", b"!epoch"])
def test_a_stranger_is_introduced_and_what_it_asked_for_is_done(
    courier: Courier, store: Store, word: bytes
) -> None:
    """What the introduction calls and notes goes first, alone; others wait for it."""
    others: list[Caller] = []

    def introduce() -> None:
        others.append(Caller(courier, "other", 0))
        until(lambda: courier._queue)
        courier.epoch = courier.call("hello", "e2")[1]
        courier.note("enlist", "t1")
        assert ["adopt", "l1"] == courier.call("adopt", "l1")

    courier.introduce = introduce
    store.words = [word]

    assert ["join", "l2"] == courier.call("join", "l2")
    assert ["other", 0] == others[0].result()
    assert [[["hello", "e2"]], [["enlist", "t1"]], [["adopt", "l1"]], [["join", "l2"]]] == (
        store.runs[:4]
    )
    assert [b"", b"", b"e2", b"e2", b"e2", b"e2"] == [epoch for _, epoch in store.asked_by]


def test_an_introduction_that_was_broken_off_is_begun_anew(courier: Courier, store: Store) -> None:
    """Otherwise the worker would be known, and what it has would not."""
    begun = []

    def introduce() -> None:
        begun.append(1)
        courier.call("hello", 1)
        if len(begun) == 1:
            store.trouble = "gone"
        courier.call("enlist", 1)

    courier.introduce = introduce
    store.words = [b"!stranger"]
    with pytest.raises(StoreAway, match="gone"):
        courier.call("join", 1)
    store.trouble = ""
    until(lambda: not courier.trouble)

    assert ["join", 1] == courier.call("join", 1)
    assert [["hello", 1], ["hello", 1], ["enlist", 1], ["join", 1]] == store.acts


def test_an_introduction_that_fails_is_as_if_redis_were_away(
    courier: Courier, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of whoever introduces ends no thread, and is in the log."""
    courier.introduce = lambda: [][0]
    store.words = [b"!stranger"]
    with pytest.raises(StoreAway, match="could not make itself known"):
        courier.call("join", 1)
    courier.introduce = lambda: None
    until(lambda: not courier.trouble)

    assert ["join", 1] == courier.call("join", 1)
    assert "this worker could not make itself known in Redis" in caplog.messages


def test_who_stays_a_stranger_is_not_introduced_for_ever(courier: Courier, store: Store) -> None:
    """It is as if Redis were away."""
    courier.introduce = lambda: None
    store.words = [b"!stranger", b"!stranger"]

    with pytest.raises(StoreAway, match="!stranger"):
        courier.call("join", 1)


class Killed(BaseException):
    """As a greenlet that is killed has it."""


def test_what_a_caller_took_along_is_brought_though_it_is_killed_on_its_way(
    courier: Courier, store: Store
) -> None:
    """Its own act is not."""
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    second = Caller(courier, "second", 1)
    until(lambda: len(courier._queue) == 1)
    courier.note("noted", 2)
    third = Caller(courier, "third", 3)
    until(lambda: len(courier._queue) == 3)
    store.breaks = Killed()
    store.gate.set()

    assert isinstance(first.result(), Killed)
    assert ["second", 1] == second.result()
    assert ["third", 3] == third.result()
    assert [["second", 1], ["noted", 2], ["third", 3]] == store.acts
    assert ["fourth", 4] == courier.call("fourth", 4)


def test_who_has_given_up_is_not_the_next_to_go(courier: Courier, store: Store) -> None:
    """Whoever took its act along is killed on the way."""
    store.gate.clear()
    gone = Act(text(("gone", 0)))
    gone.gate = threading.Lock()
    gone.gate.acquire()
    courier._queue.append(gone)
    first = Caller(courier, "first", 1)
    until(lambda: store.asked_by)
    assert not courier._give_up(gone)
    store.breaks = Killed()
    store.gate.set()

    assert isinstance(first.result(), Killed)
    assert ["second", 2] == courier.call("second", 2)
    assert [["second", 2]] == store.acts


def test_who_waits_for_others_does_not_do_so_for_ever(
    courier: Courier, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its act is brought no more, and those behind it are."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    second = Caller(courier, "second", 1)

    assert isinstance(second.result(), StoreAway)
    store.gate.set()
    assert ["first", 0] == first.result()
    assert ["third", 2] == courier.call("third", 2)
    assert [["first", 0], ["third", 2]] == store.acts


def test_what_is_noted_is_brought_before_the_end(store: Store) -> None:
    """And nothing after it; the way is closed."""
    courier = Courier(store)
    courier.note("leave", 1)
    courier.close()
    courier.note("leave", 2)
    courier.close()

    assert [["leave", 1]] == store.acts
    assert store.is_closed
    with pytest.raises(StoreAway, match="stopped"):
        courier.call("join", 1)
    assert courier._helper is not None
    courier._helper.join(SOON)
    assert not courier._helper.is_alive()


def test_who_still_waits_at_the_end_is_told_so(store: Store) -> None:
    """What is under way is answered."""
    courier = Courier(store)
    store.gate.clear()
    first = Caller(courier, "first", 0)
    until(lambda: store.asked_by)
    others = [Caller(courier, "other", number) for number in range(3)]
    until(lambda: len(courier._queue) == 3)
    courier.close()
    store.gate.set()

    assert ["first", 0] == first.result()
    for other in others:
        told = other.result()
        assert isinstance(told, StoreAway)
        assert "this server is being stopped" == str(told)
    assert [["first", 0]] == store.acts


def test_a_store_that_is_back_at_the_end_is_called_no_more(store: Store) -> None:
    """It is closed while somebody looks whether Redis is back."""
    courier = Courier(store, wait=lambda seconds: time.sleep(0.002) or False)
    store.trouble = "refused"
    with pytest.raises(StoreAway):
        courier.call("join", 1)
    looked = threading.Event()

    def closes() -> None:
        courier.close()
        looked.set()

    store.when_found = closes
    store.trouble = ""
    assert looked.wait(SOON)
    assert courier._helper is not None
    courier._helper.join(SOON)
    with pytest.raises(StoreAway):
        courier.call("join", 2)


def test_many_threads_at_a_time(courier: Courier, store: Store) -> None:
    """Each gets its own answers, in its own order; nothing is lost or done twice."""
    failures = []

    def work(name: int) -> None:
        for number in range(50):
            if courier.call("call", [name, number]) != ["call", [name, number]]:
                failures.append((name, number))
            courier.note("note", [name, number])

    threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(SOON)
    until(lambda: len(store.acts) == 1600)

    assert [] == failures
    for name in range(16):
        mine = [(verb, about[1]) for verb, about in store.acts if about[0] == name]
        assert [(verb, number) for number in range(50) for verb in ("call", "note")] == mine


def test_half_an_emoji_in_a_name_holds_up_nothing() -> None:
    """A client may name any bot, and orjson takes only what is text."""
    store = Store()
    courier = Courier(store)
    courier.call("join", {"bot": "GPT\ud83d", "within": 1.5})

    assert [["join", {"bot": "GPT?", "within": 1.5}]] == store.acts


def test_a_redis_that_was_away_is_asked_what_it_still_knows_before_all_else(
    courier: Courier, store: Store
) -> None:
    """Until it has said so once, and not again."""
    told = iter([StoreAway("refused"), None])

    def returned() -> None:
        courier.call("returned", 0)
        if failure := next(told):
            raise failure

    courier.returned = returned
    assert ["join", 1] == courier.call("join", 1)
    store.trouble = "refused"
    with pytest.raises(StoreAway):
        courier.call("join", 2)
    courier.note("leave", 3)
    store.trouble = ""
    until(lambda: ["leave", 3] in store.acts)

    assert ["join", 4] == courier.call("join", 4)
    asked = ["returned", 0]
    assert [["join", 1], asked, asked, ["leave", 3], ["join", 4]] == store.acts
