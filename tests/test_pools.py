"""What is different with where the pool is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import pools
from poe_proxy.clients.client import Limits
from poe_proxy.pool.rotator import Token
from poe_proxy.pool.store import Forgetful
from poe_proxy.pools import InProcess, InRedis
from poe_proxy.record import Record
from poe_proxy.settings import Settings
from poe_proxy.upstreams.base import Upstream

from .fakes import until
from .shared.redis_server import RedisServer

KEYS = ("sk-a",)


def token(*, has_home: bool = False) -> Token[Upstream]:
    made: Token[Any] = Token("key-1", None, kind="key", id="0123456789abcdef", has_home=has_home)
    return made


# ---- in this process


def test_without_redis_it_is_in_this_process(tmp_path: Path) -> None:
    """Nobody else is there, and nobody is asked."""
    pool = pools.made(Settings(auth_keys=KEYS))
    heard: list[object] = []
    pool.hear(heard.append)
    pool.announce({"reload": True})

    assert isinstance(pool, InProcess)
    assert (False, None, "off") == (pool.is_shared, pool.caller, pool.store())
    assert ((), None, True, []) == (pool.workers(), pool.seen(), pool.speaks(), heard)


def test_a_file_remembers_what_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how it is, how long it takes, and what is wrong with it."""
    settings = Settings(auth_keys=KEYS, state_file=tmp_path / "state")
    took: list[str] = []
    with ExitStack() as steps:
        pool = pools.made(settings)
        pool.close(steps)
        pool.timed(lambda what, seconds: took.append(what))
        with pool.lend([token()], settings, lambda token: None).lease() as lease:
            assert lease.wait(1.0) is not None
            assert lease.may_send(1.0)
        pool.budgets.replace({"alice": Limits(per_day=1)}, begins=0.0)
        assert pool.budgets.check("alice", "r1") is None
        pool.budgets.charge("r1")
        until(lambda: took)
        assert "ok" == pool.store()
    with ExitStack() as steps:
        pool = pools.made(settings)
        pool.close(steps)
        rotator = pool.lend([token()], settings, lambda token: None)
        assert 1 == rotator.day_uses.of(token().name)
        pool.budgets.replace({"alice": Limits(per_day=1)}, begins=0.0)
        assert 1 == pool.budgets.standing("alice").requests
        monkeypatch.setattr("poe_proxy.pool.store.journal.Journal.trouble", "disk is full")
        assert "disk is full" == pool.store()


# ---- in Redis


class Worker:
    """One that shares a pool, without the rest of the house."""

    def __init__(self, url: str, name: str, **given: Any) -> None:
        settings = Settings(auth_keys=KEYS, redis_url=url, redis_pool=name, **given)
        made = pools.made(settings)
        assert isinstance(made, InRedis)
        self.pool = made
        self.left: list[Token[Upstream]] = []
        self.rotator = made.lend([token()], settings, self.left.append)
        self.took: list[tuple[str, float]] = []
        made.timed(lambda what, seconds: self.took.append((what, seconds)))
        self.heard: list[Mapping[str, Any]] = []
        made.hear(self.heard.append)
        self.under_way = 0

    def start(self) -> None:
        self.pool.start(lambda: {"under_way": self.under_way})

    def close(self) -> None:
        with ExitStack() as steps:
            self.pool.close(steps)
            steps.callback(self.rotator.close)


@pytest.fixture
def workers(redis_server: RedisServer) -> Iterator[list[Worker]]:
    name = f"pools-{os.urandom(4).hex()}"
    made = [Worker(redis_server.url, name) for _ in range(2)]
    for one in made:
        one.start()
    until(lambda: all(2 == len(one.pool.workers()) for one in made))
    yield made
    for one in made:
        one.close()


def test_workers_know_of_each_other(workers: list[Worker]) -> None:
    """What each tells of itself; one of a host says what is to be said once for it."""
    workers[1].under_way = 7
    workers[1].pool._presence.beat()
    until(lambda: {0, 7} == {one["under_way"] for one in workers[0].pool.workers()})

    assert [os.getpid()] * 2 == [one["pid"] for one in workers[0].pool.workers()]
    assert 1 == sum(one.pool.speaks() for one in workers)
    assert all(one.pool.is_shared and one.pool.caller for one in workers)


