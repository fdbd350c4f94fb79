"""A worker among others, without Redis: what it says, and what it makes of what it hears."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from poe_proxy.rules import LIFE
from poe_proxy.shared import presence
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.courier import Courier
from poe_proxy.shared.presence import Presence, name_of_worker

from .test_courier import SOON, Store, until


class Ear:
    """Hears what the test says."""

    def __init__(self) -> None:
        self.said: queue.Queue[dict[str, Any] | str] = queue.Queue()
        self.channels: list[tuple[str, ...]] = []
        self.is_away = False

    def subscribe(self, *channels: str) -> None:
        if self.is_away:
            raise StoreAway("gone")
        self.channels.append(channels)

    def next(self) -> bytes | None:
        said = self.said.get(timeout=SOON)
        if isinstance(said, dict):
            return orjson.dumps(said)
        if said == "silence":
            return None
        raise StoreAway(said)

    def close(self) -> None:
        self.said.put("closed")


class Worker:
    """A presence, with what belongs to it."""

    def __init__(self) -> None:
        self.store, self.ear = Store(), Ear()
        self.store.answers = {
            "hello": b'{"epoch": "e1", "lends_in": 3}',
            "beat": b'{"workers": ["w1", "w2"], "homes": {}, "pulse": "12.5"}',
        }
        self.courier = Courier(self.store, worker="w1")
        self.pauses: list[float] = []
        self.presence = Presence(
            self.courier,
            self.ear,
            "w1",
            version="1.2.3",
            clock=lambda: 1000.0,
            pause=self._pause,
            chance=lambda: 1.0,
        )
        self.heard: list[dict[str, Any]] = []
        self.presence.on_message.append(self.heard.append)

    def _pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return False

    def done(self, verb: str) -> list[Any]:
        """What was done by that verb."""
        return [one[1] for one in self.store.acts if one[0] == verb]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    # Signs of life have a reason here: none comes because it is time.
    monkeypatch.setattr(presence, "BEAT", 3600.0)
    made = Worker()
    yield made
    made.ear.is_away = False
    made.presence.close()
    made.courier.close()


def test_its_name_is_nobody_else_s() -> None:
    """Sixteen digits by chance."""
    assert 100 == len({name_of_worker() for _ in range(100)})
    assert 16 == len(name_of_worker())


def test_a_sign_of_life_says_what_it_holds_and_who_it_is(worker: Worker) -> None:
    """And it learns who else is there."""
    told = []
    worker.presence.holds = lambda: {"l1": 1}
    worker.presence.tells = lambda: {"streams": 7}
    worker.presence.on_beat.append(told.append)

    worker.presence.beat()

    (said,) = worker.done("beat")
    assert (LIFE, ["l1"]) == (said["for"], said["holds"])
    assert {"version": "1.2.3", "started": 1000.0, "streams": 7}.items() <= said["about"].items()
    assert {"host", "pid"} < said["about"].keys()
    assert ("w1", "w2") == worker.presence.workers
    assert [{"workers": ["w1", "w2"], "homes": [], "pulse": "12.5"}] == told


def test_who_is_a_stranger_says_hello_and_then_all_that_it_has(worker: Worker) -> None:
    """What it knew of the pool, too; and only then what it was about to do."""
    worker.presence.on_stranger = [
        lambda: worker.courier.call("enlist", {"name": "t1"}),
        lambda: worker.courier.note("adopt", {}),
    ]
    worker.presence.beat()
    worker.store.words = [b"!stranger"]
    worker.courier.call("join", {})
    worker.store.answers["hello"] = b'{"epoch": "e2", "lends_in": 3}'
    worker.store.words = [b"!epoch"]
    worker.courier.call("look", {})

    first, second = worker.done("hello")
    assert ("", ["w1", "w2"]) == (first["knew_epoch"], first["knows"])
    assert "e1" == second["knew_epoch"]
    assert "e2" == worker.courier.epoch
    assert ["beat", "hello", "enlist", "adopt", "join", "hello", "enlist", "adopt", "look"] == [
        verb for verb, _ in worker.store.acts
    ]


def test_that_redis_has_forgotten_the_pool_is_said_once(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to do about it; a worker that is only new to it has nothing to say."""
    worker.presence.introduce()
    quiet = caplog.text
    worker.presence.introduce()
    worker.store.answers["hello"] = b'{"epoch": "e2", "lends_in": 15}'
    worker.presence.introduce()
    worker.presence.introduce()

    assert "" == quiet
    assert 1 == caplog.text.count("Redis has forgotten the pool")
    assert "accounts that were set aside are lent again" in caplog.text
    assert "appendonly yes" in caplog.text


def test_it_lives_and_listens_from_the_start(worker: Worker) -> None:
    """What it hears it passes on, in order; and first of all, that it may have missed something."""
    worker.presence.start()
    until(lambda: worker.done("beat") and worker.heard)
    worker.ear.said.put({"lent": {"l1": "t1"}})
    worker.ear.said.put("silence")
    worker.ear.said.put({"moved": "t2"})
    until(lambda: len(worker.heard) == 3)

    assert [{"look": True}, {"lent": {"l1": "t1"}}, {"moved": "t2"}] == worker.heard
    assert [("c:w1", "all")] == worker.ear.channels


