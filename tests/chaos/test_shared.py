"""The short form of a run on a pool that two servers of two workers each share."""

from __future__ import annotations

from pathlib import Path

from ..with_sim.servers import ROOT
from .run import SHORT, SHORT_LIMITS, run
from .table import table


def test_a_shared_pool_keeps_its_word_whatever_happens(tmp_path: Path) -> None:
    """The same faults, and those of Redis: no rule is broken in either record."""
    case, violations = run(
        seconds=SHORT, seed=9, code=ROOT, folder=tmp_path, limits=SHORT_LIMITS, shared=True
    )
    outcomes = {one.outcome for one in case.record.attempts}

    assert [] == [f"{one.rule}: {one.evidence}" for one in violations], table(case)
    # It was a run worth the name.
    assert {"answered", "refused", "hung up"} <= outcomes, table(case)
    assert {"kill", "terminate", "reload", "redis restarts", "redis stands still"} <= {
        one.kind for one in case.causes
    }
