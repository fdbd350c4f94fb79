"""A cookie has one home at a time, whichever hosts ask for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ..servers import until
from .judge import Pace, Stretch
from .stage import Stage
from .test_deaths import LENT_AGAIN

PACES = {
    "cookie": Pace(calls=30, window=4.0, at_once=1),
    "key": Pace(calls=30, window=4.0, at_once=3),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("homes"), keys=1, cookies=1, paces=PACES) as stage:
        yield stage


def test_both_hosts_ask_and_poe_sees_one_session(stage: Stage) -> None:
    """Who asks elsewhere waits until the home is moved, or is told when to come back."""
    with stage.load(clients=8, models=("by-cookie",), words="!chunks=3") as load:
        until(lambda: load.answered() >= 30)
    stage.wait_until_nothing_is_lent()

    assert [] == stage.wrong(codes={"rate_limit_exceeded"})


def test_an_idle_home_moves_to_the_host_that_asks(stage: Stage) -> None:
    """The old home has closed its websocket by the time the new one has answered."""
    first, second = stage.ask(0, "by-cookie"), stage.ask(1, "by-cookie")
    addresses = [stage.peer(one.mark) for one in (first, second)]
    until(lambda: stage.wires("cookie-1") == [stage.hosts[1].front.inside])

    assert ["whole", "whole"] == [first.outcome, second.outcome]
    assert [host.front.inside for host in stage.hosts] == addresses
    assert [] == stage.wrong(codes={"rate_limit_exceeded"})


def test_the_home_moves_when_its_worker_is_killed(stage: Stage) -> None:
    held = stage.start(1, "by-cookie", "!hang").wait_for_words()
    waiting = stage.start(0, "by-cookie")
    until(lambda: stage.waiting())
    killed = time.monotonic()
    os.kill(stage.worker_of(held), signal.SIGKILL)
    broken, served = held.result(), waiting.result()
    stage.wait_until_nothing_is_lent()

    assert "cut" == broken.outcome
    assert "whole" == served.outcome
    assert stage.began(waiting) - killed < LENT_AGAIN
    assert stage.hosts[0].front.inside == stage.peer(served.mark)
    assert [] == stage.wrong(codes={"rate_limit_exceeded"}, cuts=[Stretch(killed, killed + 2.0)])