def test_it_listens_again_when_the_connection_is_lost(worker: Worker) -> None:
    """More and more rarely while that fails; and then all are to look whether they missed
    something."""
    worker.presence.start()
    until(lambda: worker.heard)
    worker.ear.is_away = True
    worker.ear.said.put("lost")
    until(lambda: len(worker.pauses) > 6)
    worker.ear.is_away = False
    until(lambda: len(worker.heard) == 2)

    assert [{"look": True}] * 2 == worker.heard
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0] == worker.pauses[:7]


def test_whoever_does_not_understand_a_message_ends_nothing(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so; all others hear it, and the next one is heard."""
    worker.presence.on_message.insert(0, lambda message: message["lent"])
    worker.presence.start()
    worker.ear.said.put({"lent": 1})

    until(lambda: len(worker.heard) == 2)
    assert ["what Redis told could not be done"] == caplog.messages
    assert 1 == len(worker.ear.channels)


def test_all_hear_what_a_sign_of_life_brought_whoever_fails(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says who did."""
    told: list[Any] = []
    worker.presence.on_beat += [lambda answer: answer["nothing"], told.append]
    worker.presence.beat()

    assert ["12.5"] == [answer["pulse"] for answer in told]
    assert ["what Redis told could not be done"] == caplog.messages
    assert "KeyError: 'nothing'" in caplog.text


def test_a_new_epoch_is_found_out_at_once(worker: Worker) -> None:
    """Not at the next heartbeat: others wait until this worker has told what it holds. Its own is
    no news."""
    worker.presence.start()
    until(lambda: len(worker.done("beat")) == 2)
    worker.courier.epoch = "e1"
    worker.ear.said.put({"epoch": "e1"})
    worker.ear.said.put({"mark": 1})
    until(lambda: {"mark": 1} in worker.heard)
    assert 2 == len(worker.done("beat"))
    worker.ear.said.put({"epoch": "e2"})

    until(lambda: len(worker.done("beat")) == 3)
    assert [{"look": True}, {"mark": 1}] == worker.heard


def test_a_worker_that_comes_is_known_at_once(worker: Worker) -> None:
    """Not at the next heartbeat: whoever does not know it would not wait for what it has used, if
    Redis forgot all. One that was known comes again; that it has come itself is no news."""
    worker.presence.start()
    until(lambda: len(worker.done("beat")) == 2)
    worker.ear.said.put({"came": "w1"})
    worker.ear.said.put({"mark": 1})
    until(lambda: {"mark": 1} in worker.heard)
    assert 2 == len(worker.done("beat"))
    worker.ear.said.put({"came": "w2"})
    until(lambda: len(worker.done("beat")) == 3)
    worker.store.answers["beat"] = b'{"workers": ["w1", "w2", "w3"], "homes": {}, "pulse": "13"}'
    worker.ear.said.put({"came": "w3"})

    until(lambda: worker.presence.workers == ("w1", "w2", "w3"))
    assert [{"look": True}, {"mark": 1}] == worker.heard


def test_who_came_before_it_listened_is_known_once_it_does(worker: Worker) -> None:
    """Whoever listens again may have missed that somebody came."""
    worker.presence.start()
    until(lambda: len(worker.done("beat")) == 2)
    worker.ear.said.put("lost")

    until(lambda: len(worker.done("beat")) == 3)


def test_when_redis_is_back_it_gives_a_sign_of_life(worker: Worker) -> None:
    """At once: it may have been taken for dead."""
    worker.presence.start()
    until(lambda: len(worker.done("beat")) == 2)
    worker.store.trouble = "gone"
    with pytest.raises(StoreAway):
        worker.courier.call("join", {})
    worker.store.trouble = ""

    until(lambda: len(worker.done("beat")) == 3)


def test_a_worker_that_ends_says_so_after_all_that_it_has_noted(worker: Worker) -> None:
    """And nothing of it goes on; it does not make itself known again."""
    worker.presence.start()
    until(lambda: worker.done("beat") and worker.heard)
    worker.courier.note("leave", {"lease": "l1"})
    worker.presence.close()
    worker.presence.close()

    assert ["leave", "quit"] == [verb for verb, _ in worker.store.acts if verb != "beat"]
    assert not any(one.is_alive() for one in worker.presence._threads)
    worker.store.words = [b"!stranger"]
    with pytest.raises(StoreAway):
        worker.courier.call("join", {})


def test_a_redis_that_was_away_is_told_the_last_sign_of_life_that_it_confirmed(
    worker: Worker,
) -> None:
    """It knows whether it still knows of it."""
    worker.presence.beat()
    worker.store.trouble = "gone"
    with pytest.raises(StoreAway):
        worker.courier.call("join", {})
    worker.store.trouble = ""
    until(lambda: not worker.courier.trouble)
    worker.courier.call("join", {})

    assert [{"pulse": "12.5"}] == worker.done("returned")


def test_it_ends_also_while_redis_is_away(worker: Worker) -> None:
    """Its heartbeat runs out then."""
    worker.presence.start()
    until(lambda: worker.heard)
    worker.store.trouble = "gone"
    with pytest.raises(StoreAway):
        worker.courier.call("join", {})
    worker.presence.close()

    assert [] == worker.done("quit")
    assert not any(one.is_alive() for one in worker.presence._threads)


def test_no_thread_is_left() -> None:
    """Of a presence and a courier that were closed."""
    before = threading.active_count()
    one = Worker()
    one.presence.start()
    until(lambda: one.heard)
    one.courier.note("leave", {})
    one.presence.close()
    one.courier.close()

    until(lambda: threading.active_count() == before)
