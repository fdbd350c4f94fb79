"""What was used, as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from poe_proxy.usage.wanted import Wanted

#: What is told of each group.
NUMBERS: Final = (
    "requests",
    # Those that ended in a failure; a client that hung up is none.
    "failed",
    "tokens_in",
    "tokens_out",
    # Requests whose tokens Poe has not counted.
    "requests_uncounted",
    # Points by Poe's list; None where it has no price for any of them.
    "points_estimated",
    # Points that Poe has taken, for those requests of which that is known, and how many these are.
    "points_exact",
    "requests_exact",
    # The exact ones where they are known, and the estimate elsewhere.
    "points",
    "seconds",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was used."""

    wanted: Wanted
    #: The numbers of each group, with what it is of.
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: The numbers of all together.
    total: dict[str, Any] = field(default_factory=dict)
    #: What Poe's own history says that each account was charged with by its API on each day: that
    #: is exact, and may have been used elsewhere.
    charged: list[dict[str, Any]] = field(default_factory=list)
    #: Whether it is about whole days: all that was used on the first and the last one is in it.
    whole_days: bool = False
