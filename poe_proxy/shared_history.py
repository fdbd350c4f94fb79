"""What the requests of late were like on all workers and hosts.

Each worker tells once a second what it has seen, added up: sums cost the same with a thousand
requests a second, are there when a worker has been killed, and take the same room with two workers
and with twenty.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from math import exp, floor, inf, log
from typing import Any, Final, TypeVar

from poe_proxy.history import (
    HOUR,
    MOST_ACCOUNTS,
    MOST_CHARACTERS,
    MOST_FAILURES,
    MOST_FIRST_TEXTS,
    MOST_MODELS,
    OTHER,
    QUARTER,
    REFUSED,
    AccountHistory,
    Failure,
    History,
    Minute,
    ModelHistory,
    Waits,
    failure,
    first_text,
)
from poe_proxy.record import Record
from poe_proxy.shared.calling import Caller, StoreAway, pairs
from poe_proxy.shared.teller import Teller

T = TypeVar("T")

#: Seconds for which the numbers of all are kept: whoever looks asks for several of them.
KEPT: Final = 0.5
#: The most clients of whom it is known when they were seen.
MOST_CLIENTS: Final = 1000
#: Waits are told by steps, each a twentieth longer than the one before, from a millisecond on.
_STEP: Final = log(1.05)
_SHORTEST: Final = 0.001
_OTHER_MODEL: Final = json.dumps([OTHER, ""])
_BOUNDS: Final = {
    "models": MOST_MODELS,
    "other": _OTHER_MODEL,
    "firsts": MOST_MODELS + MOST_ACCOUNTS,
    "first_texts": MOST_FIRST_TEXTS,
    "accounts": MOST_ACCOUNTS,
    "clients": MOST_CLIENTS,
    "failures": MOST_FAILURES,
}


class SharedHistory(History):
    """Takes the records of this worker's requests, and shows what is known of all. While Redis is
    away that is what this worker knows."""

    def __init__(
        self,
        caller: Caller,
        teller: Teller,
        *,
        names: Callable[[], Mapping[str, str]] = dict,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*names* returns, by the labels that accounts have here, their names in all workers."""
        super().__init__(wall)
        self._caller, self._teller = caller, teller
        self._names = names
        self._clock = clock
        self._news = _News()
        self._looking = threading.Lock()
        self._board: Mapping[str, Any] | None = None
        self._until = -inf
        teller.add("board", self._taken)

    def tell(self, record: Record) -> None:
        super().tell(record)
        if record.client:
            with self._lock:
                self._news.saw(record)

    def _note_minute(self, record: Record, now: float) -> None:
        super()._note_minute(record, now)
        self._news.ended(int(now // 60), is_refused=record.status == REFUSED)

    def _note_wait(self, seconds: float, now: float) -> None:
        super()._note_wait(seconds, now)
        self._news.waited(int(now // 60), seconds)

    def _note_failed(self, label: str, now: float, code: str) -> None:
        super()._note_failed(label, now, code)
        self._news.account(label).update(failed=now, code=code)

    def _note_succeeded(self, label: str, now: float, first_text: float | None) -> None:
        super()._note_succeeded(label, now, first_text)
        self._news.account(label)["ok"] = now
        if first_text is not None:
            self._news.first("a", label, first_text)

    def _note_model(self, record: Record, now: float, failed: bool) -> None:
        super()._note_model(record, now, failed)
        model = json.dumps([_text(record.model[:MOST_CHARACTERS]), _text(record.bot)])
        self._news.asked(model, int(now // HOUR), failed)
        if not record.code and (seconds := first_text(record)) is not None:
            self._news.first("m", model, seconds)

    def _note_failure(self, record: Record, now: float) -> None:
        super()._note_failure(record, now)
        self._news.failures.append(failure(record, now))

    def _taken(self) -> Mapping[str, Any] | None:
        """Return what is to be told; see `tells.board` in the script."""
        with self._lock:
            news, self._news = self._news, _News()
        return news.told(self._wall(), self._names())

    # ---- what is shown

    def minutes(self) -> list[Minute]:
        board = self._newest()
        if board is None:
            return super().minutes()
        counts = pairs(board["minutes"])
        this = int(float(board["now"]) // 60)
        return [
            Minute(number, int(counts.get(f"{number} n", 0)), int(counts.get(f"{number} r", 0)))
            for number in range(this - 59, this + 1)
        ]

    def waits(self) -> Waits | None:
        """Return how long requests have waited in line, to a twentieth of it."""
        board = self._newest()
        if board is None:
            return super().waits()
        since = (float(board["now"]) - QUARTER) // 60
        steps: Counter[int] = Counter()
        for field, number in pairs(board["waits"]).items():
            minute, step = map(int, field.split())
            if minute > since:
                steps[step] += int(number)
        of = steps.total()
        if not of:
            return None
        return Waits(_at(steps, (of + 1) // 2), _at(steps, -(-95 * of // 100)))

    def accounts(self) -> Mapping[str, AccountHistory]:
        board = self._newest()
        if board is None:
            return super().accounts()
        known, firsts = pairs(board["accounts"]), pairs(board["firsts"])
        found = {}
        for label, name in self._names().items():
            if name in known:
                one = json.loads(known[name])
                found[label] = AccountHistory(
                    _time(one.get("ok")),
                    _time(one.get("failed")),
                    one.get("code", ""),
                    _firsts(firsts.get(f"a {name}")),
                )
        return found

    def models(self) -> Sequence[ModelHistory]:
        board = self._newest()
        if board is None:
            return super().models()
        firsts = pairs(board["firsts"])
        found: dict[str, ModelHistory] = {}
        for hour, fields in board["hours"] or ():
            for field, number in pairs(fields).items():
                what, model = field[0], field[2:]
                if model not in found:
                    name, bot = json.loads(model)
                    found[model] = ModelHistory(
                        name, bot, first_texts=_firsts(firsts.get(f"m {model}"))
                    )
                counts = found[model].hours.setdefault(hour, [0, 0])
                counts[what == "f"] += int(number)
        most = sorted(found.values(), key=lambda one: (-one.requests, one.name))
        return most[:MOST_MODELS]

    def failures(self) -> Sequence[Failure]:
        board = self._newest()
        if board is None:
            return super().failures()
        found = [json.loads(one) for one in reversed(board["failures"] or ())]
        return [Failure(**{**one, "at": float(one["at"])}) for one in found]

    def clients(self) -> Mapping[str, tuple[float, Mapping[str, int]]] | None:
        """Return when each client was seen last, and how many of its requests were refused for
        which reason; None while Redis is away."""
        board = self._newest()
        if board is None:
            return None
        found = {name: json.loads(one) for name, one in pairs(board["clients"]).items()}
        return {name: (float(one["at"]), dict(one["refused"])) for name, one in found.items()}

    def _newest(self) -> Mapping[str, Any] | None:
        """Return what is known of all, of this moment or the last one; None if it is not."""
        with self._looking:
            if self._clock() >= self._until:
                self._board = self._asked()
                self._until = self._clock() + KEPT
            return self._board

    def _asked(self) -> Mapping[str, Any] | None:
        if self._caller.trouble:
            return None
        # What this worker knows is to be in it.
        self._teller.tell()
        try:
            board: Mapping[str, Any] = self._caller.call("board", {})
        except StoreAway:
            return None
        return board


class _News:
    """What was not told yet. It does not grow for ever, however long nobody takes it."""

    def __init__(self) -> None:
        self.minutes: dict[int, list[int]] = {}
        self.waits: dict[int, Counter[int]] = {}
        self.models: dict[int, dict[str, list[int]]] = {}
        #: By what it is of, "m" or "a", and its name.
        self.firsts: dict[tuple[str, str], deque[float]] = {}
        self.accounts: dict[str, dict[str, Any]] = {}
        self.clients: dict[str, dict[str, Any]] = {}
        self.failures: deque[Failure] = deque(maxlen=MOST_FAILURES)

    def saw(self, record: Record) -> None:
        """Note whose request it was."""
        one = self.clients.setdefault(record.client, {"at": 0.0, "refused": Counter()})
        one["at"] = record.at
        if record.code and record.status >= 400 and not record.was_asked:
            one["refused"][record.code] += 1

    def ended(self, minute: int, *, is_refused: bool) -> None:
        """Note that a request has ended in that *minute*."""
        counts = _place(self.minutes, minute, lambda: [0, 0], 60)
        counts[0] += 1
        counts[1] += is_refused

    def waited(self, minute: int, seconds: float) -> None:
        """Note how long a request has waited that has ended in that *minute*."""
        _place(self.waits, minute, Counter, 15)[_step(seconds)] += 1

    def asked(self, model: str, hour: int, failed: bool) -> None:
        """Note that a *model* was asked, and whether it failed."""
        models = _place(self.models, hour, dict, 24)
        if model not in models and len(models) >= MOST_MODELS:
            model = _OTHER_MODEL
        counts = models.setdefault(model, [0, 0])
        counts[0] += 1
        counts[1] += failed

    def account(self, label: str) -> dict[str, Any]:
        """Return what is to be told of an account."""
        return self.accounts.setdefault(label, {"ok": None, "failed": None, "code": ""})

    def first(self, what: str, name: str, seconds: float) -> None:
        """Note after how many seconds the first word came."""
        if (what, name) not in self.firsts and len(self.firsts) >= MOST_MODELS + MOST_ACCOUNTS:
            return
        self.firsts.setdefault((what, name), deque(maxlen=MOST_FIRST_TEXTS)).append(seconds)

    def told(self, now: float, names: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Return all of it, as the script takes it; None if there is nothing."""
        if not (self.minutes or self.clients):
            return None
        return {
            "now": repr(now),
            "bounds": _BOUNDS,
            "minutes": {str(minute): counts for minute, counts in self.minutes.items()},
            "waits": {
                str(minute): {str(step): number for step, number in steps.items()}
                for minute, steps in self.waits.items()
            },
            "models": {str(hour): models for hour, models in self.models.items()},
            "firsts": {
                f"{what} {names.get(name, name) if what == 'a' else name}": [*seconds]
                for (what, name), seconds in self.firsts.items()
            },
            "accounts": {
                names.get(label, label): {
                    name: repr(one) if isinstance(one, float) else one for name, one in of.items()
                }
                for label, of in self.accounts.items()
            },
            "clients": {
                name: {"at": repr(one["at"]), "refused": dict(one["refused"])}
                for name, one in self.clients.items()
            },
            "failures": [
                {
                    "at": repr(one.at),
                    "id": one.id,
                    "client": one.client,
                    "model": _text(one.model),
                    "account": one.account,
                    "code": one.code,
                    "message": _text(one.message),
                    "site_changed": one.site_changed,
                    "times": one.times,
                }
                for one in self.failures
            ],
        }


def _place(places: dict[int, T], number: int, make: Callable[[], T], most: int) -> T:
    """Return what *places* have at that *number*: if that is new, without the lowest of too many
    others."""
    found = places.get(number)
    if found is None:
        if len(places) >= most:
            del places[min(places)]
        found = places[number] = make()
    return found


def _step(seconds: float) -> int:
    """Return the step that stands for a wait."""
    return 0 if seconds < _SHORTEST else 1 + floor(log(seconds / _SHORTEST) / _STEP)


def _at(steps: Mapping[int, int], place: int) -> float:
    """Return the wait that has that *place* among all, the shortest of which has the first."""
    for step in sorted(steps):
        place -= steps[step]
        if place <= 0:
            return _SHORTEST * exp((step - 0.5) * _STEP) if step else 0.0
    return 0.0


def _firsts(said: str | None) -> deque[float]:
    """Return the seconds to first words, without when the last one was told."""
    return deque(map(float, said.split()[1:] if said else ()), maxlen=MOST_FIRST_TEXTS)


def _time(said: str | None) -> float | None:
    return None if said is None else float(said)


def _text(given: str) -> str:
    """Return a name as JSON takes it, which knows no halves of characters."""
    return given if given.isascii() else given.encode("utf-8", "replace").decode("utf-8")
