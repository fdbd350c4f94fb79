"""What becomes of a worker when Redis fails: each fault on a real server."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.courier import Courier
from poe_proxy.shared.link import Link
from poe_proxy.shared.presence import Presence, name_of_worker

from .redis_server import RedisServer, free_port
from .test_courier import until

SECRET = "hunter2-is-none"


class Worker:
    """A worker as the server has it, with one account and what it holds of it."""

    def __init__(self, url: str, *, start: bool = True) -> None:
        self.name = name_of_worker()
        self.link = Link(url, "faults")
        self.courier = Courier(self.link, worker=self.name)
        self.presence = Presence(self.courier, self.link.listener(0.2), self.name, version="1")
        self.heard: list[dict[str, Any]] = []
        self.introduced = 0
        self.backs = 0
        #: What it holds, and what it has used, as it tells it.
        self.leases: list[dict[str, Any]] = []
        self.uses: list[dict[str, Any]] = []
        self.presence.on_message.append(self.heard.append)
        self.presence.on_stranger.append(self._tell)
        self.presence.holds = lambda: [one["id"] for one in self.leases]
        self.courier.on_back.append(self._is_back)
        if start:
            self.presence.start()

    def _tell(self) -> None:
        limits = [["within", 1000, 60]]
        account = {"name": "t1", "kind": "key", "rank": 0, "concurrency": 1, "limits": limits}
        self.courier.call("enlist", account)
        self.courier.note("adopt", {"leases": self.leases, "uses": self.uses})
        self.introduced += 1

    def _is_back(self) -> None:
        self.backs += 1

    def call(self, verb: str, **about: Any) -> Any:
        return self.courier.call(verb, about)

    def lend(self, lease: str) -> bool:
        """Ask for the account once; return whether it was lent."""
        want = {"lease": lease, "names": 1, "bot": "", "within": 60, "probes": True}
        is_lent = lease in dict(self.call("serve", names=[["t1"]], wants=[want])["lent"])
        if is_lent:
            self.leases.append({"id": lease, "name": "t1", "bot": "", "count": 1})
        return is_lent

    def use(self, lease: str) -> None:
        assert {"wait": 0} == self.call("use", lease=lease, count=1)
        self.uses.append({"id": f"{lease}-1", "name": "t1", "ago": 1.0})

    def uses_known(self) -> int:
        return len(self.call("outlook", names=["t1"])["t1"]["uses"])

    def in_use(self) -> int:
        return int(self.call("state", names=["t1"], bot="")["t1"]["in_use"])

    def close(self) -> None:
        self.presence.close()
        self.courier.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture
def worker(server: RedisServer) -> Iterator[Worker]:
    """One that has an account lent, and has used it once."""
    made = Worker(server.url)
    until(lambda: made.heard and made.introduced)
    server.client.delete("poe:{faults}:2:closed_until")
    assert made.lend("l1")
    made.use("l1")
    yield made
    made.close()


def test_redis_may_come_after_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    """Until then it says why it is away; then all goes on by itself."""
    server = RedisServer()
    worker = Worker(server.url)
    until(lambda: worker.courier.trouble)
    with pytest.raises(StoreAway, match="Connection refused"):
        worker.lend("l1")
    assert "refused" in worker.courier.trouble
    with server:
        until(lambda: not worker.courier.trouble and worker.introduced)
        until(lambda: {"look": True} in worker.heard)
        worker.close()
    assert 1 == sum("is away" in one for one in caplog.messages)


def test_a_frozen_redis_counts_as_away_and_does_what_was_asked_once(
    server: RedisServer, worker: Worker
) -> None:
    """What was on its way is done when it wakes up; repeated, it is not done again."""
    server.freeze()
    began = time.monotonic()
    with pytest.raises(StoreAway, match=r"(?i)timeout"):
        worker.call("use", lease="l1", count=2)
    with pytest.raises(StoreAway):
        worker.call("use", lease="l1", count=2)
    assert time.monotonic() - began < 10, "whoever comes later does not wait at all"
    worker.courier.note("use", {"lease": "l1", "count": 2})
    server.thaw()
    until(lambda: not worker.courier.trouble and worker.backs)

    assert {"wait": 0} == worker.call("use", lease="l1", count=2)
    assert 2 == worker.uses_known()
    assert 1 == worker.in_use()


@pytest.mark.parametrize("keeps", [True, False], ids=["with a log of its own", "without memory"])
def test_redis_is_restarted(keeps: bool) -> None:
    """What the worker holds and has used counts as before, whether Redis has kept it or not."""
    with RedisServer(*(("--appendonly", "yes") if keeps else ())) as server:
        worker = Worker(server.url)
        until(lambda: worker.heard and worker.introduced)
        server.client.delete("poe:{faults}:2:closed_until")
        assert worker.lend("l1")
        worker.use("l1")
        epoch = worker.courier.epoch
        server.stop()
        said = {"name": "t1", "seconds": 60, "reason": "", "code": "", "bot": ""}
        worker.courier.note("rest", said)
        until(lambda: worker.courier.trouble)
        server.start()
        until(lambda: not worker.courier.trouble and worker.backs)

        assert (1, 1) == (worker.in_use(), worker.uses_known())
        assert keeps == (worker.courier.epoch == epoch)
        assert "limited" == worker.call("state", names=["t1"], bot="")["t1"]["standing"]
        assert (1 if keeps else 2) == worker.introduced
        worker.close()


def test_redis_comes_back_with_what_it_knew_a_while_ago() -> None:
    """It is told anew what the worker holds and has used, as if it had forgotten all."""
    with RedisServer() as server:
        worker = Worker(server.url)
        until(lambda: worker.heard and worker.introduced)
        server.client.delete("poe:{faults}:2:closed_until")
        server.client.save()
        assert worker.lend("l1")
        worker.use("l1")
        worker.presence.beat()
        epoch = worker.courier.epoch
        server.kill()
        until(lambda: worker.courier.trouble)
        server.start()
        until(lambda: not worker.courier.trouble and worker.backs)

        assert not worker.lend("l2")
        assert (1, 1) == (worker.in_use(), worker.uses_known())
        assert worker.courier.epoch != epoch
        assert 2 == worker.introduced
        worker.close()


def test_all_is_deleted_under_a_worker(server: RedisServer, worker: Worker) -> None:
    """It tells all anew, before anything else; and nothing is lent that is lent already."""
    server.client.flushall()

    assert not worker.lend("l2")
    assert 2 == worker.introduced
    assert (1, 1) == (worker.in_use(), worker.uses_known())


def test_all_is_deleted_and_other_workers_tell_at_once_what_they_hold(
    server: RedisServer, worker: Worker
) -> None:
    """They hear of it: nobody waits for their next heartbeat."""
    other = Worker(server.url)
    until(lambda: other.heard and other.introduced)
    for one in (worker, other):
        one.presence.beat()
    server.client.flushall()
    assert not worker.lend("l2")

    until(lambda: other.introduced == 2)
    until(lambda: worker.call("census")["lends_in"] == 0)
    worker.call("leave", lease="l1")
    assert other.lend("l3")
    other.close()


def test_the_script_is_deleted_under_a_worker(server: RedisServer, worker: Worker) -> None:
    """It is loaded again, and nobody notices."""
    server.client.script_flush()

    assert 1 == worker.in_use()
    assert (0, 1) == (worker.backs, worker.introduced)


def test_redis_has_no_memory_left(server: RedisServer, worker: Worker) -> None:
    """As if it were away: what is noted is kept, and done when there is room again."""
    server.client.config_set("maxmemory", 1)
    with pytest.raises(StoreAway, match=r"OOM|maxmemory"):
        worker.call("use", lease="l1", count=2)
    worker.courier.note("leave", {"lease": "l1"})

    def refused() -> int:
        return int(server.client.info("commandstats")["cmdstat_set"]["rejected_calls"])

    before = refused()
    until(lambda: refused() > before + 2)
    assert "maxmemory" in worker.courier.trouble
    server.client.config_set("maxmemory", 0)
    until(lambda: not worker.courier.trouble and worker.backs)

    assert 0 == worker.in_use()


def test_the_password_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, and what is there in its place; it is in no words."""
    caplog.set_level(logging.DEBUG)
    with RedisServer("--requirepass", "right") as server:
        worker = Worker(server.url.replace("//", f"//:{SECRET}@"))
        until(lambda: "WRONGPASS" in worker.courier.trouble)
        with pytest.raises(StoreAway, match="WRONGPASS"):
            worker.lend("l1")
        server.client.config_set("requirepass", SECRET)
        until(lambda: not worker.courier.trouble and worker.introduced)
        worker.close()

    assert SECRET not in caplog.text
    assert "the pool in Redis is away: WRONGPASS" in caplog.text


