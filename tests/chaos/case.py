"""A run as its rules see it: both records side by side, and what may be behind an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from .evidence import Evidence
from .proxy import Snag
from .record import Attempt, Happening, Record

#: Seconds for which a use that is on its way counts as now, at most.
MARGIN: Final = 5.0
#: What clients may see of a websocket that breaks in the middle of a reply.
MENDED: Final = frozenset({"upstream_interrupted", "upstream_timeout", "upstream_uncertain"})
#: What takes the Redis of a shared pool away for a while.
REDIS_AWAY: Final = ("redis restarts", "redis stands still")

_CUT: Final = frozenset(
    {"upstream_unreachable", "upstream_login", "upstream_uncertain", "upstream_interrupted"}
)
_CUTS: Final = {
    "cut request": _CUT,
    "cut unanswered": _CUT,
    # In the middle of its head an answer looks complete, and makes no sense.
    "cut answer": _CUT | {"upstream_protocol"},
}


@dataclass(frozen=True)
class Case:
    """Both records of a run, side by side."""

    record: Record
    evidence: Evidence
    #: What made trouble: what the stage did, and the snags that requests ran into.
    causes: Sequence[Happening]

    def when(self, moment: float) -> str:
        """Return a time as seconds since the beginning."""
        return f"{moment - self.record.begun:.2f}s"

    @cached_property
    def shaken(self) -> Sequence[Attempt]:
        """The attempts during which the way to Poe, or the server, was interrupted."""
        return [one for one in self.record.attempts if self.outages(one.begun, one.ended)]

    def outages(self, begun: float, ended: float) -> list[Happening]:
        """Return what interrupted the way to Poe, or the server, in a stretch of time."""
        kinds = ("kill", "terminate", "outage", *REDIS_AWAY)
        return [one for one in self.record.of_kind(*kinds) if one.touches(begun, ended)]


def causes(
    record: Record, met: Sequence[tuple[float, Snag]], evidence: Evidence
) -> list[Happening]:
    """Return all that may be behind an error."""
    snags = [
        Happening(
            kind=snag.where,
            begun=at,
            ended=at,
            account=snag.account,
            explains=_CUTS.get(snag.where, frozenset()),
            detail="send" if snag.sends else "",
        )
        for at, snag in met
    ]
    mischief = [
        Happening(kind="mischief", begun=at, ended=at, account=account, explains=MENDED)
        for at, account in evidence.mischief
    ]
    return sorted([*record.happenings, *snags, *mischief], key=lambda one: one.begun)
