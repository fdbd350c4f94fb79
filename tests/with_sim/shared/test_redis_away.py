"""Redis is away for a while, for one host or for both, and comes back with its memory; what runs
goes on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ..servers import until
from .judge import Pace
from .stage import Stage

#: Seconds that a request waits: more than the pace of an account and what is on its way can take.
PATIENCE = 8
#: Seconds in which a request may still be sent whose account was lent before.
UNDER_WAY = 2.0
#: The same where Redis is out of reach: in which that is noticed, too.
NOTICES = 3.0
#: There is room at the keys beside what those have who cannot give it back.
PACES = {"key": Pace(calls=4, window=1.0, at_once=8)}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("away")
    with Stage(folder, keys=3, paces=PACES, aof=True, QUEUE_TIMEOUT=str(PATIENCE)) as stage:
        yield stage
        stage.wait_until_nothing_is_lent()
        # While Redis is away nobody can say that a send has arrived, so it counts for longer: who
        # comes right after that may have to come again. Where nobody notices, each test says so.
        assert [] == stage.wrong(codes={"pool_unavailable", "rate_limit_exceeded"})


def test_nobody_notices_that_redis_stood_still_for_a_second(stage: Stage) -> None:
    with stage.load(clients=10) as load:
        until(lambda: load.answered() >= 10)
        stage.store.stand_still(1.0)
        load.wait_for(20)

    assert {"whole"} == {one.outcome for one in load.asked}


def test_nobody_notices_that_the_subscriptions_were_killed(stage: Stage) -> None:
    """Each worker subscribes anew; what it was not told meanwhile, it sees by its own clock."""
    redis = stage.store.client
    with stage.load(clients=10) as load:
        for _ in range(3):
            until(lambda: len(redis.client_list(_type="pubsub")) == 4)
            assert 4 == redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            load.wait_for(15)
        until(lambda: len(redis.client_list(_type="pubsub")) == 4)

    assert {"whole"} == {one.outcome for one in load.asked}


def test_nobody_notices_a_restart_with_its_file(stage: Stage) -> None:
    with stage.load(clients=10) as load:
        until(lambda: load.answered() >= 10)
        stage.store.restart()
        load.wait_for(20)

    assert {"whole"} == {one.outcome for one in load.asked}


def test_without_room_in_redis_the_pool_is_unavailable(stage: Stage) -> None:
    """`maxmemory` is reached: an honest 503 that says when to come back, and no bug of ours."""
    asked = []
    with stage.store.full():
        until(lambda: stage.ready(0) == 503)
        # Redis lets a script go on that has deleted something before it adds anything: whoever
        # is served in this way is served whole.
        while not asked or asked[-1].status == 200:
            asked.append(stage.ask(0))
    *served, refused = asked
    until(lambda: stage.ready(0) == 200)
    fit = stage.ask(0)

    assert (503, "pool_unavailable", 5.0) == (refused.status, refused.code, refused.retry_after)
    assert {"whole"} == {one.outcome for one in (*served, fit)}


def test_a_host_without_redis_ends_what_runs_and_begins_nothing(stage: Stage) -> None:
    """The other one goes on alone. Back again, the first one serves as before."""
    with stage.load(clients=10) as load:
        until(lambda: load.answered() >= 10)
        held = stage.start(0, words="!chunks=12 !delay=1").wait_for_words()
        with stage.hosts[0].without_redis():
            begun = time.monotonic()
            until(lambda: stage.ready(0) == 503)
            refused = stage.ask(0)
            load.wait_for(20)
            other = stage.ready(1)
            went_on = held.result()
            ended = time.monotonic()
        until(lambda: stage.ready(0) == 200)
        fit = stage.ask(0)

    assert "whole" == went_on.outcome
    assert (503, "pool_unavailable", 5.0) == (refused.status, refused.code, refused.retry_after)
    assert refused.ended - refused.begun > PATIENCE - 0.1
    assert 200 == other
    assert "whole" == fit.outcome
    assert [] == stage.sends(begun + NOTICES, ended, host=0)
    assert {"whole"} == {one.outcome for one in load.asked if one.host == 1}


def test_redis_stands_still_for_20_seconds(stage: Stage) -> None:
    """What runs ends whole. Who comes waits, and then gets a 503; nothing is sent without Redis."""
    with stage.load(clients=8) as load:
        until(lambda: load.answered() >= 10)
        held = [stage.start(host, words="!chunks=24 !delay=1").wait_for_words() for host in (0, 1)]
        begun = time.monotonic()
        stage.store.freeze()
        try:
            until(lambda: stage.ready(0) == stage.ready(1) == 503)
            health = [stage.health(host) for host in (0, 1)]
            refused = [stage.ask(host) for host in (0, 1)]
            time.sleep(max(0.0, begun + 20.0 - time.monotonic()))
            ended = time.monotonic()
        finally:
            stage.store.thaw()
        went_on = [one.result() for one in held]
        load.wait_for(20)
        until(lambda: stage.ready(0) == stage.ready(1) == 200)

    assert [200, 200] == health
    assert ["whole", "whole"] == [one.outcome for one in went_on]
    for one in refused:
        assert (503, "pool_unavailable", 5.0) == (one.status, one.code, one.retry_after)
        assert one.ended - one.begun > PATIENCE - 0.1
    assert [] == stage.sends(begun + UNDER_WAY, ended)
