"""A look at Poe's page and its scripts: what they have, as entries of a site file.

The page's own scripts come first, then those that its manifest names, then those of webpack's
runtime, and only as long as something is missing (web protocol sheet §5.6). Scripts are fetched
without cookies; nothing of them is run but in the sandbox.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal, TypeAlias

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import UpstreamChanged, UpstreamError, UpstreamProtocolError
from poe_proxy.upstreams.bulk import search
from poe_proxy.upstreams.poe_web import formkey, pages
from poe_proxy.upstreams.poe_web.addresses import is_allowed
from poe_proxy.upstreams.poe_web.discovery import artefacts, scripts, tagging
from poe_proxy.upstreams.poe_web.discovery.artefacts import subscription_operation
from poe_proxy.upstreams.poe_web.discovery.findings import SOURCE, Findings, Value
from poe_proxy.upstreams.poe_web.front import MAX_APPS, Front, Home
from poe_proxy.upstreams.poe_web.programs import ProgramFailed, run
from poe_proxy.upstreams.poe_web.site import Site, compiled, is_word
from poe_proxy.upstreams.poe_web.transport import TooLong

#: The most scripts that are fetched, bytes of one and of all, and seconds that all of it may take.
MAX_SCRIPTS: Final = 300
MAX_SCRIPT: Final = 16_000_000
MAX_BYTES: Final = 64_000_000
SECONDS: Final = 60.0
#: Seconds of computing on it.
COMPUTING: Final = 10.0
#: Seconds for one script.
_SCRIPT: Final = 15.0
#: Seconds after which no other scripts are tried for the form key.
TRYING: Final = 20.0
#: Characters of the page's own scripts that are kept, for what is looked for in them later.
_KEPT: Final = 16_000_000


#: The page's own code, the scripts that it names, and those that its manifest and webpack's runtime
#: name.
Where: TypeAlias = Literal["page", "scripts", "manifest", "runtime"]


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the page."""

    address: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen."""

    home: Home
    #: The text of the scripts that the form key needs.
    app: tuple[str, ...] = field(repr=False)
    findings: Findings
    #: How many scripts were read, and their bytes.
    scripts: int
    size: int
    #: In which scripts hashes were found, by the names of their entries.
    where: Mapping[str, Where] = field(default_factory=dict)


def look(
    front: Front,
    site: Site,
    *,
    clock: Callable[[], float] = time.monotonic,
    goes_on: Callable[[], bool] = lambda: True,
) -> Look:
    """Look at the page of an account and at its scripts, for what *site* needs of them.

    It ends early once *goes_on* says so. Raises `UpstreamError` if the page cannot be read.
    """
    return _Looking(front, site, clock, goes_on).look()


class _Looking:
    def __init__(
        self, front: Front, site: Site, clock: Callable[[], float], goes_on: Callable[[], bool]
    ) -> None:
        self._front = front
        self._site = site
        self._clock = clock
        self._goes_on = goes_on
        self._until = clock() + SECONDS
        self._budget = Budget(COMPUTING)
        dropped = _dropped(site)
        self._names = {
            **{name: f"operations.{name}" for name in site.operations},
            **{
                subscription_operation(name): f"subscriptions.{name}"
                for name in (*site.subscriptions, *dropped)
            },
        }
        self._left = set(self._names)
        #: What need not be there.
        self._optional = {subscription_operation(name) for name in dropped}
        self._found: dict[str, Value] = {}
        self._where: dict[str, Where] = {}
        self._place: Where = "page"
        self._notes: list[str] = []
        #: The page's own scripts, as far as they are kept.
        self._own: list[Script] = []
        self._seen: set[str] = set()
        self._size = self._fetched = 0
        self._getter = self._signer = self._revision = ""

    def look(self) -> Look:
        home = self._front.home(self._site)
        url = f"{self._front.url}/"
        self._home, self._url = home, url
        try:
            with self._computing():
                self._read_inline(home.page.inline)
            self._read_own(home.page.scripts)
            self._read_others(home.page.scripts)
        except OutOfBudget:
            self._note("Reading the scripts takes too long; the rest was left out.")
        app = self._find_formkey()
        self._find_tag()
        missing = tuple(sorted(self._names[name] for name in self._left - self._optional))
        findings = Findings(dict(sorted(self._found.items())), missing, tuple(self._notes))
        return Look(home, app, findings, self._fetched, self._size, self._where)

    # ---- scripts

    def _read_inline(self, blocks: Iterable[str]) -> None:
        for block in blocks:
            self._scan(block)

    def _read_own(self, addresses: Sequence[str]) -> None:
        kept = 0
        self._place = "scripts"
        for address in addresses:
            if scripts.is_manifest(address):
                continue  # it names scripts, and is read for that
            text = self._fetch(address)
            if not text:
                continue
            if kept + len(text) > _KEPT:
                self._note("The form key and the tag were not looked for in all of the scripts.")
                continue
            kept += len(text)
            self._own.append(Script(address, text))

    def _read_others(self, addresses: Sequence[str]) -> None:
        """Read the scripts that manifest and runtime name, while something is missing."""
        ways: tuple[tuple[Where, Callable[[], Iterator[str]]], ...] = (
            ("manifest", partial(self._in_manifest, addresses)),
            ("runtime", self._in_runtime),
        )
        for self._place, named in ways:
            if self._is_complete:
                return
            for address in named():
                if self._is_complete or not self._may_go_on():
                    return
                self._fetch(address)

    @property
    def _is_complete(self) -> bool:
        return self._left <= self._optional and bool(self._signer)

    def _may_go_on(self) -> bool:
        is_over = (
            self._fetched >= MAX_SCRIPTS
            or self._size >= MAX_BYTES
            or self._clock() >= self._until
            or not self._goes_on()
        )
        if is_over:
            self._note(
                f"Only the first {self._fetched} scripts ({self._size / 1e6:.1f} MB) were read."
            )
        return not is_over

    def _in_manifest(self, addresses: Sequence[str]) -> Iterator[str]:
        for address in addresses:
            if scripts.is_manifest(address) and (base := scripts.base_of(address)):
                text = self._fetch(address)
                with self._computing():
                    found = scripts.in_manifest(text, base, self._budget)
                yield from found

    def _in_runtime(self) -> Iterator[str]:
        for script in self._own:
            base = scripts.base_of(script.address)
            if base and scripts.is_runtime(script.address, script.text):
                with self._computing():
                    found = scripts.in_runtime(script.text, base, self._budget)
                yield from found

    def _fetch(self, address: str) -> str:
        """Return the text of a script that was not read yet; empty if it cannot be read."""
        if address in self._seen or not is_allowed(address, self._url):
            return ""
        self._seen.add(address)
        if not self._may_go_on():
            return ""
        at_most = min(MAX_SCRIPT, MAX_BYTES - self._size)
        limit = min(_SCRIPT, max(0.1, self._until - self._clock()))
        self._fetched += 1
        try:
            text, size = self._front.script(address, at_most, limit)
        except UpstreamError as failure:
            # What it had is missing then.
            self._size += at_most if isinstance(failure, TooLong) else 0
            self._note(f"A script could not be read: {failure.message}")
            return ""
        self._size += size
        if not text:
            self._note("A script is empty, or not there.")
        with self._computing():
            self._scan(text)
        return text

    def _scan(self, text: str) -> None:
        patterns, budget = self._site.patterns, self._budget
        for name, hash in artefacts.find(text, self._left, budget).items():
            self._left.discard(name)
            self._found[self._names[name]] = hash
            self._where[self._names[name]] = self._place
        self._getter = self._getter or _word(patterns.getter_named, text, budget)
        self._signer = self._signer or _first(patterns.tag_function, text, budget)
        for pattern in patterns.revision:
            self._revision = self._revision or _word(pattern, text, budget)

    # ---- the form key

    def _find_formkey(self) -> tuple[str, ...]:
        """Find what the form key needs of the scripts; return their texts."""
        usual = [one for one in self._own if one.address in self._home.page.app_scripts[:MAX_APPS]]
        texts = tuple(one.text for one in usual)
        failure = ""
        until = self._clock() + TRYING
        try:
            for chosen in self._choices(usual):
                if failure and (self._clock() >= until or not self._goes_on()):
                    break
                app = tuple(one.text for one in chosen)
                try:
                    name = self._name_of_getter(app)
                except (UpstreamChanged, UpstreamProtocolError) as failed:
                    failure = failure or failed.message
                    continue
                if name != self._site.getter_name:
                    self._found["pages.getter_name"] = name
                if chosen != usual:
                    self._found["pages.app_script"] = self._pattern_of(chosen)
                self._find_revision(app)
                return app
        except OutOfBudget:
            failure = failure or "Looking for the form key takes too long."
        self._note(failure)
        return texts

    def _name_of_getter(self, app: Sequence[str]) -> str:
        """Return the name that a login has to know to compute the form key from these scripts; the
        one that is known, if that will do. Raises what computing it raises."""
        known = self._site.getter_name
        keys: dict[str, str] = {}
        failed: Exception | None = None
        for name in dict.fromkeys((known, self._getter or known)):
            site = replace(self._site, getter_name=name)
            try:
                with self._computing():
                    program = pages.formkey_program(self._home.page, app, site, self._budget)
                keys[name] = formkey.evaluate(program, site.limits.script)
            except (UpstreamChanged, UpstreamProtocolError) as failure:
                failed = failed or failure
        if not keys:
            assert failed is not None
            raise failed
        # If they disagree, the name beside `setClientFormkey` is right (§25).
        *_, best = keys
        return known if keys.get(known) == keys[best] else best

    def _choices(self, usual: list[Script]) -> Iterator[list[Script]]:
        """Yield which scripts may do: those that a login reads, then those that have the secret,
        then one more, which may have the getter."""
        yield usual
        patterns, budget = self._site.patterns, self._budget
        with self._computing():
            secret = [one for one in self._own if patterns.secret_after in one.text]
            secret = secret or [
                one for one in self._own if search(patterns.secret_anywhere, one.text, budget)
            ]
            getter = [
                one
                for one in self._own
                if search(patterns.getter, one.text, budget)
                or (self._getter and self._getter in one.text)
            ]
        secret = secret[: MAX_APPS - 1]
        if secret != usual:
            yield secret
        for one in getter[:MAX_GETTERS]:
            if one not in secret:
                # A login reads them in the order of the page.
                yield [each for each in self._own if each in secret or each is one]

    def _pattern_of(self, chosen: Sequence[Script]) -> str:
        """Return the pattern by which a login finds the *chosen* scripts among those of the page,
        and no others: what is known, and what is to stay in later releases, if that will do."""
        known = self._site.patterns.app_script.pattern
        addresses = [one.address for one in chosen]
        stems = [_stem(one) for one in addresses]
        new = [_stem(one) for one in addresses if one not in self._home.page.app_scripts]
        for parts in ([known, *new], new, stems):
            pattern = "|".join(dict.fromkeys(parts))
            if parts and self._read_by(pattern) == addresses:
                return pattern
        return "|".join(re.escape(_name(one)) for one in addresses)

    def _read_by(self, pattern: str) -> list[str]:
        """Return the scripts that a login reads by that *pattern*."""
        found = compiled("pages.app_script", pattern, groups=0)
        with self._computing():
            named = [one for one in self._home.page.scripts if search(found, one, self._budget)]
        return named[:MAX_APPS]

    def _find_revision(self, app: Sequence[str]) -> None:
        """Find a revision that a login would not see by itself."""
        try:
            seen = pages.find_revision(self._home.page, app, self._site, self._home.budget)
        except UpstreamProtocolError as failure:
            self._note(failure.message)
            return
        if seen is None and self._revision:
            self._found["pages.revision_seen"] = self._revision

    # ---- the tag

    def _find_tag(self) -> None:
        answer = None
        blocks = self._home.page.inline
        if self._signer:
            defines = [one.text for one in self._own if self._signer in one.text]
            try:
                with self._computing():
                    functions = [
                        each for one in defines for each in pages.code_of(one, self._budget)
                    ]
                agent = self._site.headers["User-Agent"]
                program = tagging.program(blocks, functions, self._signer, agent)
                answer = run(program, self._site.limits.script)
            except (ProgramFailed, OutOfBudget) as failure:
                why = str(failure) or "it takes too long"
                self._note(f"The page's function for the tag cannot be run: {why}.")
                return
        found = tagging.solve(answer)
        if isinstance(found, str):
            self._note(found)
            return
        self._found["tag.salt"] = found.salt
        self._found["tag.form"] = found.form
        self._found["tag.order"] = found.order

    # ---- what they share

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with self._budget.work("looking for what Poe has changed"):
            yield

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes.append(sentence[:MAX_NOTE])


#: The most sentences of notes, and characters of each.
MAX_NOTES: Final = 20
MAX_NOTE: Final = 500
#: The most scripts that are tried because they may have the getter.
MAX_GETTERS: Final = 5


def _first(pattern: re.Pattern[str], text: str, budget: Budget) -> str:
    found = search(pattern, text, budget)
    return found[1] if found else ""


def _word(pattern: re.Pattern[str], text: str, budget: Budget) -> str:
    """Return what is found if a site file may have it: one entry that it may not have would keep
    all others out of it."""
    found = _first(pattern, text, budget)
    return found if is_word(found) else ""


def _dropped(site: Site) -> list[str]:
    """Return the subscriptions that were taken out because Poe did not have them once."""
    known = (
        name.removeprefix("subscriptions.")
        for name, evidence in site.evidence.items()
        if name.startswith("subscriptions.") and evidence.source == SOURCE
    )
    return [name for name in known if name not in site.subscriptions]


_CHUNKS: Final = "/static/chunks/"
_DIGEST: Final = re.compile(r"[.-][0-9a-f]{8,64}\.js\Z")


def _name(address: str) -> str:
    """Return the part of an address that is a script's own: behind the folder of all of them."""
    path = address.partition("?")[0].partition("#")[0]
    _, folder, name = path.rpartition(_CHUNKS)
    return f"{folder}{name}" if folder else f"/{path.rpartition('/')[2]}"


def _stem(address: str) -> str:
    """Return a pattern for the script of that *address*, in later releases too if its name says
    more than what its content's digest is."""
    name = _name(address)
    stem = _DIGEST.sub("", name)
    is_word = stem != name and re.search(r"[A-Za-z_]{3}", stem.rpartition("/")[2]) is not None
    return rf"{re.escape(stem)}[.-][0-9a-f]+\.js" if is_word else re.escape(name)
