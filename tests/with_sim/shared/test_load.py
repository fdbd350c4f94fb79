"""Two hosts of two workers under load: Poe sees one pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..servers import until
from .stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("load")
    with Stage(folder, keys=3, cookies=2, QUEUE_TIMEOUT="10") as stage:
        yield stage


def test_four_workers_together_keep_the_limits_of_each_account(stage: Stage) -> None:
    """Keys and cookies, streamed and whole. Nobody is refused but those who want a cookie alone,
    of a worker at which none is at home; nothing is left behind."""
    idle = {pid for site in stage.sites for pid in site.pids()}
    with (
        stage.load(clients=4, models=("by-cookie",), leaves=True) as by_cookie,
        stage.load(clients=14, models=("by-key", "GPT-4o")) as load,
    ):

        def enough() -> bool:
            for site in stage.sites:
                idle.difference_update(site.busy())
            return load.answered() >= 120 and by_cookie.answered() >= 2 and not idle

        until(enough, 120)
    stage.wait_until_nothing_is_lent()

    assert [] == stage.wrong(codes={"rate_limit_exceeded"})
    assert {"whole"} == {one.outcome for one in load.asked}
    # It was a load worth the name: every key was used as much as it may be.
    assert [12, 12, 12] == [stage.case().fullest(f"key-{number}") for number in (1, 2, 3)]


def test_a_reload_under_load_disturbs_nobody(stage: Stage) -> None:
    """SIGHUP: all workers of a host read their settings anew."""
    with stage.load(clients=12) as load:
        for site in stage.sites:
            site.reload_workers()
        load.wait_for(40)
    stage.wait_until_nothing_is_lent()

    assert [] == stage.wrong(codes={"rate_limit_exceeded"})
    assert {"whole"} == {one.outcome for one in load.asked}
