"""The site as it is known now: one for all accounts of a process, and replaced in place.

What fails because the site has changed is noted here, so that it is said once, and whoever looks
for what is new hears of it.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from poe_proxy.errors import UpstreamChanged
from poe_proxy.upstreams.poe_web import graphql
from poe_proxy.upstreams.poe_web.graphql import HashUnknown, StillRefused
from poe_proxy.upstreams.poe_web.site import NEEDED, Site, Tag, TagForm

log = logging.getLogger(__name__)

#: Seconds for which an operation that Poe does not know is not asked for, and for which one is that
#: Poe answers with a server error, which may be a fault of its own.
GONE: Final = 300.0
PERHAPS_GONE: Final = 60.0
#: What is done where an older hash may do.
AS_BEFORE: Final = "The hash that it had before is used again; try again."
#: What can be done about a change, where nobody looks for it.
WHAT_TO_DO: Final = (
    "`poe-proxy discover` looks for what is new, docs/when-poe-changes.md tells how to do so by "
    "hand; official API keys (POE_API_KEYS) are not concerned."
)
#: The same where what is new was found while the request was under way.
MENDED: Final = "What is new is known by now; try again."


@dataclass(frozen=True, slots=True)
class _Gone:
    hash: str
    until: float


class CurrentSite:
    """May be used by several threads at once."""

    def __init__(self, site: Site, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._now = site
        self._replaced_at: float | None = None
        self._form = site.tag.form
        self._gone: dict[str, _Gone] = {}
        #: When Poe last refused which operation by which hash; the log was told of each.
        self._refused: dict[tuple[str, str], float] = {}
        #: The kinds of other failures of which the log was told.
        self._said: set[type[UpstreamChanged]] = set()
        #: The hashes that operations had before the ones that they have now.
        self._before: dict[str, str] = {}
        self._told: Callable[[str, str], str] = lambda _, __: WHAT_TO_DO

    @property
    def now(self) -> Site:
        """The newest version; whoever does one thing with it asks once."""
        return self._now

    def replace(self, site: Site) -> None:
        """Use *site* from now on; what is under way goes on."""
        with self._lock:
            if replace(site, evidence=self._now.evidence, file=self._now.file) != self._now:
                self._replaced_at = self._clock()
            if site.tag != self._now.tag:
                self._form = site.tag.form
            self._before |= {
                name: hash
                for name, hash in self._now.operations.items()
                if site.operations.get(name, hash) != hash
            }
            self._now = site
            self._gone.clear()
            self._said.clear()

    @property
    def age(self) -> float | None:
        """The seconds since a version with other values was put in the place of the last one; None
        if none was."""
        return None if self._replaced_at is None else self._clock() - self._replaced_at

    # ---- the tag

    @property
    def tag_form(self) -> TagForm:
        """The form of the tag that Poe last accepted, which is kept for the process (§25)."""
        return self._form

    def accepted(self, tag: Tag, form: TagForm) -> None:
        """Note that Poe has accepted the *tag* in this form."""
        if form != self._form:
            with self._lock:
                if tag == self._now.tag:
                    self._form = form

    # ---- what fails

    def hear(self, told: Callable[[str, str], str]) -> None:
        """Call *told* from now on with each sign that the site has changed: a sentence, and the
        label of the account that has met it. It returns what is being done about it, or can be,
        for people; it must not wait."""
        self._told = told

    def met(self, failure: UpstreamChanged, label: str) -> UpstreamChanged:
        """Note a failure that the account of that *label* has met; the log says so once. Return it,
        with what can be done about it in its message."""
        if self._is_mended(failure):
            what_to_do = MENDED
        else:
            if isinstance(failure, HashUnknown):
                self._note(failure)
            else:
                self._say(failure, label)
            if isinstance(failure, HashUnknown) and self._go_back(failure.operation):
                what_to_do = AS_BEFORE
            else:
                what_to_do = self._told(failure.message, label)
        return _with_words(failure, what_to_do)

    def _is_mended(self, failure: UpstreamChanged) -> bool:
        """Whether what failed has been replaced meanwhile."""
        match failure:
            case HashUnknown(hash=hash, operation=operation) if hash:
                return self._now.operations.get(operation) != hash
            case StillRefused(tag=Tag() as tag):
                return self._now.tag != tag
        return False

    def _go_back(self, operation: str) -> bool:
        """Use the hash again that *operation* had before, if Poe has never refused it; return
        whether there is one. What was found along with others may be newer than what works."""
        with self._lock:
            hash = self._before.get(operation)
            if hash is None or (operation, hash) in self._refused:
                return False
            self.replace(replace(self._now, operations={**self._now.operations, operation: hash}))
        log.warning("%s is asked for by the hash %s again.", operation, hash)
        return True

    def report(self, sign: str, label: str) -> None:
        """Tell of a sign that is no failure of a request."""
        self._told(sign, label)

    def check(self, operation: str, label: str) -> str:
        """Return the hash of *operation*.

        Raises `HashUnknown` if nobody knows it, or if Poe did not know it a moment ago; but an
        operation that every answer needs is asked for again all the same.
        """
        hash = self._now.operations.get(operation, "")
        gone = self._gone.get(operation)
        if hash and (gone is None or gone.hash != hash or self._clock() >= gone.until):
            return hash
        failure = graphql.changed(operation, hash)
        if hash:
            # Noted anew, it would never be asked for again.
            raise _with_words(failure, self._told(failure.message, label))
        raise self.met(failure, label)

    def is_refused(self, operation: str, hash: str) -> bool:
        """Whether Poe has refused *operation* by this hash a moment ago."""
        at = self._refused.get((operation, hash))
        return at is not None and self._clock() < at + GONE

    def _say(self, failure: UpstreamChanged, label: str) -> None:
        """Say in the log, once for each version of the site, what kind of failure was met."""
        with self._lock:
            is_new = type(failure) not in self._said
            self._said.add(type(failure))
        if is_new:
            log.warning("%s: %s", label, failure)

    def _note(self, failure: HashUnknown) -> None:
        operation, hash = known = failure.operation, failure.hash
        is_needed = operation in NEEDED
        lasts = PERHAPS_GONE if failure.is_perhaps else GONE
        now = self._clock()
        with self._lock:
            if not is_needed:
                self._gone[operation] = _Gone(hash, now + lasts)
            is_new = known not in self._refused
            self._refused[known] = now
        if is_new:
            more = "" if is_needed else " No answer needs it."
            log.warning("%s%s", failure.message, more)


def _with_words(failure: UpstreamChanged, what_to_do: str) -> UpstreamChanged:
    """Return *failure* with more words for the client; the log, and what is said of the account,
    do without: there they would be repeated with each request."""
    told = copy.copy(failure)
    told.message = f"{failure.message} {what_to_do}".rstrip()
    return told
