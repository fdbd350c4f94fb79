"""A worker stands still for longer than the others wait for a sign of it, and wakes up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ..servers import until
from .judge import Stretch
from .servers import stand_still
from .stage import PACES, Stage
from .test_deaths import CLIENTS, HOLDER, LENT_AGAIN, LOADER


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    paces = {"key": replace(PACES["key"], at_once=1)}
    with Stage(tmp_path_factory.mktemp("freeze"), keys=3, paces=paces, clients=CLIENTS) as stage:
        yield stage


def test_a_worker_that_stood_still_for_20_seconds_comes_back(stage: Stage) -> None:
    """Its account was lent meanwhile. Its streams end whole, and so does all that it took and had
    not answered; nothing is asked twice."""
    with stage.load(key=LOADER) as load:
        until(lambda: load.answered() >= 10)
        held = stage.start(0, words="!chunks=30 !delay=1", key=HOLDER).wait_for_words()
        waiting = stage.start(1, key=HOLDER)
        until(lambda: stage.is_waiting("holder"))
        frozen = time.monotonic()
        stand_still(stage.worker_of(held), 20.0)
        thawed = time.monotonic()
        went_on, served = held.result(), waiting.result()
        answered = load.answered()
        until(lambda: load.answered() >= answered + 20)
        until(lambda: stage.living() == 4)
    stage.wait_until_nothing_is_lent()

    assert "whole" == went_on.outcome
    assert "whole" == served.outcome
    assert frozen < stage.began(waiting) < frozen + LENT_AGAIN
    assert [] == stage.wrong(frozen=[Stretch(frozen, thawed)])
