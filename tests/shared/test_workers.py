"""The life of workers, as the script sees it: who is there, and since when Redis remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import count
from typing import Any
from unittest import mock

import fakeredis
import orjson
import pytest
import redis

from poe_proxy.shared import script
from poe_proxy.shared.link import prefix

from .direct import CLOCK
from .redis_server import RedisServer

_pools = count(1)


class Pool:
    """A pool that has the test's own time, and what its workers are told."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.name = f"workers-{next(_pools)}"
        self.prefix = prefix(self.name)
        self.now = 1_764_000_000.0
        self._is_fake = isinstance(client, fakeredis.FakeRedis)
        self._sha = client.script_load(script.text() if self._is_fake else script.text(CLOCK))
        self._ear = client.pubsub()
        self._ear.psubscribe(f"{self.prefix}*")
        assert self._ear.get_message(timeout=5)

    def run(self, worker: str, epoch: str, *acts: Sequence[Any]) -> Any:
        """Return what is answered, read; or the word that is said instead."""
        texts = [orjson.dumps(act) for act in acts]
        clock = mock.patch("time.time", return_value=self.now) if self._is_fake else nullcontext()
        with clock:
            if not self._is_fake:
                self.client.set(f"{self.prefix}clock", f"{self.now:.17g}")
            said: Any = self.client.evalsha(self._sha, 1, self.prefix, worker, epoch, *texts)
        if isinstance(said, bytes):
            return said.decode()
        return [one.decode() if one[:1] == b"!" else orjson.loads(one) for one in said]

    def heard(self) -> list[tuple[str, Any]]:
        """What was published since it was last asked: where, and what."""
        found = []
        while message := self._ear.get_message(timeout=0.05):
            if message["type"] == "pmessage":
                channel = message["channel"].decode().removeprefix(self.prefix)
                found.append((channel, orjson.loads(message["data"])))
        return found

    def forget(self) -> None:
        """Lose all that is known in this pool, as a restart does."""
        for key in list(self.client.scan_iter(f"{self.prefix}*")):
            self.client.delete(key)

    def kept(self) -> set[str]:
        """What Redis keeps of it, but for the clock of the test."""
        found = self.client.scan_iter(f"{self.prefix}*")
        return {key.decode().removeprefix(self.prefix) for key in found} - {"clock"}


class Worker:
    """One worker of a pool."""

    def __init__(self, pool: Pool, name: str, *, host: str = "") -> None:
        self.pool, self.name, self.host = pool, name, host or f"host-of-{name}"
        self.epoch = ""
        self.knows: list[str] = []

    def run(self, *acts: Sequence[Any]) -> Any:
        return self.pool.run(self.name, self.epoch, *acts)

    def do(self, verb: str, **about: Any) -> Any:
        """Return the answer to one act."""
        (answer,) = self.run([verb, about])
        return answer

    def hello(self) -> float:
        """Make itself known; return the seconds until something is lent."""
        said = self.do(
            "hello", about={"host": self.host, "pid": 7}, knew_epoch=self.epoch, knows=self.knows
        )
        self.epoch = said["epoch"]
        return float(said["lends_in"])

    def beat(self, holds: list[str] | None = None, seconds: float = 15) -> dict[str, Any]:
        said = self.do("beat", **{"for": seconds, "holds": holds, "about": {"host": self.host}})
        self.knows = said["workers"]
        return dict(said)

    def enlist(self, name: str, **terms: Any) -> None:
        given = {"kind": "key", "rank": 0, "concurrency": 1, "limits": [], **terms}
        assert "differs" in self.do("enlist", name=name, **given)

    def lends(self, *leases: str, names: Sequence[str]) -> dict[str, str]:
        """Serve *leases* with what is free of *names*; return what was lent."""
        wants = [{"lease": one, "names": 1, "bot": "", "within": 60, "probes": True}
                 for one in leases]  # fmt: skip
        return dict(self.do("serve", names=[list(names)], wants=wants)["lent"])

    def join(self, lease: str, *names: str) -> dict[str, Any]:
        """Stand in line for one of *names*, or get it at once."""
        self.do("names", digest="-".join(names), names=names)
        about = {"lease": lease, "names": "-".join(names), "kinds": None, "avoid": [], "bot": ""}
        how = {"within": 120, "probes": True, "client": "", "streams": False, "priority": 0}
        return dict(self.do("join", **about, **how, size=10, sends=False))

    def state(self, name: str) -> dict[str, Any]:
        return dict(self.do("state", names=[name], bot="")[name])


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture(params=["redis", "fake redis"])
def pool(request: pytest.FixtureRequest) -> Pool:
    """A new pool: on a real server, and on one in this process."""
    if request.param == "redis":
        return Pool(request.getfixturevalue("server").client)
    return Pool(fakeredis.FakeRedis())


