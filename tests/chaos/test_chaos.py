"""The short form of a run; `make soak` is the long one."""

from __future__ import annotations

from pathlib import Path

from ..with_sim.servers import ROOT
from .record import Limits
from .run import run
from .table import table

#: Seconds under load; the beginning and the end take some more.
SECONDS = 18.0


def test_the_pool_keeps_its_word_whatever_happens(tmp_path: Path) -> None:
    """Half a minute of faults, restarts and reloads: no rule is broken in either record."""
    case, violations = run(
        seconds=SECONDS,
        seed=9,
        clients=14,
        code=ROOT,
        # Few enough that half a minute meets them.
        limits=Limits(rate_limit=8, api_rate_limit=40, queue_timeout=4.0),
        folder=tmp_path,
    )
    outcomes = {one.outcome for one in case.record.attempts}

    assert [] == [f"{one.rule}: {one.evidence}" for one in violations], table(case)
    # It was a run worth the name.
    assert {"answered", "refused", "hung up"} <= outcomes, table(case)
    assert {"kill", "terminate", "reload"} <= {one.kind for one in case.causes}
