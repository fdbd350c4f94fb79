"""What was used on all workers and hosts: sums by day in Redis, and reports of them.

Each file of usage records has sums of its own there, which one of the workers of its host keeps as
they are in the file. They are put there as a whole and never added to: so it does not matter how
often that is done, what was lost with a worker or with Redis comes again, and what becomes known
later of the cost of a request puts them right.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any, Final

from poe_proxy.databases import said
from poe_proxy.errors import PoolUnavailable
from poe_proxy.net.pacing import breathe
from poe_proxy.shared.calling import AGAIN, Caller, StoreAway, pairs
from poe_proxy.usage.file import HOUR, UsageFile
from poe_proxy.usage.report import NUMBERS, Report
from poe_proxy.usage.rows import DAY, MICROSECONDS
from poe_proxy.usage.sums import SUMMED, Groups, add, check_number, put_together
from poe_proxy.usage.wanted import Days, Wanted

log = logging.getLogger(__name__)

#: Seconds between two looks for what is new, and the most until it is looked whether Redis still
#: has what it had.
EVERY: Final = 1.0
LOOK: Final = 10.0
#: Seconds for which one worker does this for its host; it is another one's turn then if it is gone.
TURN: Final = 30.0
#: What the sums of a day are of.
OF: Final = ("client", "model", "bot", "account", "kind")
#: The most sums of a day that a file has for single models, and for single clients and accounts:
#: what is more counts together. Clients choose the names of models.
MOST_SUMS: Final = 2000
MOST_OTHERS: Final = 2000
OTHER: Final = "other"
#: Rows that are summed at a time, days whose sums are kept here, and sums that are told at a time.
_ROWS: Final = 1000
_KEPT: Final = 3
_AT_ONCE: Final = 200
#: Seconds that the end waits.
_LAST: Final = 2.0


class Totals:
    """Keeps the sums of *file* in Redis, and makes reports of those of all."""

    def __init__(
        self,
        file: UsageFile,
        caller: Caller,
        *,
        lasts: int,
        days: Callable[[], Days] = Days,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Sums last for so many days, which begin as *days* says."""
        self._file, self._caller = file, caller
        self._lasts = lasts
        self._days = days
        self._clock, self._wall = clock, wall
        #: The sums of the last days that were looked at; all that Redis has is in them.
        self._known: dict[int, Groups] = {}
        #: Up to where Redis has them, as it was said last; None: that is not known.
        self._summed: str | None = None
        self._seen: tuple[int, int] = (-1, -1)
        self._looks_at = -inf
        #: Until when it is another worker's turn.
        self._rests_until = -inf
        self._working = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage totals", daemon=True)

    def start(self) -> None:
        """Begin; to be called once."""
        self._thread.start()

    def close(self) -> None:
        """Put there what is still to be put, if that takes no longer than a moment."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_LAST)

    def _run(self) -> None:
        while not self._stopped.wait(EVERY):
            self.put()
        self.put()
        self.pass_on()

    def put(self) -> None:
        """Put there what is new in the file, if it is this worker's turn."""
        with self._working:
            try:
                self._put()
            except StoreAway:
                self._forget()
            except (OSError, sqlite3.Error) as failure:
                self._forget()
                log.info("USAGE_FILE %s cannot be summed: %s.", self._file.path, said(failure))
            except Exception:
                self._forget()
                log.exception("what was used was not summed")

    def pass_on(self) -> None:
        """Let it be the turn of another worker of this host."""
        with suppress(StoreAway, OSError, sqlite3.Error):  # after a while it is in any case
            self._caller.call("u_turn", {"file": self._file.identity(), "seconds": 0})

    # ---- what is in the file

    def _forget(self) -> None:
        """Begin anew the next time: what Redis has is not known."""
        self._known, self._summed, self._seen = {}, None, (-1, -1)

    def _put(self) -> None:
        if self._clock() < self._rests_until:
            return
        changes = self._file.changes()
        (last,) = self._file.read("SELECT coalesce(max(id), 0) FROM requests")[0]
        seen = last, sum(changes.values())
        if self._caller.trouble or (seen == self._seen and self._clock() < self._looks_at):
            return
        self._looks_at = self._clock() + LOOK
        name, days = self._file.identity(), self._days()
        turn = self._caller.call("u_turn", {"file": name, "seconds": TURN})
        if not turn["mine"]:
            self._forget()
            self._rests_until = self._clock() + LOOK
            return
        if turn["summed"] != self._summed:
            # Somebody else has done it meanwhile, or Redis has forgotten it, or this is the start.
            self._known, self._summed = {}, turn["summed"]
        shift, _, until = (self._summed or "").partition(" ")
        if shift != str(days.shift):
            self._known = {}
            whole = self._all_days(days)
            until = str(last)
        else:
            whole = {
                _day(at, days) for hour in changes for at in (hour * HOUR, (hour + 1) * HOUR - 1)
            }
        news = self._news(int(until), last, whole, days)
        for day in sorted(whole):
            self._load(day, last, days)
            self._tell(name, day, self._known[day], days, is_whole=True)
        for day, groups in news.items():
            if day not in whole:
                self._tell(name, day, groups, days)
        summed = f"{days.shift} {last}"
        if summed != self._summed:
            self._caller.call(
                "u_summed", {"file": name, "summed": summed, "lasts": self._seconds()}
            )
        self._file.forget_changes(changes)
        self._summed, self._seen = summed, (last, 0)
        for day in sorted(self._known)[:-_KEPT]:
            del self._known[day]

    def _all_days(self, days: Days) -> set[int]:
        """Return the days that the file has anything of, as far as they are told."""
        since = round(self._wall() * MICROSECONDS) - self._lasts * DAY
        found = set()
        for table in ("requests", "charges"):
            at = since
            while True:
                (first,) = self._file.read(f"SELECT min(at) FROM {table} WHERE at >= ?", at)[0]
                if first is None:
                    break
                day = _day(first, days)
                found.add(day)
                at = _start(day + 1, days)
        return found

    def _news(self, after: int, last: int, whole: set[int], days: Days) -> dict[int, Groups]:
        """Add to what is known what the rows after the first id have, up to the last one; return
        the sums that have changed, by day. A day of which nothing is known is added to *whole*."""
        news: dict[int, Groups] = {}
        while after < last:
            until = min(last, after + _ROWS)
            for day, *row in self._grouped(days, "id > ? AND id <= ?", after, until):
                if day not in self._known:
                    whole.add(day)
                elif day not in whole:
                    of = _added(self._known[day], row)
                    news.setdefault(day, {})[of] = self._known[day][of]
            after = until
            breathe()
        return news

    def _load(self, day: int, last: int, days: Days) -> None:
        """Sum up a day anew, as far as that row."""
        groups: Groups = {}
        begin, end = _start(day, days), _start(day + 1, days)
        while begin < end:
            some = self._file.read(
                "SELECT at FROM requests WHERE at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?",
                *(begin, end, _ROWS),
            )
            until = max(some[0][0], begin + 1) if some else end
            for _, *row in self._grouped(
                days, "at >= ? AND at < ? AND id <= ?", begin, until, last
            ):
                _added(groups, row)
            begin = until
            breathe()
        self._known[day] = groups

    def _grouped(self, days: Days, where: str, *values: object) -> list[Any]:
        places = ", ".join(str(place) for place in range(1, len(OF) + 2))
        return self._file.read(
            f"SELECT {days.sql}, {', '.join((*OF, *SUMMED))} FROM requests WHERE {where} "
            f"GROUP BY {places}",
            *values,
        )

    # ---- what is in Redis

    def _tell(
        self, name: str, day: int, groups: Groups, days: Days, *, is_whole: bool = False
    ) -> None:
        told = [(json.dumps(of), json.dumps(numbers)) for of, numbers in groups.items()]
        parts = [told[start : start + _AT_ONCE] for start in range(0, len(told), _AT_ONCE)] or [[]]
        for place, part in enumerate(parts):
            is_last = place == len(parts) - 1
            self._caller.call(
                "u_put",
                {
                    "file": name,
                    "day": day,
                    "lasts": self._seconds(),
                    "groups": dict(part),
                    "is_whole": is_whole,
                    "is_first": place == 0,
                    "is_last": is_last,
                    "charged": self._charged(day, days) if is_whole and is_last else {},
                },
            )

    def _charged(self, day: int, days: Days) -> Mapping[str, int]:
        return dict(
            self._file.read(
                "SELECT account, sum(points) FROM charges WHERE at >= ? AND at < ? GROUP BY 1",
                *(_start(day, days), _start(day + 1, days)),
            )
        )

    def _seconds(self) -> int:
        """Return for how many seconds sums last that are put there now: a day longer than rows."""
        return (self._lasts + 1) * DAY // MICROSECONDS

    def report(self, wanted: Wanted) -> Report:
        """Return the report that is *wanted*, as far as whole days allow it: it begins with the
        first of them, and ends with the last one.

        Raises `InvalidRequest` if it would have too many rows, and `PoolUnavailable`.
        """
        days, now = wanted.days, round(self._wall() * MICROSECONDS)
        # Of what is longer ago, or still to come, there is nothing.
        first = max(_day(wanted.begin, days), _day(now, days) - self._lasts - 1)
        last = min(_day(max(wanted.begin, wanted.end - 1), days), _day(now, days) + 1)
        groups: Groups = {}
        charged: list[dict[str, Any]] = []
        for day in range(first, last + 1):
            try:
                answer = self._caller.call("u_sums", {"day": day})
            except StoreAway as away:
                raise PoolUnavailable(
                    "What was used on all hosts is in Redis, which is away.", retry_after=AGAIN
                ) from away
            for sums in answer["files"] or ():
                _summed(groups, wanted, day, sums)
            if wanted.client is None:
                charged += [
                    {"account": account, "day": days.name(day), "points": int(points)}
                    for account, points in sorted(pairs(answer["charged"]).items())
                ]
            check_number(groups)
            breathe()
        if not wanted.by:
            groups.setdefault((), [None] * len(NUMBERS))
        charged.sort(key=lambda one: (one["account"], one["day"]))
        begin, end = wanted.begin, wanted.end
        if first <= last:
            begin = min(begin, _start(first, days))
            # What is yet to come of the last day is in no sum.
            end = end if end >= now else min(_start(last + 1, days), now)
        return put_together(replace(wanted, begin=begin, end=end), groups, charged, whole_days=True)