@pytest.fixture
def worker(pool: Pool) -> Worker:
    """The first worker of a pool that lends already."""
    first = Worker(pool, "w1")
    first.hello()
    pool.now += 4
    first.beat()
    return first


def joined(pool: Pool, name: str, **how: Any) -> Worker:
    """One more worker."""
    other = Worker(pool, name, **how)
    other.hello()
    return other


def test_who_is_not_known_is_told_so_and_nothing_is_done(pool: Pool) -> None:
    """But to say hello, and to end; without a name one may look on."""
    stranger = Worker(pool, "w1")

    assert "!stranger" == stranger.run(["enlist", {"name": "t1", "kind": "key"}])
    assert "!stranger" == stranger.run(["hello", {}], ["leave", {"lease": "l1"}])
    assert set() == pool.kept()
    assert [True] == stranger.run(["quit", {}])
    (told,) = pool.run("", "", ["census", {}])
    assert [] == list(told["workers"])
    stranger.hello()
    stranger.enlist("t1")


def test_the_first_hello_begins_an_epoch_and_all_are_told(pool: Pool) -> None:
    """Others find it there; nothing is lent for three seconds: somebody may know an older one."""
    first, second = Worker(pool, "w1"), Worker(pool, "w2")

    assert 3 == pytest.approx(first.hello())
    assert [("all", {"epoch": first.epoch}), ("all", {"came": "w1"})] == pool.heard()
    pool.now += 1
    assert 2 == pytest.approx(second.hello())
    assert first.epoch == second.epoch
    first.enlist("t1")
    assert {} == first.lends("l1", names=["t1"])
    pool.now += 2
    assert {"l1": "t1"} == first.lends("l1", names=["t1"])
    assert 0 == first.beat()["lends_in"]


def test_all_are_told_who_comes_and_once(pool: Pool, worker: Worker) -> None:
    """Should Redis forget all a moment later, they can say that it has to be waited for."""
    pool.heard()
    other = joined(pool, "w2")

    assert [("all", {"came": "w2"})] == pool.heard()
    other.hello()
    worker.hello()
    assert [] == pool.heard()


def test_a_hello_may_be_said_twice(worker: Worker) -> None:
    """As any act whose answer was lost."""
    before = worker.epoch

    assert 0 == worker.hello()
    assert before == worker.epoch
    assert ["w1"] == worker.beat()["workers"]


def test_all_that_a_dead_worker_had_is_given_back_by_whoever_comes_next(
    pool: Pool, worker: Worker
) -> None:
    """Its leases, and the accounts that only it knew; what was used stays counted."""
    other = joined(pool, "w2")
    terms = {"limits": [["within", 10, 600]], "concurrency": 2}
    worker.enlist("t1", **terms)
    other.enlist("t1", **terms)
    other.enlist("t2")
    assert {"l1": "t1", "l2": "t2"} == other.lends("l1", "l2", names=["t1", "t2"])
    assert {"wait": 0} == other.do("use", lease="l1")
    pool.now += 14.9
    worker.beat()
    assert 1 == worker.state("t1")["in_use"]
    pool.now += 0.2

    assert ["w1"] == worker.beat()["workers"]
    assert 0 == worker.state("t1")["in_use"]
    assert [pytest.approx(15.1 - 5)] == worker.do("outlook", names=["t1"])["t1"]["uses"]
    assert {"l3": "t1"} == worker.lends("l3", names=["t1", "t2"])
    assert {} == worker.lends("l4", names=["t2"])
    assert not {one for one in pool.kept() if one.endswith(":w2")}


