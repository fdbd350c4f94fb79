"""The judge of these tests finds what it is to find: two servers on the same accounts that know
nothing of each other break every promise of a shared pool."""

from __future__ import annotations

from pathlib import Path

from ..servers import until
from .judge import Pace
from .stage import Stage

PACES = {
    "key": Pace(calls=8, window=2.0, at_once=2),
    "cookie": Pace(calls=3, window=2.0, at_once=1, rest=0.3),
}


def test_one_server_by_itself_does_nothing_wrong(tmp_path: Path) -> None:
    """What the judge finds in the other test is not of the load's own making."""
    with _without_redis(tmp_path, hosts=1) as alone:
        with alone.load(clients=10, models=("by-key", "by-cookie")) as load:
            until(lambda: load.answered() >= 40)

        assert [] == alone.wrong(codes={"rate_limit_exceeded"})


def test_two_servers_that_share_nothing_are_caught(tmp_path: Path) -> None:
    """Limits, replies at a time and sessions: each is broken, and found."""
    with _without_redis(tmp_path, hosts=2) as apart:
        with apart.load(clients=20, models=("by-key", "by-cookie")) as load:
            until(lambda: load.answered() >= 60)
        found = apart.wrong(codes={"rate_limit_exceeded"})

    kinds = {one.partition(":")[0] for one in found}
    assert {"limits", "concurrency", "sessions"} <= kinds, found


def _without_redis(folder: Path, hosts: int) -> Stage:
    """Servers that have the accounts each for itself."""
    return Stage(folder, keys=2, cookies=2, paces=PACES, hosts=hosts, workers=1, redis=False)