def test_each_host_has_one_that_speaks(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so has one of which Redis tells nothing."""
    told = [{"id": one.pool._presence.worker, "host": "elsewhere"} for one in workers]
    monkeypatch.setattr(workers[0].pool, "workers", lambda: told)
    assert workers[0].pool.speaks()

    told[0]["host"] = told[1]["host"] = workers[0].pool._presence.host
    told[1]["id"] = "z"
    assert workers[0].pool.speaks()
    told[1]["id"] = "0"
    assert not workers[0].pool.speaks()


def test_what_one_says_all_others_hear(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool, too, which heeds what is for it."""
    one, other = workers
    moved: list[str] = []
    monkeypatch.setattr(other.rotator._homes, "lose", moved.append)
    one.pool.announce({"word": 1})
    one.pool.announce({"moved": "an account"})
    until(lambda: moved and any("moved" in message for message in other.heard))

    assert ["an account"] == moved
    assert any("word" in message for message in other.heard)
    assert not any("word" in message for message in one.heard)


def test_what_the_script_takes_is_told(workers: list[Worker]) -> None:
    """By one word: it is asked for much at a time."""
    until(lambda: workers[0].took)

    what, seconds = workers[0].took[0]
    assert "script" == what
    assert 0.0 < seconds < 60.0


def test_redis_is_there_once_it_has_answered(redis_server: RedisServer) -> None:
    """Until then nobody knows whether anything is lent."""
    worker = Worker(redis_server.url, f"pools-{os.urandom(4).hex()}")
    before = worker.pool.store()
    worker.start()
    until(lambda: "ok" == worker.pool.store())
    worker.close()

    assert "it has not answered yet" == before
    assert "this server is being stopped" == worker.pool.store()


def test_while_redis_is_away_it_is_told_why() -> None:
    """In words without the password."""
    worker = Worker("redis://:SECRET@127.0.0.1:1", "pools")
    worker.start()
    until(lambda: "refused" in worker.pool.store())
    assert worker.pool.speaks()
    worker.close()

    assert "SECRET" not in worker.pool.store()


def test_a_redis_that_forgot_is_told_what_clients_have_under_way(
    redis_server: RedisServer, workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one could have more at once than it may, for as long as these last."""
    limits = {"alice": Limits(at_a_time=1)}
    for one in workers:
        one.pool.budgets.replace(limits, begins=0.0)
        monkeypatch.setattr(one.pool._budgets, "beat", lambda: None)
    assert workers[0].pool.budgets.check("alice", "r1") is None
    prefix = workers[0].pool._link.prefix.encode()
    for key in redis_server.client.scan_iter(prefix.replace(b"{", b"\\{") + b"*"):
        redis_server.client.delete(key)
    epoch = workers[1].pool._courier.epoch
    workers[1].pool._presence.beat()
    until(lambda: workers[0].pool._courier.epoch != epoch)

    until(lambda: 1 == workers[1].pool.budgets.standing("alice").under_way)
    assert workers[1].pool.budgets.check("alice", "r2") is not None


def test_a_sign_of_life_says_what_clients_have_under_way(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is none any more, for whatever reason, is given back then."""
    pool = workers[0].pool
    told: list[Any] = []
    note = pool._courier.note
    monkeypatch.setattr(pool._courier, "note", lambda *act: (told.append(act), note(*act)))
    pool._presence.beat()

    until(lambda: any(act[0] == "tell" and act[1].get("budgets", {}).get("hold") for act in told))


def test_what_is_gathered_is_told_soon(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it, and no sign of life to be due."""
    monkeypatch.setattr(workers[0].pool._budgets, "beat", lambda: None)
    record = Record()
    record.client, record.code, record.status = "alice", "rate_limit_exceeded", 429
    workers[0].pool.history.tell(record)

    until(lambda: "alice" in (workers[1].pool.seen() or ()))


def test_a_sign_of_life_says_which_accounts_are_at_home(workers: list[Worker]) -> None:
    """What is at home elsewhere is let go."""
    one = workers[0]
    one.rotator.replace([token(has_home=True)])
    with one.rotator.lease() as lease:
        assert lease.wait(30.0) is not None
    one.pool._presence.beat()

    assert {token().name} == one.rotator._homes._here


def test_the_line_is_as_the_settings_say(redis_server: RedisServer) -> None:
    """In Redis and in this process; who leaves is told of."""
    given = {"queue_timeout": 7.0, "queue_size": 8, "points_check": 9.0}
    worker = Worker(redis_server.url, f"pools-{os.urandom(4).hex()}", **given)
    settings, left = Settings(auth_keys=KEYS, **given), worker.left
    alone = pools.made(settings).lend([token()], settings, left.append)
    for rotator in (worker.rotator, alone):
        assert (7.0, 8, 9.0) == (rotator.patience, rotator.line().places, rotator.points_check)
        rotator.replace([])
    alone.close()
    worker.close()

    assert ["key-1"] * 2 == [one.label for one in left]


def test_what_was_told_last_is_there_after_the_end(workers: list[Worker]) -> None:
    """What was gathered is told before the worker says that it ends; then it is gone at once."""
    one, other = workers
    record = Record()
    record.client, record.code, record.status = "alice", "rate_limit_exceeded", 429
    one.pool.history.tell(record)
    one.close()

    until(lambda: 1 == len(other.pool.workers()))
    seen = other.pool.seen()
    assert seen is not None
    assert {"rate_limit_exceeded": 1} == seen["alice"][1]
    assert other.pool.speaks()


def test_what_poe_has_renewed_does_not_leave_the_host(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """It is in the file, if there is one."""
    name = f"pools-{os.urandom(4).hex()}"
    worker = Worker(redis_server.url, name)
    assert isinstance(worker.pool.renewals, Forgetful)
    worker.close()
    worker = Worker(redis_server.url, name, state_file=tmp_path / "state")
    assert not isinstance(worker.pool.renewals, Forgetful)
    worker.close()

    assert (tmp_path / "state").exists()