def test_a_worker_that_was_only_frozen_buries_itself_and_is_a_stranger(
    pool: Pool, worker: Worker
) -> None:
    """What it asks for is not done; what it holds is taken up, over the concurrency if need be."""
    worker.enlist("t1")
    other = joined(pool, "w2")
    other.enlist("t1")
    assert {"l1": "t1"} == worker.lends("l1", names=["t1"])
    pool.now += 16

    assert "!stranger" == worker.run(["use", {"lease": "l1"}])
    other.hello()
    other.enlist("t1")
    assert {"l2": "t1"} == other.lends("l2", names=["t1"])
    assert 0 == worker.hello()
    worker.enlist("t1")
    held = [{"id": "l1", "name": "t1", "bot": "", "count": 1}]
    for _ in range(2):
        assert worker.do("adopt", leases=held, uses=[])
    assert 2 == worker.state("t1")["in_use"]
    assert {} == other.lends("l3", names=["t1"])
    worker.do("leave", lease="l1")
    assert 1 == worker.state("t1")["in_use"]


def test_a_worker_that_ends_gives_back_all_at_once(pool: Pool, worker: Worker) -> None:
    """As often as it says so, and nobody waits for its heartbeat."""
    other = joined(pool, "w2")
    for one in (worker, other):
        one.enlist("t1")
    assert {"l1": "t1"} == other.lends("l1", names=["t1"])

    assert [True] == other.run(["quit", {}])
    assert [True] == other.run(["quit", {}])
    assert "!stranger" == other.run(["leave", {"lease": "l1"}])
    assert {"l2": "t1"} == worker.lends("l2", names=["t1"])
    assert ["w1"] == worker.beat()["workers"]


def test_what_a_worker_does_not_know_to_hold_is_given_back_after_a_while(
    pool: Pool, worker: Worker
) -> None:
    """Calls that were given up may have been done: not those of a moment ago, whose answer may be
    on its way."""
    worker.enlist("t1", concurrency=3)
    assert {"l1": "t1", "l2": "t1"} == worker.lends("l1", "l2", names=["t1"])
    pool.now += 9
    assert {"l3": "t1"} == worker.lends("l3", names=["t1"])
    worker.beat([])
    assert 3 == worker.state("t1")["in_use"]
    pool.now += 2
    worker.beat()
    assert 3 == worker.state("t1")["in_use"]

    worker.beat(["l1"])
    assert 2 == worker.state("t1")["in_use"]
    assert {"lost": True} == worker.do("use", lease="l2")
    assert {"wait": 0} == worker.do("use", lease="l1")


def test_who_waits_for_a_dead_worker_waits_no_more(pool: Pool, worker: Worker) -> None:
    """Its places are given to those behind it, and what it had is lent to them: they are told."""
    other = joined(pool, "w2")
    for one in (worker, other):
        one.enlist("t1")
    assert {"lent": "t1", "struck": False} == other.join("l1", "t1")
    assert 1 == other.join("l2", "t1")["place"]
    assert 2 == worker.join("l3", "t1")["place"]
    pool.now += 14
    worker.beat(["l3"])
    assert 2 == pool.run("", "", ["census", {}])[0]["line"]["length"]
    pool.heard()
    pool.now += 2

    worker.beat(["l3"])
    assert [("c:w1", {"lent": {"l3": "t1"}})] == pool.heard()
    assert {"length": 0, "longest": 0} == pool.run("", "", ["census", {}])[0]["line"]
    assert {"wait": 0} == worker.do("use", lease="l3")


def test_who_waits_and_is_not_known_to_its_worker_waits_no_more(pool: Pool, worker: Worker) -> None:
    """The client hung up while nobody could tell."""
    worker.enlist("t1")
    worker.join("l1", "t1")
    worker.join("l2", "t1")
    worker.join("l3", "t1")
    pool.now += 9.9
    worker.beat(["l1", "l3"])
    assert 2 == pool.run("", "", ["census", {}])[0]["line"]["length"]
    pool.now += 0.2

    worker.beat(["l1", "l3"])
    (told,) = pool.run("", "", ["census", {}])
    assert (1, pytest.approx(10.1)) == (told["line"]["length"], told["line"]["longest"])
    worker.do("leave", lease="l1")
    assert {"l3": "t1"} == worker.do("look", leases=["l3"])["lent"]


def test_who_waits_is_told_when_redis_lends_again(pool: Pool, worker: Worker) -> None:
    """After it had forgotten all; and at the latest by its own clock."""
    joined(pool, "w2")
    worker.beat()
    pool.forget()
    worker.hello()
    worker.enlist("t1")
    assert "waits" in worker.join("l1", "t1")
    assert 15 == pytest.approx(worker.do("look", leases=["l1"])["due"])
    pool.heard()
    worker.do("adopt", leases=[], uses=[])
    assert [] == pool.heard()
    pool.now += 14
    worker.beat(["l1"])
    pool.now += 1.1

    assert {"l1": "t1"} == worker.do("look", leases=["l1"])["lent"]


