"""Tells whoever runs the server of trouble: one message to one address, and not twice.

What is known of the accounts is looked at once in a second. So it does not matter who has found out
what, nor how often; and an account that is refused and accepted again within that second is none of
the operator's business.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final, TypeAlias

import orjson

from poe_proxy import __version__, logs, mending
from poe_proxy.errors import UpstreamBlocked, UpstreamChanged
from poe_proxy.moments import stamp
from poe_proxy.net.posting import post
from poe_proxy.pool.ledger import Standing, TokenState
from poe_proxy.pool.rotator import Rotator, Token
from poe_proxy.record import Record
from poe_proxy.settings import Settings
from poe_proxy.shared.calling import Caller, StoreAway
from poe_proxy.values import value

log = logging.getLogger(__name__)

#: Seconds from one look to the next, and from the first thing to tell until it is told: what comes
#: meanwhile goes into the same message.
PACE: Final = 1.0
GATHERED: Final = 3.0
#: Seconds that an address has for its answer, the tries, and the seconds after each that failed.
PATIENCE: Final = 5.0
PAUSES: Final = (2.0, 10.0)
#: The most seconds that the end waits for what is still to be told.
LAST: Final = 2.0
#: Seconds for which the store must be away.
STORE_AWAY: Final = 60.0
#: Seconds within which all workers of a pool find out the same.
TOGETHER: Final = 10.0
#: The most events in one message, and characters of a reason.
MOST_TOLD: Final = 20
MOST_WORDS: Final = 300

#: How an account is, as far as it is told.
_WORDS: Final[Mapping[Standing, str]] = {
    Standing.RETIRED: "suspended",
    Standing.SUSPENDED: "suspended",
    Standing.OUT_OF_POINTS: "out_of_points",
}
_WELL: Final = "back"

#: An account: its name, the word for how it is, its token and what is known of it.
_Account: TypeAlias = tuple[str, str, Token[Any], TokenState]
#: What stands for no account in what was told, and its event.
_STORE: Final = "the store"
_STORE_AWAY: Final = "store_away"
#: What Poe's site has none of either: no account; and that what had changed is in use again.
_SITE: Final = ""
_MENDED: Final = "upstream_mended"
#: What is done about a change of it, by the words of `mending.doing`.
_DOING: Final[Mapping[str, str]] = {
    "looking": "poe-proxy is looking for what is new.",
    "same": "poe-proxy has looked for what is new at {at}, and found nothing.",
    "unusable": "As Poe's page has it at {at}, it is refused, too.",
    "failed": "poe-proxy has looked for what is new at {at}, but could not read Poe's page or its "
    "scripts.",
    "later": "By itself poe-proxy looks for what is new at {at} at the earliest.",
    "off": "The button at /status, or `poe-proxy discover`, looks for what is new.",
}
#: Who tells something.
_US, _OTHERS, _NOBODY = "us", "others", ""


@value()
class Event:
    """One thing to tell."""

    event: str
    #: The label of the account; empty if it is about none in particular.
    account: str
    #: The sentence that says it.
    reason: str
    #: When it is over, or looked at again, in seconds since 1970; None if that is not known.
    until: float | None
    at: float


class Alerts:
    """Looks at the pool, and tells what has changed for the worse, or for the better again.

    The same event of the same account is told once in `ALERT_EVERY` seconds; what was left out, and
    is still so then, is told then. Of several workers that share a pool in Redis, the first one
    that finds something out tells it.
    """

    def __init__(
        self,
        tokens: Rotator[Any],
        *,
        store: Callable[[], str] = lambda: "off",
        caller: Caller | None = None,
        speaks: Callable[[], bool] = lambda: True,
        site: Callable[[], mending.Told] = lambda: None,
        send: Callable[[str, bytes, Mapping[str, str], float], str] = post,
        pauses: Sequence[float] = PAUSES,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*store* says whether the store answers, as `Fact.store` has it; *pauses* are the seconds
        after each try that failed, but for the last.

        *caller* leads to Redis, which is the store then; None: this worker is alone. *speaks* says
        whether it is this worker that tells for its host that Redis is away, as they cannot agree
        then. *site* tells of Poe's site, as it does for `Overview`.
        """
        self._tokens = tokens
        self._store = store
        self._caller, self._speaks = caller, speaks
        self._site = site
        self._send = send
        self._pauses = pauses
        self._clock, self._wall = clock, wall
        self._url: str | None = None
        self._format, self._every, self._points = "json", 0.0, 0
        #: The last event that was told of each account, by its name, and of each kind.
        self._told: dict[str, str] = {}
        #: When each event of each was told.
        self._told_at: dict[tuple[str, str], float] = {}
        #: By which id each is claimed of which that was not answered yet: it may be this worker's.
        self._claims: dict[tuple[str, str], str] = {}
        self._store_away_at: float | None = None
        self._has_changed = False
        #: When the site was mended, as far as that is told.
        self._mended_at: float | None = None
        self._waiting: list[Event] = []
        self._send_at = inf
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def use(self, settings: Settings) -> None:
        """Tell what, where and how often *settings* say, from now on."""
        self._url, self._format = settings.alert_url, settings.alert_format
        self._every, self._points = settings.alert_every, settings.alert_points

    def start(self) -> None:
        """Begin to look, in a thread of its own, if there is an address and it has not begun."""
        if self._url is not None and self._thread is None and not self._stopped.is_set():
            self.begin()
            self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
            self._thread.start()

    def begin(self) -> None:
        """Take what holds an account back by now as known to the operator."""
        self._told = {name: word for name, word, _, _ in self._accounts()}
        self._told |= dict(_kinds(self._accounts()))
        self._mended_at = mending.mended_at(self._site())

    def tell(self, record: Record) -> None:
        """Take up the record of a request whose answer is closed."""
        if record.site_changed or UpstreamChanged.code in record.moves:
            self._has_changed = True

    def stop(self) -> None:
        """Look no further; what was found is told at once, by one try."""
        self._stopped.set()

    def close(self) -> None:
        """Wait until that is told, if it can be done in a moment."""
        self.stop()
        if self._thread is not None:
            self._thread.join(LAST)

    def _run(self) -> None:
        while not self._stopped.wait(PACE):
            try:
                self.look()
            except Exception:  # the next look may be better
                log.exception("the look for alerts failed")
        self.tell_rest()  # the next process would take it as known

    def look(self) -> None:
        """See what has changed, and send what is due."""
        now = self._clock()
        for event in self._found(now):
            self._waiting.append(event)
            self._send_at = min(self._send_at, now + GATHERED)
        if now >= self._send_at:
            self.tell_rest()

    def tell_rest(self) -> None:
        """Send what waits to be sent."""
        events, self._waiting, self._send_at = self._waiting, [], inf
        if events:
            self._deliver(events)

    # ---- what there is to tell

    def _found(self, now: float) -> Iterator[Event]:
        present = set()
        accounts = self._accounts()
        for name, word, token, state in accounts:
            present.add(name)
            if self._is_news(name, word, now):
                yield self._of_account(word, token, state)
            elif self._is_low(name, word, now):
                yield self._low(token)
        for kind, word in _kinds(accounts):
            present.add(kind)
            if self._is_news(kind, word, now):
                reason = (
                    f"No {kind} account can be used."
                    if word == "unusable"
                    else f"There are {kind} accounts again that can be used."
                )
                yield Event(word, "", reason, None, self._wall())
        yield from self._of_store(now)
        yield from self._of_site(now)
        self._forget(present)

    def _accounts(self) -> list[_Account]:
        """Return each account by its name, with the word for how it is, all at one moment."""
        return [
            (token.name, _WORDS.get(state.standing, _WELL), token, state)
            for token, state in self._tokens.states()
        ]

    def _is_news(self, name: str, word: str, now: float) -> bool:
        """Whether it is to be told now that *name* is so; it counts as told."""
        if self._told.get(name, _WELL) == word:
            return False
        teller = self._teller(name, word, now)
        if teller:
            self._told[name] = word
        return teller == _US

    def _teller(self, name: str, event: str, now: float) -> str | None:
        """Return who tells that event: this worker; another one, which has done so a moment ago; or
        nobody, if it was told within `ALERT_EVERY`. It counts as told. None if that cannot be known
        now."""
        if now < self._told_at.get((name, event), -inf) + self._every:
            return _NOBODY
        claimed = self._claimed(name, event)
        if claimed is None:
            return None
        is_ours, ago = claimed
        self._told_at[name, event] = now - ago
        return _US if is_ours else _OTHERS if ago <= TOGETHER else _NOBODY

    def _claimed(self, name: str, event: str) -> tuple[bool, float] | None:
        """Return whether it is this worker that tells that event, and how many seconds ago that was
        decided; None if it cannot be known now."""
        if self._caller is None:
            return True, 0.0
        if event == _STORE_AWAY:
            return (True, 0.0) if self._speaks() else None
        # If the answer is lost, nobody else tells it: the next look asks for the same one.
        id = self._claims.setdefault((name, event), os.urandom(8).hex())
        seconds = max(self._every, TOGETHER)
        claim = {"name": f"alert:{name}:{event}", "seconds": seconds, "id": id}
        try:
            answer = self._caller.call("claim", claim)
        except StoreAway:
            return None
        del self._claims[name, event]
        return bool(answer["mine"]), float(answer["ago"])

    def _is_low(self, name: str, word: str, now: float) -> bool:
        points = self._tokens.points.of(name)
        if points is None or word != _WELL:
            return False
        key, is_low = f"points of {name}", points.number < self._points
        if not is_low:
            self._told.pop(key, None)
            return False
        return self._is_news(key, "low_points", now)

    def _of_store(self, now: float) -> Iterator[Event]:
        found = self._store()
        is_file = self._caller is None
        if found in ("off", "ok"):
            self._store_away_at = None
            if self._is_news(_STORE, _WELL, now):
                reason = "STATE_FILE is written again." if is_file else "Redis is there again."
                yield Event(_WELL, "", reason, None, self._wall())
            return
        if self._store_away_at is None:
            self._store_away_at = now
        if now >= self._store_away_at + STORE_AWAY and self._is_news(_STORE, _STORE_AWAY, now):
            what = "STATE_FILE has not been written" if is_file else "Redis has been away"
            reason = f"{what} for a minute: {_words(found)}."
            yield Event(_STORE_AWAY, "", reason, None, self._wall())

    def _of_site(self, now: float) -> Iterator[Event]:
        site = self._site()
        mended_at = mending.mended_at(site)
        is_mended = mended_at is not None and mended_at != self._mended_at
        if self._has_changed:
            teller = self._teller(_SITE, UpstreamChanged.code, now)
            self._has_changed = teller is None
            if teller == _US:
                told = mending.doing(site, self._wall())
                doing = "" if is_mended else _DOING.get(told["doing"], "").format(at=told["at"])
                reason = "Poe has changed its site: requests by cookie fail (upstream_changed)."
                reason = f"{reason} {doing}".rstrip()
                yield Event(UpstreamChanged.code, "", reason, None, self._wall())
        if not is_mended:
            return
        teller = self._teller(_SITE, _MENDED, now)
        if teller is None or (teller == _NOBODY and self._is_told_as_changed()):
            return
        self._mended_at = mended_at
        if teller == _US and site is not None:
            found = site["discovery"]
            reason = _words(" ".join((found["said"], *found["notes"])))
            yield Event(_MENDED, "", reason, None, self._wall())

    def _is_told_as_changed(self) -> bool:
        """Whether the last that was told of the site is that it has changed."""
        changed_at, mended_at = (
            self._told_at.get((_SITE, event), -inf) for event in (UpstreamChanged.code, _MENDED)
        )
        return changed_at > mended_at

    def _of_account(self, word: str, token: Token[Any], state: TokenState) -> Event:
        now = self._wall()
        words = f" {_words(state.reason)}" if state.reason else ""
        until = None
        if word == _WELL:
            reason = f"{token.label} is back."
        elif word == "out_of_points":
            points = self._tokens.points.of(token.name)
            grant = None if points is None else points.grant_after(now)
            until = None if grant is None else grant.at
            ahead = "" if until is None else f" until {stamp(until)}"
            reason = f"{token.label} is out of points{ahead}.{words}"
        else:
            blame = "is shown a challenge page" if _is_blocked(state) else "is refused"
            reason = f"{token.label} is suspended: it {blame}.{words}"
            until = None if state.next_look == inf else now + state.next_look
        return Event(word, token.label, reason, until, now)

    def _low(self, token: Token[Any]) -> Event:
        points = self._tokens.points.of(token.name)
        number = 0 if points is None else points.number
        reason = f"{token.label} has {number:,} points left, fewer than {self._points:,}."
        return Event("low_points", token.label, reason, None, self._wall())

    def _forget(self, present: set[str]) -> None:
        """Forget accounts that have left the pool."""
        present |= {f"points of {name}" for name in present} | {_STORE, ""}
        self._told = {name: word for name, word in self._told.items() if name in present}
        self._told_at = {key: at for key, at in self._told_at.items() if key[0] in present}
        self._claims = {key: id for key, id in self._claims.items() if key[0] in present}

    # ---- telling it

    def _deliver(self, events: Sequence[Event]) -> None:
        """Send a message, three times if need be."""
        if self._url is None:
            return
        body, kind = message(events, self._format)
        for pause in (*self._pauses, None):
            why = self._send(self._url, body, {"Content-Type": kind}, PATIENCE)
            if not why:
                log.info("alerts sent: %s", ", ".join(_named(events)))
                return
            if pause is None or self._stopped.wait(pause):
                break
        # The address may be a secret.
        log.warning("an alert was not delivered (%s): %s", why, ", ".join(_named(events)))