def test_whoever_listens_is_cut_off(server: RedisServer, worker: Worker) -> None:
    """It listens again, and is told to look whether it missed something."""
    assert [{"look": True}] == worker.heard
    assert 1 == server.client.client_kill_filter(_type="pubsub")
    until(lambda: len(worker.heard) == 2)
    server.client.publish("poe:{faults}:2:all", '{"reload": true}')
    until(lambda: len(worker.heard) == 3)

    assert [{"look": True}, {"look": True}, {"reload": True}] == worker.heard
    assert "" == worker.courier.trouble


def test_its_connection_is_cut_off(server: RedisServer, worker: Worker) -> None:
    """What was noted is done, in order, and once."""
    server.client.client_kill_filter(_type="normal", skipme=True)
    for number in range(100):
        worker.courier.note("use", {"lease": "l1", "count": 2 + number})
    until(lambda: worker.backs)
    server.client.client_kill_filter(_type="normal", skipme=True)
    for number in range(100, 200):
        worker.courier.note("use", {"lease": "l1", "count": 2 + number})
    until(lambda: worker.backs == 2)

    # One that comes after a later one, or again, counts for nothing.
    assert 201 == worker.uses_known()
    assert "" == worker.courier.trouble


def test_a_worker_that_was_taken_for_dead_takes_up_what_it_has(
    server: RedisServer, worker: Worker
) -> None:
    """As after a freeze: at its next call, whatever that is."""
    other = Worker(server.url)
    until(lambda: other.name in worker.presence.workers)
    server.client.zadd("poe:{faults}:2:workers", {worker.name: 1.0})
    assert worker.name not in other.call("beat", **{"for": 15})["workers"]
    assert other.lend("l2")

    assert not worker.lend("l3")
    assert 2 == worker.introduced
    assert 2 == worker.in_use(), "one more than it may be, as its stream goes on"
    other.close()


def test_a_worker_that_ends_leaves_nothing_behind(server: RedisServer, worker: Worker) -> None:
    """Its account may be lent by the next one at once."""
    other = Worker(server.url)
    until(lambda: other.introduced)
    assert not other.lend("l2")
    worker.close()

    assert other.lend("l2")
    assert [other.name.encode()] == server.client.zrange("poe:{faults}:2:workers", 0, -1)
    other.close()


def test_redis_is_read_only(server: RedisServer, worker: Worker) -> None:
    """A replica that was promoted and is none any more, or was never one."""
    server.client.replicaof("127.0.0.1", str(free_port()))
    with pytest.raises(StoreAway, match=r"READONLY|MASTERDOWN"):
        worker.call("use", lease="l1", count=2)
    server.client.replicaof("NO", "ONE")
    until(lambda: not worker.courier.trouble and worker.backs)

    assert {"wait": 0} == worker.call("use", lease="l1", count=2)