def test_redis_that_has_forgotten_all_lends_again_once_all_have_told_what_they_hold(
    pool: Pool, worker: Worker
) -> None:
    """Not after three seconds: whoever has known an older epoch says so."""
    other = joined(pool, "w2")
    terms = {"limits": [["within", 2, 60]], "concurrency": 5}
    for one in (worker, other):
        one.enlist("t1", **terms)
        one.beat()
    old = worker.epoch
    pool.forget()
    pool.heard()

    assert "!epoch" == worker.run(["look", {"leases": []}])
    assert 15 == pytest.approx(worker.hello())
    assert worker.epoch != old
    assert [("all", {"epoch": worker.epoch}), ("all", {"came": "w1"})] == pool.heard()
    worker.enlist("t1", **terms)
    uses = [{"id": "l8-1", "name": "t1", "ago": 20.0}]
    for _ in range(2):
        assert worker.do("adopt", leases=[], uses=uses)
    pool.now += 5
    assert {} == worker.lends("l1", names=["t1"])
    assert 10 == pytest.approx(worker.beat()["lends_in"])
    assert "!epoch" == other.run(["look", {"leases": []}])
    assert 10 == pytest.approx(other.hello())
    other.enlist("t1", **terms)
    assert other.do("adopt", leases=[], uses=[{"id": "l9-1", "name": "t1", "ago": 30.0}], more=True)
    assert {} == worker.lends("l1", names=["t1"])
    assert other.do("adopt", leases=[{"id": "l9", "name": "t1", "bot": "", "count": 1}], uses=[])

    assert 0 == other.beat()["lends_in"]
    assert {} == worker.lends("l1", names=["t1"]), "both uses of the last minute are told"
    assert 1 == worker.state("t1")["in_use"]
    pool.now += 30.1
    worker.hello()
    worker.enlist("t1", **terms)
    assert {"l1": "t1"} == worker.lends("l1", names=["t1"])


def test_those_that_do_not_come_back_are_waited_for_as_long_as_a_heartbeat(
    pool: Pool, worker: Worker
) -> None:
    """What they held is over by then."""
    joined(pool, "w2")
    worker.enlist("t1")
    worker.beat()
    pool.forget()
    worker.hello()
    worker.enlist("t1")
    worker.do("adopt", leases=[], uses=[])
    pool.now += 14.9
    worker.beat()
    assert {} == worker.lends("l1", names=["t1"])
    pool.now += 0.2

    assert {"l1": "t1"} == worker.lends("l1", names=["t1"])


def test_a_new_worker_may_begin_the_epoch_and_an_old_one_still_closes_it(
    pool: Pool, worker: Worker
) -> None:
    """From when it says what it knew on."""
    worker.enlist("t1")
    pool.forget()
    new = Worker(pool, "w2")
    assert 3 == pytest.approx(new.hello())
    pool.now += 2

    assert 15 == pytest.approx(worker.hello())
    assert 15 == pytest.approx(new.beat()["lends_in"])
    worker.enlist("t1")
    worker.do("adopt", leases=[], uses=[])
    assert 0 == new.beat()["lends_in"]


def test_what_was_forgotten_long_ago_holds_up_nobody(pool: Pool, worker: Worker) -> None:
    """A worker that slept through it is a stranger like any other."""
    worker.enlist("t1")
    pool.forget()
    new = joined(pool, "w2")
    new.enlist("t1")
    for _ in range(5):
        pool.now += 13
        new.beat()

    assert 0 == worker.hello()
    assert 0 == new.beat()["lends_in"]


def test_accounts_with_a_home_rest_a_minute_when_redis_has_forgotten_how_they_were_used(
    pool: Pool, worker: Worker
) -> None:
    """Whoever used them may be dead. Keys go on; and it is not so where nothing was forgotten."""
    worker.enlist("c1", kind="cookie", has_home=True)
    assert "fit" == worker.state("c1")["standing"]
    pool.forget()
    new = joined(pool, "w2")
    new.enlist("c2", kind="cookie", has_home=True)
    new.enlist("k1")
    assert "fit" == new.state("c2")["standing"]
    worker.hello()
    worker.enlist("c1", kind="cookie", has_home=True)
    worker.do("adopt", leases=[], uses=[])

    assert (0, 60) == (new.state("k1")["rest"], pytest.approx(new.state("c2")["rest"]))
    known = worker.state("c1")
    assert 60 == pytest.approx(known["rest"])
    assert ("resting", "Redis has forgotten how it was used.", "") == (
        *(known["standing"], known["reason"], known["code"]),
    )  # it is not Poe that holds it back
    pool.now += 10
    worker.enlist("c1", kind="cookie", has_home=True)
    assert 50 == pytest.approx(worker.state("c1")["rest"])
    assert {"l1": "k1"} == new.lends("l1", names=["k1", "c2"])