def message(events: Sequence[Event], form: str) -> tuple[bytes, str]:
    """Return the body that tells *events* in the *form* of `ALERT_FORMAT`, and its media type."""
    told, left_out = events[:MOST_TOLD], len(events) - MOST_TOLD
    lines = [one.reason for one in told]
    if left_out > 0:
        lines.append(f"{left_out} more events.")
    if form == "json":
        return orjson.dumps(_as_json(told, lines)), "application/json"
    text = "\n".join(lines)
    if form == "slack":
        # What Poe says must neither call people nor be a link.
        for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(sign, entity)
        return orjson.dumps({"text": text}), "application/json"
    return text.encode(), "text/plain; charset=utf-8"


def _as_json(events: Sequence[Event], lines: Iterable[str]) -> dict[str, Any]:
    told: list[dict[str, Any]] = [
        {
            "event": one.event,
            "account": one.account,
            "reason": one.reason,
            "until": None if one.until is None else stamp(one.until),
            "at": stamp(one.at),
        }
        for one in events
    ]
    first = told[0]
    if len(told) > 1:
        first = {**first, "event": "summary", "account": "", "reason": " ".join(lines)}
        first |= {"until": None, "events": told}
    return {**first, "host": platform.node(), "version": __version__}


def _named(events: Iterable[Event]) -> list[str]:
    return [f"{one.event} {one.account}".strip() for one in list(events)[:MOST_TOLD]]


def _is_blocked(state: TokenState) -> bool:
    return state.code == UpstreamBlocked.code


def _words(text: str) -> str:
    """Return words from outside, cut and as one line."""
    return logs.escape(text[:MOST_WORDS])


def _kinds(accounts: Iterable[_Account]) -> Iterator[tuple[str, str]]:
    """Yield each kind of account, and the word for how its accounts are together."""
    words: dict[str, set[str]] = {}
    for _, word, token, _ in accounts:
        words.setdefault(token.kind, set()).add(word)
    for kind, found in words.items():
        yield kind, _WELL if _WELL in found else "unusable"
