"""Which token is lent to which lease in line: the rules, at one moment."""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Sequence
from math import inf
from operator import attrgetter
from typing import Final

from poe_proxy.pool.ledger import Want, handle
from poe_proxy.pool.memory.entries import Entry

#: The key by which entries are in order.
PLACE: Final = attrgetter("place")


class Round:
    """One walk along the line, with one reading of the clock.

    A line may be long, and all of it may want the same: what was found out for one want is not
    asked again for those behind it.
    """

    __slots__ = ("_free", "_in_vain", "_now", "_order", "_passes_over", "is_to_repeat")

    def __init__(self, order: Sequence[Entry], now: float) -> None:
        """*order* are the tokens as they are lent; it changes with each one that is."""
        self._order = order
        self._now = now
        #: What is free, from the first want on that was not served.
        self._free: list[Entry] | None = None
        #: By what wants have in common: the one with the least time that was not served.
        self._in_vain: dict[Hashable, Want] = {}
        self._passes_over = False
        #: Whether a token that was passed over may serve after all, now that others are lent.
        self.is_to_repeat = False

    def choose(self, want: Want) -> Entry | None:
        """Return the token for the next want in line; None if it has to wait."""
        if self._free is None:
            entry = self._best(want, self._order)
            if entry is None:
                self._free = [one for one in self._order if one.is_free(self._now)]
                self._in_vain[_likeness(want)] = want
            return entry
        alike = self._in_vain.get(likeness := _likeness(want))
        # A want with more time has more to choose from, and so more tokens are passed over for it.
        if alike and alike.within <= want.within:
            return None
        entry = self._best(want, self._free) if self._free else None
        if entry is None:
            self._in_vain[likeness] = want
        return entry

    def lent(self, entry: Entry) -> None:
        """Note that *entry* was lent, and has its new place in the order."""
        self.is_to_repeat = self._passes_over
        if self._free is not None:
            self._free.remove(entry)
            if entry.is_free(self._now):
                insort(self._free, entry, key=PLACE)

    def due(self) -> float:
        """Return the seconds until time alone may let a want be served that was not."""
        due = inf
        if not self._in_vain:
            return due
        for entry in self._order:
            if not entry.has_room:
                continue
            soonest = entry.rest(self._now)
            if soonest >= due:
                continue
            for want in self._in_vain.values():
                if entry.name in want.names:
                    bot = handle(want.bot)
                    due = min(due, entry.next_chance(self._now, bot, probes=want.probes))
                    if due <= soonest:
                        break
        return due

    def _best(self, want: Want, entries: Sequence[Entry]) -> Entry | None:
        """Return which of *entries* is lent to *want*."""
        now, bot = self._now, handle(want.bot)
        probe: Entry | None = None
        struck: list[Entry] = []
        for entry in entries:
            if entry.name not in want.names or not entry.is_free(now, bot):
                continue
            if not entry.is_struck(now, bot):
                return probe or entry
            struck.append(entry)
            if probe is None and want.probes and entry.may_be_probed(now, bot):
                probe = entry
        if not struck:
            return None
        if self._has_better(want, bot):
            self._passes_over = self._passes_over or probe is None
            return probe
        return min(struck, key=lambda entry: entry.backoff_ends(now, bot))

    def _has_better(self, want: Want, bot: str) -> bool:
        """Return whether a token that was not struck could serve *want* in time."""
        return any(
            entry.name in want.names
            and not entry.is_struck(self._now, bot)
            and entry.could_serve(want.within, self._now, bot)
            for entry in self._order
        )


def _likeness(want: Want) -> Hashable:
    """Return what is the same for wants that are served alike, but for their time."""
    names = want.names if isinstance(want.names, frozenset) else id(want.names)
    return names, want.bot, want.probes
