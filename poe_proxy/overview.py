"""How things are, in numbers: what `/status.json` tells, and the page shows.

All of it is in memory already: nobody is asked, and no account is woken. Times are RFC 3339 in UTC;
what is not known is None, and never 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from math import inf
from typing import Any, Final

from poe_proxy import __version__, mending
from poe_proxy.environment import declared, dotenv
from poe_proxy.history import DAY, Failure, History
from poe_proxy.moments import stamp
from poe_proxy.origins import origins
from poe_proxy.pool.ledger import TokenState
from poe_proxy.pool.limits import Within
from poe_proxy.pool.rotator import Rotator, Token, condition
from poe_proxy.settings import Settings

#: Seconds for which the numbers are kept: however many look, the pool is asked once in them.
KEPT: Final = 1.0
#: The states in which an account cannot be used, and will not be in a moment.
UNUSABLE: Final = ("out_of_points", "suspended", "retired")
#: Those and the operator's own word.
HELD: Final = ("paused", *UNUSABLE)
#: Seconds for which a failure of Poe's site is news, and the share of refused requests that is.
NEWS: Final = 900.0
MANY_REFUSED: Final = 0.05
#: Requests in ten minutes from which on such a share says something.
FEW: Final = 20
#: The most single bots for which it is told that an account rests.
MOST_BOTS: Final = 5

#: How a reload can end.
RELOADED: Final = "reloaded"
NOT_RELOADED: Final = "not reloaded"

_CHANGED: Final = "upstream_changed"


def _plain(default: Any) -> str:
    """Return a default as one would write it; nothing for none."""
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    is_given = default is not MISSING and default is not None
    return f"{default:g}" if isinstance(default, float) else str(default) if is_given else ""


_DEFAULTS: Final = {one.name: _plain(field.default) for field, one in declared(Settings)}


class Overview:
    """Puts the numbers together, from the pool, what was of late, and the settings."""

    def __init__(
        self,
        tokens: Rotator[Any],
        history: History,
        *,
        store: Callable[[], str] = lambda: "off",
        clients: Callable[[], Sequence[Mapping[str, Any]]] = list,
        workers: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
        site: Callable[[], mending.Told] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*store* says whether the store answers, as `Fact.store` has it; *clients* tells of those
        who ask, as `Registry.overview` does; *site* of Poe's site as it is known here, None if
        nothing is asked by cookie."""
        self._tokens = tokens
        self._history = history
        self._store = store
        self._clients = clients
        self._workers, self._site = workers, site
        self._clock, self._wall = clock, wall
        self._began = wall()
        self._lock = threading.Lock()
        self._numbers: dict[str, Any] = {}
        self._until = -inf
        self._settings: list[dict[str, str]] = []
        self._reload: dict[str, Any] | None = None

    def read_settings(self) -> None:
        """Show each setting as it is now, and where it comes from, from now on."""
        try:
            settings = origins(Settings, dotenv())
        except (OSError, ValueError):
            return  # that `.env` cannot be read is said elsewhere
        self._settings = [
            {
                "name": one.name,
                "value": one.shown if one.is_set else _DEFAULTS[one.name],
                "from": one.where,
            }
            for one in settings
        ]

    def reloaded(self, outcome: Mapping[str, Any]) -> None:
        """Note how a reload has ended."""
        self._reload = {"at": stamp(self._wall()), **outcome}
        self.forget()

    def forget(self) -> None:
        """Put the numbers together anew for the next who looks: something was done."""
        self._until = -inf

    def numbers(self) -> Mapping[str, Any]:
        """Return all of them, of this second or the last one."""
        with self._lock:
            if self._clock() >= self._until:
                self._numbers = self._put_together()
                self._until = self._clock() + KEPT
            return self._numbers

    def _put_together(self) -> dict[str, Any]:
        now = self._wall()
        store, failures = self._store(), self._history.failures()
        is_up = store in ("off", "ok")
        workers = None if self._workers is None else [*self._workers()]
        kind = "memory" if store == "off" else "file"
        told: dict[str, Any] = {
            "version": __version__,
            "now": stamp(now),
            "since": stamp(min([self._began, *_starts(workers or ())])),
            "workers": len(workers or ()) or 1,
            "hosts": len({one.get("host") for one in workers or ()}) or 1,
            "processes": [_process(one) for one in workers or ()],
            "store": {
                "kind": kind if workers is None else "redis",
                "up": is_up,
                "trouble": None if is_up else store,
            },
            "reload": self._reload,
            "line": self._line(),
            "accounts": list(self._accounts(now)),
            "clients": [*self._clients()],
            "models": [
                {
                    "name": one.name,
                    "bot": one.bot,
                    "requests": one.requests,
                    "failures": one.failures,
                    "first_text_seconds": _rounded(one.first_text),
                }
                for one in self._history.models()
            ],
            "failures": [
                {
                    "at": stamp(one.at),
                    "request": one.id,
                    "client": one.client,
                    "model": one.model,
                    "account": one.account,
                    "code": one.code,
                    "message": one.message,
                    "times": one.times,
                }
                for one in failures
            ],
            "site": self._site(),
            "settings": self._settings,
        }
        told["facts"] = list(facts(told, change=self._change(told["site"], failures, now)))
        return told

    def _line(self) -> dict[str, Any]:
        line, waits, minutes = self._tokens.line(), self._history.waits(), self._history.minutes()
        return {
            "waiting": line.waiting,
            "places": line.places,
            "longest_seconds": round(line.longest, 1),
            "patience_seconds": self._tokens.patience,
            "median_seconds": _rounded(None if waits is None else waits.median),
            "p95_seconds": _rounded(None if waits is None else waits.most),
            "requests_of_hour": sum(one.requests for one in minutes),
            "refused_of_hour": sum(one.refused for one in minutes),
            "minutes": [[one.requests, one.refused] for one in minutes],
        }

    def _accounts(self, now: float) -> Iterator[dict[str, Any]]:
        uses, histories = self._tokens.uses(), self._history.accounts()
        for token, state in self._tokens.states():
            word = condition(token, state)
            points = self._tokens.points.of(token.name)
            grant = None if points is None else points.grant_after(now)
            history = histories.get(token.label)
            ages = uses.get(token.name, ())
            yield {
                "label": token.label,
                "kind": token.kind,
                "state": word,
                "until": _until(word, state, now),
                # Nobody knows when there are points again; this is how soon it is seen here.
                "points_check_seconds": self._tokens.points_check,
                "reason": state.reason,
                "code": state.code,
                "in_use": state.in_use,
                "at_a_time": token.concurrency,
                "windows": list(_windows(token, ages)),
                "today": self._tokens.day_uses.of(token.name),
                "points": None if points is None else points.number,
                "points_at": None if points is None else stamp(points.at),
                "next_grant_at": None if grant is None else stamp(grant.at),
                "next_grant_points": None if grant is None else grant.number,
                "succeeded_at": _stamp(history.succeeded_at if history else None),
                "failed_at": _stamp(history.failed_at if history else None),
                "failure": history.code if history else "",
                "first_text_seconds": _rounded(history.first_text if history else None),
            }

    def _change(
        self, site: mending.Told, failures: Iterable[Failure], now: float
    ) -> dict[str, Any] | None:
        """Return what is done about a change of Poe's site; None if none is known of late, or it
        is mended: so it is, too, for an account that has answered since."""
        histories = self._history.accounts()
        changed_at = -inf
        for one in failures:
            history = histories.get(one.account)
            succeeded_at = None if history is None else history.succeeded_at
            if one.site_changed and (succeeded_at is None or succeeded_at < one.at):
                changed_at = max(changed_at, one.at)
        if changed_at <= now - NEWS or mending.is_mended(site, changed_at):
            return None
        return mending.doing(site, now)


