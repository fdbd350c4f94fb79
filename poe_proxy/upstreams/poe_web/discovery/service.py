"""Looks for what is new once Poe has changed its site: by itself, or when it is told to.

A thread of its own waits for a sign of a change, and takes in place what others have written into
the site file meanwhile: another worker, a command, or a person.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from poe_proxy.errors import UpstreamError
from poe_proxy.moments import stamp
from poe_proxy.tallies import DISCOVERIES
from poe_proxy.upstreams.poe_web.current import WHAT_TO_DO, CurrentSite
from poe_proxy.upstreams.poe_web.discovery.findings import Difference, Findings, Value
from poe_proxy.upstreams.poe_web.discovery.looking import Look, look
from poe_proxy.upstreams.poe_web.discovery.trying import Trial, try_out
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.site import NEEDED, Site

log = logging.getLogger(__name__)

#: Seconds from one look that began by itself to the next one.
EVERY: Final = 3600.0
#: Seconds from one look at the site file to the next one.
WATCH: Final = 2.0
#: The most accounts by which one look is tried.
WAYS: Final = 3
#: The most seconds that the end waits for a look that is under way.
LAST: Final = 5.0

#: The note where what was found is not written down.
NOWHERE: Final = "It is kept in memory only: neither POE_SITE nor STATE_FILE is set."

#: What came of a look: what was found is in use; nothing differs; Poe does not take what was found;
#: the page could not be read.
Word: TypeAlias = Literal["mended", "same", "unusable", "failed"]

_LOOKING: Final = "What is new is being looked for; try again in a minute."
_OFF: Final = f"DISCOVER=0 forbids looking for it by itself. {WHAT_TO_DO}"


@runtime_checkable
class Way(Protocol):
    """An account by which Poe's page can be read."""

    @property
    def label(self) -> str:
        """Its name."""

    @property
    def front(self) -> Front:
        """Its way to poe.com."""

    @property
    def formkey(self) -> str | None:
        """The form key that it has now; None or empty if it has none."""

    @property
    def is_logged_in(self) -> bool:
        """Whether it has a login now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a look."""

    word: Word
    #: A sentence or two for people.
    said: str
    #: When it was over, in seconds since 1970.
    at: float
    #: The label of the account by which it was looked.
    account: str = ""
    differs: tuple[Difference, ...] = ()
    #: The operations and subscriptions that page and scripts do not have.
    missing: tuple[str, ...] = ()
    #: What else is to be said, in sentences.
    notes: tuple[str, ...] = ()
    #: Where it was written; None if it is kept in memory, or nothing was to be written.
    file: Path | None = None
    #: By the names of entries of a site file: what was found for it, if Poe takes it.
    found: Mapping[str, Value] = field(default_factory=dict, repr=False)


