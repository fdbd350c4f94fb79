"""What the requests of late were like: counts and times for the status page, in bounded memory.

Of a conversation there is nothing in it; of an account its label, of a client its name. What each
client may use and has used is in `clients`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from poe_proxy.record import CLIENT_CLOSED, Record
from poe_proxy.values import value

#: How far back the minutes go, the waits in line, and the models; in seconds.
HOUR: Final = 3600.0
QUARTER: Final = 900.0
DAY: Final = 86400.0

#: The most that is kept of each: waits, failures, first words of a model or an account, models,
#: accounts.
MOST_WAITS: Final = 5000
MOST_FAILURES: Final = 50
MOST_FIRST_TEXTS: Final = 50
MOST_MODELS: Final = 200
MOST_ACCOUNTS: Final = 1000
#: What counts together, beyond that many.
OTHER: Final = "other"
#: The most characters of a name that a client has chosen.
MOST_CHARACTERS: Final = 100

#: The status of a request that is refused for now, by a limit or for want of a free account.
REFUSED: Final = 429
#: What begins the routes of whoever runs the server: what is asked there is no use of it.
_OWN: Final = ("/status", "/admin")


@value()
class Minute:
    """What ended in one minute."""

    #: Its number since 1970.
    number: int
    requests: int
    refused: int


@value()
class Waits:
    """How long requests of the last quarter of an hour have waited in line, in seconds."""

    median: float
    #: 95 of 100 have waited no longer.
    most: float


@dataclass(slots=True)
class AccountHistory:
    """What became of the requests of one account. Times are in seconds since 1970."""

    succeeded_at: float | None = None
    failed_at: float | None = None
    #: The code of that failure.
    code: str = ""
    first_texts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_FIRST_TEXTS))

    @property
    def first_text(self) -> float | None:
        """The seconds to the first word, as a median; None if there was none."""
        return median(self.first_texts) if self.first_texts else None


@dataclass(slots=True)
class ModelHistory:
    """What became of the requests for one model in the last 24 hours."""

    name: str
    bot: str
    #: Requests and failures, by the number of the hour since 1970.
    hours: dict[int, list[int]] = field(default_factory=dict)
    first_texts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_FIRST_TEXTS))

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(one for one, _ in self.hours.values())

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return sum(one for _, one in self.hours.values())

    @property
    def first_text(self) -> float | None:
        """The seconds to the first word, as a median; None if there was none."""
        return median(self.first_texts) if self.first_texts else None

    def forget(self, now: float) -> None:
        """Forget what is older than a day."""
        oldest = int((now - DAY) // HOUR)
        if any(hour <= oldest for hour in self.hours):
            self.hours = {hour: one for hour, one in self.hours.items() if hour > oldest}


@dataclass(slots=True)
class Failure:
    """A request that failed, and those that failed in the same way right after it."""

    at: float
    #: What the last of them was called.
    id: str
    client: str
    model: str
    account: str
    code: str
    #: Cut, and without any words of a conversation.
    message: str
    #: Whether it failed because Poe has changed its site.
    site_changed: bool = False
    times: int = 1


class History:
    """Takes the record of each request that is over, and keeps what the status page shows."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        self._minutes: deque[list[int]] = deque(maxlen=round(HOUR / 60))
        #: When a request had waited, and for how long.
        self._waits: deque[tuple[float, float]] = deque(maxlen=MOST_WAITS)
        self._accounts: dict[str, AccountHistory] = {}
        self._models: dict[tuple[str, str], ModelHistory] = {}
        self._failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        #: The hour in which it was looked last whether models can be forgotten.
        self._looked_in = -1

    def tell(self, record: Record) -> None:
        """Take up the record of a request whose answer is closed."""
        # What is only looked at is no use of an account: lists, pages, checks of a monitor.
        if record.method != "POST" or not record.route or record.route.startswith(_OWN):
            return
        now = self._wall()
        failed = bool(record.code) and record.code != CLIENT_CLOSED
        with self._lock:
            self._note_minute(record, now)
            if record.joined:
                self._note_wait(record.queued, now)
            self._note_accounts(record, now, failed)
            if record.was_asked:
                self._note_model(record, now, failed)
            if failed:
                self._note_failure(record, now)

    def _note_minute(self, record: Record, now: float) -> None:
        number = int(now // 60)
        if not self._minutes or self._minutes[-1][0] != number:
            self._minutes.append([number, 0, 0])
        minute = self._minutes[-1]
        minute[1] += 1
        if record.status == REFUSED:
            minute[2] += 1

    def _note_wait(self, seconds: float, now: float) -> None:
        self._waits.append((now, seconds))

    def _note_accounts(self, record: Record, now: float, failed: bool) -> None:
        for label, code in zip(record.moved_from, record.moves, strict=False):
            self._note_failed(label, now, code)
        # A request that has left an account may have been refused before it had another one.
        if not record.account or (failed and record.account in record.moved_from):
            return
        if failed:
            self._note_failed(record.account, now, record.code)
        elif not record.code:
            self._note_succeeded(record.account, now, first_text(record))

    def _note_failed(self, label: str, now: float, code: str) -> None:
        one = self._account(label)
        one.failed_at, one.code = now, code

    def _note_succeeded(self, label: str, now: float, first_text: float | None) -> None:
        one = self._account(label)
        one.succeeded_at = now
        if first_text is not None:
            one.first_texts.append(first_text)

    def _account(self, label: str) -> AccountHistory:
        if label not in self._accounts:
            if len(self._accounts) >= MOST_ACCOUNTS:
                del self._accounts[next(iter(self._accounts))]  # its label is no longer there
            self._accounts[label] = AccountHistory()
        return self._accounts[label]

    def _note_model(self, record: Record, now: float, failed: bool) -> None:
        name = record.model[:MOST_CHARACTERS]
        one = self._models.get((name, record.bot))
        if one is None:
            one = self._new_model(name, record.bot, now)
        hour = int(now // HOUR)
        counts = one.hours.get(hour)
        if counts is None:
            counts = one.hours[hour] = [0, 0]
            one.forget(now)
        counts[0] += 1
        counts[1] += failed
        if not record.code and (seconds := first_text(record)) is not None:
            one.first_texts.append(seconds)

    def _new_model(self, name: str, bot: str, now: float) -> ModelHistory:
        hour = int(now // HOUR)
        # All of them are looked through, and none is forgotten before the next hour.
        if len(self._models) >= MOST_MODELS and hour != self._looked_in:
            self._looked_in = hour
            self._forget_models(now)
        if len(self._models) >= MOST_MODELS:
            name, bot = OTHER, ""
        return self._models.setdefault((name, bot), ModelHistory(name, bot))

    def _forget_models(self, now: float) -> None:
        for model in self._models.values():
            model.forget(now)
        self._models = {key: model for key, model in self._models.items() if model.hours}

    def _note_failure(self, record: Record, now: float) -> None:
        made = failure(record, now)
        last = self._failures[-1] if self._failures else None
        if last is not None and _kind(last) == _kind(made):
            # What fails again and again shall not push out all that failed before.
            made.times = last.times + 1
            self._failures.pop()
        self._failures.append(made)

    # ---- what is shown

    def minutes(self) -> list[Minute]:
        """Return the minutes of the last hour, the oldest first, this one last."""
        with self._lock:
            known = {number: (requests, refused) for number, requests, refused in self._minutes}
        this = int(self._wall() // 60)
        numbers = range(this - round(HOUR / 60) + 1, this + 1)
        return [Minute(number, *known.get(number, (0, 0))) for number in numbers]

    def waits(self) -> Waits | None:
        """Return how long requests have waited in line; None if none came."""
        since = self._wall() - QUARTER
        with self._lock:
            seconds = sorted(seconds for at, seconds in self._waits if at >= since)
        if not seconds:
            return None
        return Waits(median(seconds), seconds[-(-95 * len(seconds) // 100) - 1])

    def accounts(self) -> Mapping[str, AccountHistory]:
        """Return what became of the requests of each account, by its label."""
        with self._lock:
            return dict(self._accounts)

    def models(self) -> Sequence[ModelHistory]:
        """Return the models of the last 24 hours, those that were asked most first."""
        with self._lock:
            self._forget_models(self._wall())
            return sorted(self._models.values(), key=lambda one: (-one.requests, one.name))

    def failures(self) -> Sequence[Failure]:
        """Return what failed, the newest first."""
        with self._lock:
            return [*reversed(self._failures)]


def first_text(record: Record) -> float | None:
    """Return the seconds from when a request had an account to its first word; None if there was
    none."""
    seconds = record.first_text_after
    return None if seconds is None else seconds - record.queued


def failure(record: Record, at: float) -> Failure:
    """Return what is kept of the request of *record*, which failed *at* then."""
    return Failure(
        at,
        record.id,
        record.client,
        record.model[:MOST_CHARACTERS],
        record.account,
        record.code,
        record.message,
        record.site_changed,
    )


def _kind(failure: Failure) -> Iterable[str]:
    return failure.client, failure.model, failure.account, failure.code, failure.message