def facts(
    told: Mapping[str, Any], *, change: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what is wrong by these numbers, the worst first; nothing if all is well. *change* is
    what is done about a change of Poe's site, if there is one.

    Each has a `level`, "bad" or "poor", a name, `fact`, and the figures that belong to it.
    """
    accounts = told["accounts"]
    by_state: dict[str, list[Mapping[str, Any]]] = {}
    for one in accounts:
        by_state.setdefault(one["state"], []).append(one)
    of = len(accounts)
    if sum(len(by_state.get(state, ())) for state in HELD) == of:
        yield {"level": "bad", "fact": "none_usable", "of": of}
    if not told["store"]["up"]:
        name = "redis_away" if told["store"]["kind"] == "redis" else "store_away"
        yield {"level": "bad", "fact": name, "why": told["store"]["trouble"]}
    if change is not None:
        yield {"level": "bad", "fact": _CHANGED, **change}
    for state in ("suspended", "retired", "out_of_points"):
        if found := by_state.get(state):
            fact: dict[str, Any] = {"level": "poor", "fact": state, "number": len(found), "of": of}
            if state == "out_of_points":
                grants = [at for one in found if (at := one["next_grant_at"])]
                fact["next_grant_at"] = min(grants, default=None)
            yield fact
    line = told["line"]
    if line["longest_seconds"] > line["patience_seconds"] / 2:
        yield {"level": "poor", "fact": "long_line", "seconds": line["longest_seconds"]}
    recent = line["minutes"][-10:]
    requests, refused = sum(one for one, _ in recent), sum(one for _, one in recent)
    if requests >= FEW and refused > MANY_REFUSED * requests:
        share = round(100 * refused / requests)
        yield {"level": "poor", "fact": "many_refused", "percent": share}
    reload = told["reload"]
    if reload is not None and reload["outcome"] != RELOADED:
        yield {"level": "poor", "fact": "not_reloaded"}


def _starts(workers: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    for one in workers:
        if (started := one.get("started")) is not None:
            yield float(started)


def _process(worker: Mapping[str, Any]) -> dict[str, Any]:
    started = next(_starts([worker]), None)
    return {
        "host": worker.get("host", ""),
        "pid": worker.get("pid"),
        "version": worker.get("version", ""),
        "since": _stamp(started),
        "under_way": worker.get("under_way"),
        "homes": worker.get("homes"),
    }


def _windows(token: Token[Any], ages: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield how often a token was used within each of its limits."""
    for limit in token.limits:
        if isinstance(limit, Within):
            used = sum(age < limit.window for age in ages)
            yield {
                "used": used,
                "limit": limit.calls,
                "seconds": limit.window,
                "is_day": limit.window == DAY,
            }


def _until(word: str, state: TokenState, now: float) -> str | None:
    """Return when the state ends; of a suspended account, when it is looked at again."""
    if word in ("free", "in_use"):
        return None
    seconds = state.next_look if word == "suspended" else state.rest
    return stamp(now + seconds) if 0.0 < seconds < inf else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _stamp(seconds: float | None) -> str | None:
    return None if seconds is None else stamp(seconds)
