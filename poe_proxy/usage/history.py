"""What requests have really cost: once in a while Poe's own history of each key is read, and its
charges are put to our requests.

Official API sheet §8. Nothing is asked for a client, nor for an account whose requests are settled.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from poe_proxy.databases import said
from poe_proxy.errors import UpstreamError
from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.base import Charge, HasCharges
from poe_proxy.usage.file import BITE, UsageFile, note_changes
from poe_proxy.usage.matching import APART, Sent, Taken, matched, plain
from poe_proxy.usage.rows import DAY, MICROSECONDS

log = logging.getLogger(__name__)

#: Seconds from the start to the first reading, from one to the next, and between two pages.
FIRST: Final = 300.0
EVERY: Final = 3600.0
_PAUSE: Final = 1.0
#: The most pages of an account that are read at a time; the rest remains an estimate, for good.
MOST_PAGES: Final = 100
#: Seconds after which a charge is believed, and one of nothing: what it costs may come later.
SETTLED: Final = 600
_FREE: Final = 7200
#: Seconds before what is new from which on charges and requests are looked at once more: what
#: belongs together may have been known in part.
_BACK: Final = 7200
#: What a request has to be to have cost anything: one that failed before a word was said has not.
_OPEN: Final = "points IS NULL AND sent IS NOT NULL AND NOT (code <> '' AND tokens_out = 0)"
#: Days that Poe's history has.
_DAYS: Final = 30
#: Seconds after which an account is tried again whose history another worker was reading.
BUSY: Final = 120.0
#: Ids in one query.
_AT_ONCE: Final = 100
#: The most requests of an account that are looked at in one reading.
_MOST_REQUESTS: Final = 50_000


class History:
    """Reads Poe's history of each account that has one, in a thread of its own."""

    def __init__(
        self,
        file: UsageFile,
        accounts: Callable[[], Iterable[tuple[str, object]]],
        *,
        bots: Callable[[], Mapping[str, str]] = dict,
        first: float = FIRST,
        every: float = EVERY,
        may_read: Callable[[str, str, float], bool] = lambda what, label, seconds: True,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*accounts* returns the accounts by their labels, each as its upstream; *bots*, for each
        name of a bot, the one that stands for all of its names (`matching.names`).

        *may_read* says of an account, by its label, whether this worker is the one to do `"ask"`
        Poe for its history, or to `"read"` it into this file, which nobody else does for so many
        seconds then.
        """
        self._file = file
        self._accounts = accounts
        self._bots = bots
        self._first, self._every = first, every
        self._may_read = may_read
        self._wall = wall
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage history", daemon=True)

    def start(self) -> None:
        """Begin to read, some minutes from now; to be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; an account that is being asked may still answer."""
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to *seconds* for the thread to end; return whether it has."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def read(self) -> bool:
        """Read what is new of all accounts, one after the other. Return whether that is all: of
        some, another worker may be asking just now."""
        is_all = True
        for label, upstream in self._accounts():
            if self._stopped.is_set():
                break
            if not isinstance(upstream, HasCharges):
                continue
            if not self._may_read("ask", label, BUSY):
                is_all = False
                continue
            # The others of this host have what is read then, too.
            if not self._may_read("read", label, self._every * 0.9):
                continue
            try:
                self._read(label, upstream)
            except UpstreamError as failure:
                log.info("%s: its history of points is not known: %s", label, failure)
            except (OSError, sqlite3.Error) as failure:
                log.warning("USAGE_FILE %s: %s.", self._file.path, said(failure))
                break
            except Exception:
                # The thread has to go on, for the sake of the other accounts.
                log.exception("%s: reading its history of points failed", label)
        return is_all

    def _run(self) -> None:
        pause = self._first
        while not self._stopped.wait(pause):
            pause = self._every if self.read() else min(self._every, BUSY)

    def _read(self, label: str, upstream: HasCharges) -> None:
        now = round(self._wall() * MICROSECONDS)
        oldest = now - _DAYS * DAY
        (first,) = self._file.read(
            f"SELECT min(sent) FROM requests WHERE account = ? AND sent >= ? AND {_OPEN}",
            *(label, oldest),
        )[0]
        if first is None:
            return
        known = self._file.read("SELECT until FROM readings WHERE account = ?", label)
        # The first time, days that were ours in part are read as a whole.
        begin = max(oldest, known[0][0] if known else first - first % DAY)
        charges, since = self._asked(label, upstream, begin)
        if self._stopped.is_set():
            return
        settled = [one for one in charges if one.at <= now - _patience(one)]
        unsettled = (one.at for one in charges if one.at > now - _patience(one))
        until = min((now - SETTLED * MICROSECONDS, *unsettled))
        self._keep(label, settled, until)
        # Of what is before a gap, charges are known in part at best.
        since = begin - _BACK * MICROSECONDS if since is None else since
        found = self._settle(label, since, until)
        log.info(
            "%s: Poe's history has %d new charges; what %d requests have cost is known now",
            *(label, len(settled), found),
        )

    def _asked(
        self, label: str, upstream: HasCharges, begin: int
    ) -> tuple[Sequence[Charge], int | None]:
        """Return the account's charges since *begin*, the newest first; and since when they are
        complete, if they are not from *begin* on."""
        gap: int | None = None
        found: dict[str, Charge] = {}
        after = ""
        for _ in range(MOST_PAGES):
            page = upstream.charges(after)
            new = {one.id: one for one in page.charges if one.id not in found}
            found |= new
            if not page.has_more or not new or page.charges[-1].at < begin:
                break
            after = page.charges[-1].id
            if self._stopped.wait(_PAUSE):
                break
        else:
            gap = min(one.at for one in found.values())
            log.warning(
                "%s: Poe's history has more than %d pages since %s: charges before %s are left "
                "out, also of what the account was charged with",
                *(label, MOST_PAGES, _stamp(begin), _stamp(gap)),
            )
        return [one for one in found.values() if one.at >= begin and one.is_api], gap

    def _keep(self, label: str, charges: Sequence[Charge], until: int) -> None:
        """Write *charges* down, and that all until then are known."""
        for start in range(0, len(charges), BITE):
            self._file.write(partial(_add, label=label, charges=charges[start : start + BITE]))
            breathe()
        self._file.write(
            lambda db: db.execute("INSERT OR REPLACE INTO readings VALUES (?, ?)", (label, until))
        )

    def _settle(self, label: str, since: int, until: int) -> int:
        """Put charges *since* then to requests; return to how many. *until* then all charges are
        known: a request whose charge may come later has its turn at a later reading."""
        names = self._bots()

        def name(bot: str) -> str:
            return names.get(plain(bot), plain(bot))

        requests = [
            Sent(id, client, name(bot), sent, ended, sends)
            for id, client, bot, sent, ended, sends in self._all(
                "SELECT id, client, bot, sent, ended, sends FROM requests WHERE account = ? "
                f"AND sent >= ? AND sent <= ? AND {_OPEN} AND id > ? ORDER BY id LIMIT ?",
                *(label, since, until + APART * MICROSECONDS),
            )
        ]
        charges = [
            Taken(id, name(bot), at, points)
            for id, bot, at, points in self._all(
                "SELECT id, bot, at, points FROM charges "
                "WHERE account = ? AND request IS NULL AND at >= ? AND at < ? AND id > ? "
                "ORDER BY id LIMIT ?",
                *(label, since, until),
                first="",
            )
        ]
        pairs = [*matched(requests, charges, until)]
        for start in range(0, len(pairs), BITE):
            self._file.write(partial(_note, label=label, pairs=pairs[start : start + BITE]))
            breathe()
        return len(pairs)

    def _all(self, query: str, *values: object, first: object = 0) -> list[Any]:
        """Return the rows of *query*, which are read a bite at a time, by the id in front."""
        found: list[Any] = []
        last = first
        while len(found) < _MOST_REQUESTS:
            rows = self._file.read(query, *values, last, BITE)
            found += rows
            if len(rows) < BITE:
                break
            last = rows[-1][0]
            breathe()
        return found


def _stamp(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // MICROSECONDS))


def _patience(charge: Charge) -> int:
    """Return the microseconds after which a charge is believed."""
    return (SETTLED if charge.points else _FREE) * MICROSECONDS


def _add(db: sqlite3.Connection, *, label: str, charges: Sequence[Charge]) -> None:
    db.executemany(
        "INSERT INTO charges (account, id, at, bot, points) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET points = excluded.points WHERE request IS NULL",
        [(label, one.id, one.at, one.bot, one.points) for one in charges],
    )
    note_changes(db, (one.at for one in charges))


def _note(
    db: sqlite3.Connection, *, label: str, pairs: Sequence[tuple[Sent, Sequence[Taken]]]
) -> None:
    db.executemany(
        "UPDATE requests SET points = ? WHERE id = ?",
        [(sum(one.points for one in charges), request.id) for request, charges in pairs],
    )
    db.executemany(
        "UPDATE charges SET request = ? WHERE account = ? AND id = ?",
        [(request.id, label, one.id) for request, charges in pairs for one in charges],
    )
    ids = [request.id for request, _ in pairs]
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        query = f"SELECT at FROM requests WHERE id IN ({', '.join('?' * len(some))})"
        note_changes(db, (at for (at,) in db.execute(query, some)))
