"""Names that are written almost as another one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: A longer name is no slip of the pen.
MOST: Final = 40


def letters(name: str) -> str:
    """Return the letters and digits of *name*, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def meant(name: str, names: Iterable[str], *, exactly: bool = False) -> str:
    """Return that of *names* which is most likely meant by *name*; empty if none is.

    That is one of the same letters, whatever their case and the underscores between them; or,
    unless it must be so *exactly*, one that is a letter or two away, or lacks POE in front.
    """
    if len(name) > MOST:
        return ""
    given = letters(name)
    by_letters: dict[str, str] = {}
    for one in names:
        by_letters.setdefault(letters(one), one)
    if given in by_letters or exactly:
        return by_letters.get(given, "")
    near = [
        (away, one)
        for other, one in by_letters.items()
        for mine, theirs in (
            (given, other),
            (given.removeprefix("poe").removeprefix("proxy"), other),
            # Without its POE, a short name could be anything.
            (given, other.removeprefix("poe") if len(other) > 8 else other),
        )
        if (away := distance(mine, theirs)) <= _slack(mine, theirs)
    ]
    return min(near, default=(0, ""))[1]


def _slack(one: str, other: str) -> int:
    """Return how many slips may lie between two names for one to be meant by the other."""
    longest = max(len(one), len(other))
    return 0 if longest < 5 else 1 if longest < 9 else 2


def distance(one: str, other: str) -> int:
    """Return how many slips lead from *one* to *other*: a letter more, one less, another one, or
    two that changed places (restricted Damerau-Levenshtein distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, theirs in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (mine != theirs))
            if i > 1 and j > 1 and mine == other[j - 2] and one[i - 2] == theirs:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1]