def test_a_job_is_done_by_one_worker(pool: Pool, worker: Worker) -> None:
    """Until its time is over; who asks again with the same id is answered the same."""
    other = joined(pool, "w2")

    assert worker.do("job", name="sweep", seconds=30)
    assert worker.do("job", name="other", seconds=30, id="a")
    assert not other.do("job", name="sweep", seconds=30)
    assert not worker.do("job", name="sweep", seconds=30)
    assert worker.do("job", name="other", seconds=30, id="a")
    assert not worker.do("job", name="other", seconds=30, id="b")
    assert not other.do("job", name="other", seconds=30, id="a")


def test_the_census_tells_of_all_workers_and_accounts(pool: Pool, worker: Worker) -> None:
    """Today's uses, points, and where an account is at home."""
    other = joined(pool, "w2", host="far")
    other.enlist("c1", kind="cookie", has_home=True, limits=[["rest", 10, 0]])
    worker.enlist("k1", concurrency=2, limits=[["within", 500, 60], ["within", 900, 3600]])
    assert {"l1": "k1", "l2": "k1"} == worker.lends("l1", "l2", names=["k1"])
    assert {"l3": "c1"} == other.lends("l3", names=["c1"])
    for lease, user in (("l1", worker), ("l2", worker), ("l3", other)):
        assert {"wait": 0} == user.do("use", lease=lease)
    worker.do("arrived", lease="l1")
    worker.do("points", name="k1", number=1234, grant_at=None, grant_number=None)
    pool.now += 8

    (told,) = pool.run("", "", ["census", {}])

    assert [("w1", 7, "host-of-w1"), ("w2", 7, "far")] == sorted(
        (one["id"], round(one["lives_for"]), one["about"]["host"]) for one in told["workers"]
    )
    key, cookie = told["accounts"]["k1"], told["accounts"]["c1"]
    assert 2 == key["day"]
    assert (1234, 8) == (key["points"]["number"], pytest.approx(key["points"]["ago"]))
    assert ("w2", 1) == (cookie["home"], cookie["day"])
    assert {"in_use": 1, "standing": "resting"}.items() <= cookie["state"].items()
    assert {"length": 0, "longest": 0} == told["line"]


def test_an_act_that_fails_does_not_keep_others_from_being_done(worker: Worker) -> None:
    """Each has its own answer."""
    said = worker.run(
        ["enlist", {"kind": "key"}], ["nothing"], ["job", {"name": "a", "seconds": 1}]
    )

    assert ["!", "!", True] == [one if one is True else one[:1] for one in said]


def test_homes_are_told_with_each_beat_and_free_when_their_worker_is_gone(
    pool: Pool, worker: Worker
) -> None:
    """At once."""
    other = joined(pool, "w2")
    for one in (worker, other):
        one.enlist("c1", kind="cookie", has_home=True)
    assert {"l1": "c1"} == other.lends("l1", names=["c1"])
    assert ["c1"] == other.beat()["homes"]
    assert [] == list(worker.beat()["homes"])
    other.run(["quit", {}])

    assert {"l2": "c1"} == worker.lends("l2", names=["c1"])
    assert ["c1"] == worker.beat()["homes"]


def test_an_empty_pool_keeps_next_to_nothing(pool: Pool, worker: Worker) -> None:
    """Of workers that are gone nothing is left."""
    worker.enlist("t1")
    worker.lends("l1", names=["t1"])
    worker.run(["quit", {}])

    left = {one for one in pool.kept() if not one.startswith(("t:", "u:", "o:"))}
    assert left <= {"epoch", "kinds", "turn", "comings", "closed_until"}


def test_the_script_is_the_same_for_the_same_clock() -> None:
    """It is known by its content: two versions of the program have two."""
    make: Callable[[], str] = script.text

    assert make() is make()
    assert make().startswith(script.TIME)