class Discoverer:
    """One for all accounts of a process. May be used by several threads at once."""

    def __init__(
        self,
        site: CurrentSite,
        ways: Callable[[str], Iterable[Way]],
        *,
        file: Callable[[], Path | None] = lambda: None,
        reread: Callable[[], object] = lambda: None,
        is_automatic: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """*ways* returns the accounts by which one may look, the best one first; it is given the
        label of the account that has met the change, or an empty one.

        *file* returns where what was found is written; None: it is kept in memory. *reread* takes
        in place what is there. *is_automatic* says whether it looks by itself.
        """
        self._site = site
        self._ways = ways
        self._file = file
        self._reread = reread
        self._is_automatic = is_automatic
        self._clock, self._wall = clock, wall
        self._changed = threading.Condition()
        #: The label for which a look is wanted; None if none is.
        self._wanted: str | None = None
        self._is_looking = False
        self._is_over = False
        #: How many looks are over.
        self._rounds = 0
        self._outcome: Outcome | None = None
        #: Before when no look begins by itself.
        self._not_before = -inf
        self._seen = self._look_at_file()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def start(self) -> None:
        """Begin to listen for signs, and to watch the file."""
        self._site.hear(self._heard)
        self._thread.start()

    def close(self) -> None:
        """End; a look that is under way is given up. Waits some seconds for that."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(LAST)

    # ---- who wants a look

    def discover(self, wait: float | None = None) -> Outcome | None:
        """Look now, and return what came of it; None if that is not over after *wait* seconds.

        Whoever calls while a look is under way waits for that one.
        """
        with self._changed:
            if not self._is_looking and self._wanted is None and not self._is_over:
                self._wanted = ""
                self._changed.notify_all()
            rounds = self._rounds
            self._changed.wait_for(lambda: self._rounds > rounds or self._is_over, wait)
            return self._outcome if self._rounds > rounds else None

    def _heard(self, sign: str, label: str) -> str:
        """Begin a look because of a sign of a change, unless one began a short while ago. Return
        what is being done, for whoever has met it."""
        with self._changed:
            if self._is_looking or self._wanted is not None:
                return _LOOKING
            if not self._is_automatic():
                return _OFF
            now = self._clock()
            if self._is_over:
                return WHAT_TO_DO
            if now < self._not_before:
                return f"{self._last_time()} {self._next_time(now)} {WHAT_TO_DO}"
            self._not_before = now + EVERY
            self._wanted = label
            self._changed.notify_all()
        log.warning("%s: looking for what is new on Poe's site", label)
        return _LOOKING

    def _last_time(self) -> str:
        outcome = self._outcome
        if outcome is None:
            return "What is new is looked for once an hour."
        said = f"What is new was looked for at {_hour(outcome.at)}: {outcome.said}"
        return " ".join((said, *_gone(outcome)))

    def _next_time(self, now: float) -> str:
        again = self._wall() + self._not_before - now
        return f"By itself that is done again at {_hour(again)}, and not before."

    # ---- the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._is_over, WATCH)
                if self._is_over:
                    return
                label = self._wanted
                # In this order: whoever is told of it sees one of them.
                self._is_looking = label is not None
                self._wanted = None
            try:
                self._watch()
                if label is not None:
                    self._outcome = self._look(label)
            except Exception:
                log.exception("looking for what Poe has changed failed")
                if label is not None:
                    self._outcome = self._made("failed", "A fault of poe-proxy; the log has it.")
            if label is not None:
                outcome = self._outcome
                assert outcome is not None
                DISCOVERIES.add(outcome.word)
                level = logging.INFO if outcome.word == "same" else logging.WARNING
                log.log(level, "%s", " ".join((outcome.said, *_gone(outcome), *outcome.notes)))
                with self._changed:
                    self._is_looking = False
                    self._rounds += 1
                    self._changed.notify_all()

    def _watch(self) -> None:
        """Take in place what others have written into the file."""
        seen = self._look_at_file()
        if seen != self._seen:
            self._seen = seen
            before = self._site.now
            self._reread()
            if self._site.now is not before:
                log.info("%s is used as it is now", self._site.now.file or "the built-in site file")

    def _look_at_file(self) -> tuple[object, ...]:
        path = self._file()
        try:
            known = None if path is None else path.stat()
        except OSError:
            known = None
        return (path, known and (known.st_mtime_ns, known.st_size, known.st_ino))

    # ---- a look

    def _look(self, label: str) -> Outcome:
        failed = self._made("failed", "No account by cookie can be used to look for what is new.")
        refused: Outcome | None = None
        for way in islice(self._ways(label), WAYS):
            site = self._site.now
            try:
                seen = look(way.front, site, clock=self._clock, goes_on=lambda: not self._is_over)
                trial = try_out(way.front, seen, site, way.formkey)
            except UpstreamError as failure:
                said = f"Poe's page could not be read by {way.label}: {failure.message}"
                failed = self._made("failed", said, account=way.label)
                log.info("%s", said)
                continue
            if self._is_over:
                break  # what was seen until then is not all
            if not trial.failure:
                return self._concluded(way, seen, trial, site)
            refused = self._refused(way, seen, trial, site)
        if self._is_over:
            return self._made("failed", "poe-proxy has ended meanwhile.")
        return refused or failed

    def _concluded(self, way: Way, seen: Look, trial: Trial, site: Site) -> Outcome:
        # What Poe has just refused is not at work: it takes the place of nothing, and must not
        # stand in the way of a newer package.
        refused = self._refused_of(trial.findings)
        taken = {n: one for n, one in trial.findings.found.items() if n not in refused}
        findings = replace(trial.findings, found=taken)
        but = f", but it has refused {_named(refused)}" if refused else ""
        differs = findings.differences(site)
        known: dict[str, Any] = {
            "account": way.label,
            "differs": differs,
            "missing": findings.missing,
            "notes": (*findings.notes, *trial.notes),
            "found": findings.to_write(site),
        }
        if not differs:
            # So that it is known how old it is.
            file, _ = self._written(known["found"])
            return self._made(
                "same",
                f"Poe's page and {seen.scripts} of its scripts have nothing that differs, and Poe "
                f"takes it from {way.label}{but}.",
                file=file,
                **known,
            )
        found = _named([one.name for one in differs])
        are = "was found anew, and is" if len(differs) == 1 else "were found anew, and are"
        said = f"Poe's site has changed: {found} {are} in use{but}."
        file, trouble = self._written(known["found"])
        # In memory, and also if the file does not say so in spite of all; a reload may have come.
        if findings.differences(self._site.now):
            self._site.replace(findings.applied(self._site.now, self._today().isoformat()))
        if trouble:
            known["notes"] = (*known["notes"], trouble)
        return self._made("mended", said, file=file, **known)

    def _refused_of(self, findings: Findings) -> tuple[str, ...]:
        """Return the operations that Poe has refused a moment ago by what was found of them."""
        operations = [name for name in findings.found if name.startswith("operations.")]
        return tuple(
            name
            for name in operations
            if self._site.is_refused(name.partition(".")[2], str(findings.found[name]))
        )

    def _written(self, found: Mapping[str, Value]) -> tuple[Path | None, str]:
        """Write what was *found*, and take it in place; return where it is, or what stands against
        that."""
        path = self._file()
        if path is None:
            return None, NOWHERE
        # Only here: it brings a library along.
        from poe_proxy.upstreams.poe_web.discovery import writing

        try:
            writing.write(path, found, self._today().isoformat())
        except (OSError, ValueError) as failure:
            why = getattr(failure, "strerror", None) or failure
            return None, f"It is kept in memory only: {path} cannot be written ({why})."
        if (seen := self._look_at_file()) != self._seen:
            self._seen = seen
            self._reread()
        return path, ""

    def _refused(self, way: Way, seen: Look, trial: Trial, site: Site) -> Outcome:
        findings = trial.findings
        differs = findings.differences(site)
        what = (
            f"{len(differs)} values of Poe's page differ from what is known, but with them"
            if differs
            else "Nothing of Poe's page differs from what is known, but with it"
        )
        return self._made(
            "unusable",
            f"{what} {way.label} is refused: {trial.failure} Nothing was changed.",
            account=way.label,
            differs=differs,
            missing=findings.missing,
            notes=(*findings.notes, *trial.notes),
        )

    def _made(self, word: Word, said: str, **known: Any) -> Outcome:
        return Outcome(word=word, said=said, at=self._wall(), **known)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._wall(), UTC).date()

    # ---- for those who look on

    def told(self) -> dict[str, Any]:
        """Return what `/status.json` tells of the site, and of the last look."""
        site, outcome = self._site.now, self._outcome
        wait, in_use = self._not_before - self._clock(), self._site.age
        return {
            "file": None if site.file is None else str(site.file),
            "own_entries": site.own,
            "newest_evidence": site.newest,
            "age_days": age(site.newest, self._today()),
            "in_use_since": None if in_use is None else stamp(self._wall() - in_use),
            "discovery": {
                "automatic": self._is_automatic(),
                "running": self._wanted is not None or self._is_looking,
                "at": None if outcome is None else stamp(outcome.at),
                "outcome": None if outcome is None else outcome.word,
                "said": "" if outcome is None else outcome.said,
                "differs": [
                    {"name": one.name, "before": one.before, "after": one.after}
                    for one in (() if outcome is None else outcome.differs)
                ],
                "missing": [*(() if outcome is None else outcome.missing)],
                "notes": [*(() if outcome is None else outcome.notes)],
                "written": None if outcome is None or outcome.file is None else str(outcome.file),
                "not_before": stamp(self._wall() + wait) if wait > 0 else None,
            },
        }


#: The most names in a sentence.
MOST_NAMED: Final = 5


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _hour(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def _gone(outcome: Outcome) -> Iterator[str]:
    """Yield a sentence for what was not found, if there is anything."""
    if outcome.missing:
        yield f"Not found: {_named(sorted(outcome.missing, key=_is_of_use))}."


def _is_of_use(name: str) -> bool:
    """Whether answers go on without the entry of that *name*; the others are named first."""
    return name.partition(".")[2] not in NEEDED


def age(seen: str, today: date) -> int | None:
    """Return how many days ago something was *seen*: of a month, its first day counts. None if
    that is not known."""
    if not seen:
        return None
    try:
        day = date.fromisoformat(seen if len(seen) > 7 else f"{seen}-01")
    except ValueError:
        return None
    return max(0, (today - day).days)
