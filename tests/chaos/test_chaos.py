"""The short form of a run; `make soak` is the long one."""

from __future__ import annotations

from pathlib import Path

from ..with_sim.servers import ROOT
from .dialects import DIALECTS
from .run import SHORT, SHORT_LIMITS, run
from .table import table


def test_the_pool_keeps_its_word_whatever_happens(tmp_path: Path) -> None:
    """Half a minute of faults, restarts and reloads: no rule is broken in either record."""
    case, violations = run(seconds=SHORT, seed=9, code=ROOT, folder=tmp_path, limits=SHORT_LIMITS)
    outcomes = {one.outcome for one in case.record.attempts}

    assert [] == [f"{one.rule}: {one.evidence}" for one in violations], table(case)
    # It was a run worth the name.
    assert {"answered", "refused", "hung up"} <= outcomes, table(case)
    assert set(DIALECTS) == {one.api for one in case.record.attempts if one.status}
    assert {"kill", "terminate", "reload"} <= {one.kind for one in case.causes}
