"""The line between one host and Redis is cut: whatever is sent over it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ..servers import until
from .stage import Stage

PATIENCE = 4
#: Seconds in which a host notices, and in which one whose account was lent before may still send.
NOTICES = 3.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("network")
    with Stage(folder, keys=3, QUEUE_TIMEOUT=str(PATIENCE)) as stage:
        yield stage
        stage.wait_until_nothing_is_lent()
        assert [] == stage.wrong(codes={"pool_unavailable"})


def test_a_host_without_redis_ends_what_runs_and_begins_nothing(stage: Stage) -> None:
    """The other one goes on alone. Back again, the first one serves as before."""
    with stage.load(clients=10) as load:
        until(lambda: load.answered() >= 10)
        held = stage.start(0, words="!chunks=12 !delay=1").wait_for_words()
        with stage.hosts[0].without_redis():
            begun = time.monotonic()
            until(lambda: stage.ready(0) == 503)
            refused = stage.ask(0)
            answered = load.answered()
            until(lambda: load.answered() >= answered + 20)
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