def _summed(groups: Groups, wanted: Wanted, day: int, sums: Sequence[str]) -> None:
    """Add to *groups* what one file has of one day."""
    for place, (of, numbers) in enumerate(pairs(sums).items(), 1):
        named = dict(zip(OF, json.loads(of), strict=True))
        if wanted.client is None or named["client"] == wanted.client:
            key = tuple(day if name == "day" else named[name] for name in wanted.by)
            add(groups.setdefault(key, [None] * len(NUMBERS)), json.loads(numbers))
        if place % _AT_ONCE == 0:
            breathe()


def _added(groups: Groups, row: Sequence[Any]) -> tuple[Any, ...]:
    """Add a row of sums to *groups*; return what it counts as."""
    of = tuple(row[: len(OF)])
    if of not in groups and len(groups) >= MOST_SUMS:
        client, _, _, account, kind = of
        of = (client, OTHER, OTHER, account, kind)
        if of not in groups and len(groups) >= MOST_SUMS + MOST_OTHERS:
            of = (OTHER, OTHER, OTHER, OTHER, kind)
    add(groups.setdefault(of, [None] * len(NUMBERS)), [*row[len(OF) :]])
    return of


def _day(at: int, days: Days) -> int:
    return (at + days.shift) // DAY


def _start(day: int, days: Days) -> int:
    return day * DAY - days.shift
