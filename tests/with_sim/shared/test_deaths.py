"""A worker stands still, one dies, a host ends: what they had is there for the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ..servers import until
from .judge import Stretch
from .servers import stand_still
from .stage import PACES, Stage

#: Seconds after the death of a worker in which its accounts are lent again: it is taken for dead
#: when it has not been heard of for 15, and whoever waits looks every second.
LENT_AGAIN = 16.0

HOLDER, LOADER = "sk-shared-client-holder", "sk-shared-client-loader"
#: One has an account of its own, so that it is known whose turn it is; the others have the rest.
CLIENTS = f"""
[clients.holder]
key = "{HOLDER}"
accounts = ["key-1"]

[clients.loader]
key = "{LOADER}"
accounts = ["key-2", "key-3"]
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    paces = {"key": replace(PACES["key"], at_once=1)}
    folder = tmp_path_factory.mktemp("deaths")
    # Replies have two seconds to their end after SIGTERM.
    with Stage(folder, keys=3, paces=paces, clients=CLIENTS, grace=13) as stage:
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
        load.wait_for(20)
        until(lambda: stage.living() == 4)
    stage.wait_until_nothing_is_lent()

    assert "whole" == went_on.outcome
    assert "whole" == served.outcome
    assert frozen < stage.began(waiting) < frozen + LENT_AGAIN
    assert [] == stage.wrong(frozen=[Stretch(frozen, thawed)])


def test_a_killed_worker_s_account_is_lent_again_within_16_seconds(stage: Stage) -> None:
    """Its clients see their streams break, and nobody else notices."""
    with stage.load(key=LOADER) as load:
        held = stage.start(0, words="!hang", key=HOLDER).wait_for_words()
        worker = stage.worker_of(held)
        waiting = stage.start(1, key=HOLDER)
        until(lambda: stage.is_waiting("holder"))
        until(lambda: load.answered() >= 10)
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        broken, served = held.result(), waiting.result()
        stage.sites[0].wait_for_workers(but=worker)
        until(lambda: stage.living() == 4)
    stage.wait_until_nothing_is_lent()

    assert "cut" == broken.outcome
    assert broken.text
    assert broken.expected.startswith(broken.text)
    assert "whole" == served.outcome
    assert stage.began(waiting) - killed < LENT_AGAIN
    assert [] == stage.wrong(cuts=[Stretch(killed, killed + 2.0)])


def test_a_server_that_ends_gives_all_back_at_once(stage: Stage) -> None:
    """SIGTERM: what is left of it in Redis when it has ended is nothing; the other host goes on."""
    held = stage.start(0, words="!hang", key=HOLDER).wait_for_words()
    waiting = stage.start(1, key=HOLDER)
    until(lambda: stage.is_waiting("holder"))
    begun = time.monotonic()
    stage.sites[0].stop()
    ended = time.monotonic()
    living = stage.living()
    broken, served = held.result(), waiting.result()
    stage.wait_until_nothing_is_lent()

    assert 2 == living
    assert ("broke off", "upstream_interrupted") == (broken.outcome, broken.code)
    assert "whole" == served.outcome
    assert begun < stage.began(waiting) < ended + 1.0
    assert [] == stage.wrong(codes={"upstream_interrupted"})
