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

#: They have a cookie of their own, so that it is known who is at home where.
OWNER = "sk-shared-client-owner"
OTHERS = "sk-shared-client-others"
CLIENTS = f"""
[clients.owner]
key = "{OWNER}"
accounts = ["cookie-1"]

[clients.others]
key = "{OTHERS}"
accounts = ["cookie-2", "cookie-3"]
"""
PACES = {
    "cookie": Pace(calls=30, window=4.0, at_once=1),
    "key": Pace(calls=30, window=4.0, at_once=3),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("homes")
    with Stage(folder, keys=1, cookies=3, paces=PACES, clients=CLIENTS) as stage:
        yield stage


def test_a_home_moves_when_it_is_idle_and_when_its_worker_is_dead(stage: Stage) -> None:
    """Poe sees one session of each cookie, whichever host is asked: while its own requests come
    seldom, and others ask for other cookies without end."""
    with stage.load(
        clients=6, models=("by-cookie",), words="!chunks=3", key=OTHERS, leaves=True
    ) as load:
        # It is at home somewhere, and comes to whom it is wanted by once it is idle.
        first = stage.ask(0, "by-cookie", key=OWNER)
        second = stage.ask(1, "by-cookie", key=OWNER)
        until(lambda: stage.wires("cookie-1") == [stage.hosts[1].front.inside])

        held = stage.start(1, "by-cookie", "!hang", key=OWNER).wait_for_words()
        waiting = stage.start(0, "by-cookie", key=OWNER)
        until(lambda: stage.is_waiting("owner"))
        killed = time.monotonic()
        os.kill(stage.worker_of(held), signal.SIGKILL)
        broken, served = held.result(), waiting.result()
        until(lambda: load.answered() >= 10)
    stage.wait_until_nothing_is_lent()

    assert ["whole", "whole", "cut", "whole"] == [
        one.outcome for one in (first, second, broken, served)
    ]
    assert [0, 1, 1, 0] == [stage.host_of(one.mark) for one in (first, second, broken, served)]
    assert stage.began(waiting) - killed < LENT_AGAIN
    assert [] == stage.wrong(codes={"rate_limit_exceeded"}, cuts=[Stretch(killed, killed + 2.0)])
