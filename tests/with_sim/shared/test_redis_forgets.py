"""Redis comes back without its memory: nothing is lent until all have told what they hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from ..servers import until
from .stage import Stage

#: Seconds for which cookies rest then: how other workers used them, those that are gone, nobody
#: can tell.
RESTS = 60.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("forgets"), keys=3, cookies=1) as stage:
        yield stage
        stage.wait_until_nothing_is_lent()
        assert [] == stage.wrong(codes={"rate_limit_exceeded"})


def test_a_restart_without_a_file(stage: Stage) -> None:
    forgets(stage, stage.store.restart)


def test_flushall(stage: Stage) -> None:
    forgets(stage, lambda: stage.store.client.flushall())


def forgets(stage: Stage, forget: Callable[[], object]) -> None:
    """By key nobody sees an error, and what runs ends whole; a cookie rests for a minute."""
    epoch = stage.epoch()
    with stage.load(clients=12) as load:
        until(lambda: load.answered() >= 10)
        held = [
            stage.start(host, words="!chunks=10 !delay=0.5").wait_for_words() for host in (0, 1)
        ]
        begun = time.monotonic()
        forget()
        went_on = [one.result() for one in held]
        load.wait_for(40)
    by_cookie = stage.ask(0, "by-cookie")

    assert stage.epoch() not in ("", epoch)
    assert ["whole", "whole"] == [one.outcome for one in went_on]
    assert {"whole"} == {one.outcome for one in load.asked}
    assert ("error", "rate_limit_exceeded") == (by_cookie.outcome, by_cookie.code)
    assert 0 < by_cookie.retry_after <= RESTS
    assert [] == stage.sends(begun + 2.0, begun + RESTS, account="cookie-1")
