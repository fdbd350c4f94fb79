"""Two workers with all that is theirs, threads and sockets, on a real Redis."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import pytest

from poe_proxy.pool.limits import Within
from poe_proxy.pool.redis.rotator import SharedRotator
from poe_proxy.pool.rotator import Token
from poe_proxy.shared.courier import Courier
from poe_proxy.shared.link import Link
from poe_proxy.shared.presence import SILENCE, Presence, name_of_worker

from ...fakes import until
from ...shared.redis_server import RedisServer

LIMIT: Final = Within(10, 1.5)
ROOM: Final = 2
_pools = count(1)


class Worker:
    """A worker, alive."""

    def __init__(self, server: RedisServer, pool: str) -> None:
        name = name_of_worker()
        link = Link(server.url, pool)
        self.courier = Courier(link, worker=name)
        self.presence = Presence(self.courier, link.listener(SILENCE), name, version="1")
        self.rotator: SharedRotator[Any] = SharedRotator(
            [Token(one, None, kind="key", concurrency=ROOM, limits=(LIMIT,)) for one in "abc"],
            courier=self.courier,
            presence=self.presence,
            patience=60.0,
        )
        self.presence.start()

    def close(self) -> None:
        self.rotator.close()
        self.presence.close()
        self.courier.close()


@pytest.fixture
def workers(redis_server: RedisServer) -> Iterator[list[Worker]]:
    pool = f"together-{next(_pools)}"
    made = [Worker(redis_server, pool) for _ in range(2)]
    yield made
    for one in made:
        one.close()


class Poe:
    """Counts what it is sent, and how many speak with an account at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: defaultdict[str, int] = defaultdict(int)
        self.most: defaultdict[str, int] = defaultdict(int)
        self.sent: defaultdict[str, list[float]] = defaultdict(list)

    def lent(self, name: str, change: int) -> None:
        with self._lock:
            self.now[name] += change
            self.most[name] = max(self.most[name], self.now[name])

    def take(self, name: str) -> None:
        with self._lock:
            self.sent[name].append(time.monotonic())


def ask(worker: Worker, poe: Poe, times: int) -> None:
    for _ in range(times):
        with worker.rotator.lease() as lease:
            while (token := lease.wait(1.0)) is None:
                pass
            poe.lent(token.name, 1)
            while not lease.may_send(0.1):
                pass
            poe.take(token.name)
            lease.arrived()
            lease.worked()
            poe.lent(token.name, -1)


def test_a_crowd_at_two_workers_never_exceeds_what_accounts_may(workers: list[Worker]) -> None:
    """All are served; nothing is left behind."""
    poe = Poe()
    crowd = [
        threading.Thread(target=ask, args=(worker, poe, 6), daemon=True)
        for worker in workers
        for _ in range(6)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(120)
    assert not any(one.is_alive() for one in crowd)

    assert 72 == sum(map(len, poe.sent.values()))
    assert set("abc") == set(poe.sent)
    assert max(poe.most.values()) <= ROOM
    for sent in poe.sent.values():
        for last, first in zip(sent[LIMIT.calls :], sent, strict=False):
            assert last - first > LIMIT.window - 0.1
    until(lambda: all(one.in_use == 0 for one in workers[0].rotator._asked.state("abc").values()))
    assert 0 == workers[1].rotator.line().waiting


def test_whoever_waits_in_another_worker_is_woken(workers: list[Worker]) -> None:
    """Not only by the clock: by a message, whatever the clock says."""
    one, other = workers
    other.rotator._line._alarm.close()
    until(lambda: other.presence.workers and len(other.presence.workers) == 2)
    busy = [one.rotator.lease().__enter__() for _ in range(3 * ROOM)]
    until(lambda: all(lease.wait(1.0) is not None for lease in busy))
    waits = other.rotator.lease().__enter__()
    assert waits.wait(0.0) is None

    busy[0].__exit__(None, None, None)
    until(lambda: waits.wait(1.0) is not None)
    for lease in (*busy[1:], waits):
        lease.__exit__(None, None, None)
