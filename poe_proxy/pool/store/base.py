"""What of the ledger outlives the process: the verbs that a memory of it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal, Protocol, TypeAlias

#: What holds a token back, beside its limits.
Cause: TypeAlias = Literal["rest", "strike", "points", "paused", "suspended", "retired"]


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that holds a token back."""

    cause: Cause
    #: The bot that it is about; empty if it is about all.
    bot: str = ""
    #: From now, until it is over, or until the token may be looked at; negative if that was so
    #: long ago, which is no reason to forget it: further strikes and refusals are added to it.
    seconds: float = inf
    reason: str = ""
    code: str = ""
    #: How many strikes or refusals there were.
    count: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was known of a token when the process before this one ended."""

    #: Seconds since each use, the oldest first. A use that was not settled counts from `MARGIN`
    #: seconds after its sending; until these are over its age is negative: the use may still be
    #: on its way for so long.
    uses: Sequence[float] = ()
    notes: Sequence[Note] = ()


class Store(Protocol):
    """Remembers uses and notes by the names of tokens. All times are durations in seconds.

    Called by the ledger in its lock: nothing here waits longer than a local disk does. A store that
    fails says so in the log, and goes on as if it had forgotten; it never raises.
    """

    def recall(self, name: str, window: float) -> Remembered:
        """Return what is known of *name*: its uses within the last *window* seconds, and notes."""

    def add_use(self, name: str, use: str) -> None:
        """Remember that something is about to be sent now. *use* names this use alone."""

    def settle_use(self, use: str, ago: float) -> None:
        """Remember that *use* counts from so many seconds *ago*: by then it had arrived."""

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        """Remember *notes*, and nothing else, of what holds *name* back."""


class Renewals(Protocol):
    """Remembers the credentials that Poe has renewed, by the names of tokens."""

    def renewed(self, name: str) -> Mapping[str, str]:
        """Return the cookies that Poe last issued for *name*; empty if none are known."""

    def keep_renewed(self, name: str, cookies: Mapping[str, str]) -> None:
        """Remember *cookies* in place of those that were known."""


@dataclass(frozen=True, slots=True)
class Forgetful(Store, Renewals):
    """Remembers nothing: what is known ends with the process."""

    _nothing: Mapping[str, str] = field(default_factory=dict)

    def recall(self, name: str, window: float) -> Remembered:
        return Remembered()

    def add_use(self, name: str, use: str) -> None:
        """Forgotten."""

    def settle_use(self, use: str, ago: float) -> None:
        """Forgotten."""

    def keep_notes(self, name: str, notes: Sequence[Note]) -> None:
        """Forgotten."""

    def renewed(self, name: str) -> Mapping[str, str]:
        return self._nothing

    def keep_renewed(self, name: str, cookies: Mapping[str, str]) -> None:
        """Forgotten."""
