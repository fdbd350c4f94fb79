"""Whether what was found works: tried with one query that changes nothing, and costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from poe_proxy.errors import LoginFailed, UpstreamChanged, UpstreamError
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.discovery.findings import Findings
from poe_proxy.upstreams.poe_web.discovery.looking import Look
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.graphql import HashUnknown
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.site import NEEDED, Site
from poe_proxy.upstreams.poe_web.subscriptions import Subscriptions

#: What is asked: the first of these that Poe knows. Each says something of the account alone.
QUERIES: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("settingsPageQuery", {}),
    ("ChatHistoryListPaginationQuery", {"count": 1, "cursor": None}),
)
#: A subscription that there is no answer without.
_NEEDED: Final = "subscriptions.messageAdded"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it."""

    #: What was found, but for what Poe does not take.
    findings: Findings
    #: Why it does not work; empty if it does.
    failure: str = ""
    #: What is to be said besides.
    notes: tuple[str, ...] = field(default=())


class _Candidate(CurrentSite):
    """A site that is only tried: nobody else is concerned by what fails of it."""

    def met(self, failure: UpstreamChanged, label: str) -> UpstreamChanged:
        return failure


def try_out(front: Front, look: Look, site: Site, given_formkey: str | None = None) -> Trial:
    """Ask Poe with what was found in place of what *site* has; *given_formkey* is used if the page
    gives none.

    The subscriptions are tried as well where they differ, or some were not found: for the channel
    of that page, which nobody listens to. Those that were not found are left out if Poe takes no
    others.

    Raises `TokenRejected`, or another `UpstreamError` that says nothing about what was found.
    """
    findings = look.findings
    notes: list[str] = []
    known = _Candidate(findings.applied(site))
    session = Session(front, known)
    try:
        session.take_keys(look.home, look.app)
    except UpstreamChanged as failure:
        if not given_formkey:
            return Trial(findings, failure.message)
        session.take_keys(look.home, look.app, given_formkey)
        notes.append(f"It was tried with the form key that {front.label} has had before.")
    front.cookies.take(look.home.cookies)
    channel = look.home.page.channel or session.channel_data()
    session.use_channel(channel.name)
    try:
        _ask(session)
        taken = _subscribe(front, session, known, channel.name, findings, site)
    except UpstreamChanged as failure:
        return Trial(findings, failure.message, tuple(notes))
    except LoginFailed as failure:
        if failure.code != UpstreamChanged.code:
            raise
        return Trial(findings, failure.message, tuple(notes))
    if taken is not findings:
        notes.append("Poe takes subscriptions only without those that its scripts do not have.")
    if known.tag_form != known.now.tag.form:
        # The page's own function may mark what looks like no browser.
        taken = replace(taken, found={**taken.found, "tag.form": known.tag_form})
    return Trial(taken, notes=tuple(notes))


def _ask(session: Session) -> None:
    """Ask for something harmless. Raises `UpstreamError`: an `UpstreamChanged` of the last query
    if Poe knows none of them."""
    failure: UpstreamError | None = None
    for operation, variables in QUERIES:
        try:
            session.call(operation, variables)
        except HashUnknown as unknown:
            failure = unknown
        else:
            return
    assert failure is not None
    raise failure


def _subscribe(
    front: Front,
    session: Session,
    known: CurrentSite,
    channel: str,
    findings: Findings,
    site: Site,
) -> Findings:
    """Subscribe if there is anything to try in that; return *findings* as Poe takes them. Raises
    `UpstreamError`."""
    missing = _missing(findings, known.now)
    if known.now.subscriptions == site.subscriptions and not missing and not _has(findings, site):
        return findings
    subscriptions = Subscriptions(known, label=front.label)
    try:
        subscriptions.begin(session, channel)
    except UpstreamChanged:
        if not missing or _NEEDED in missing:
            raise
        # An empty hash takes it out.
        found = {**findings.found, **dict.fromkeys(missing, "")}
        findings = replace(findings, found=found)
        known.replace(findings.applied(site))
        subscriptions.begin(session, channel)
    return findings


def _has(findings: Findings, site: Site) -> bool:
    """Whether there is anything new about how one subscribes."""
    known = site.operations[NEEDED[0]]
    return findings.found.get(f"operations.{NEEDED[0]}", known) != known


def _missing(findings: Findings, site: Site) -> list[str]:
    """Return the subscriptions that were not found, but are subscribed to."""
    return [
        name
        for name in findings.missing
        if name.startswith("subscriptions.") and name.partition(".")[2] in site.subscriptions
    ]


@dataclass(frozen=True, slots=True)
class Probe:
    """What Poe says to one operation, for a report."""

    status: int
    #: What GraphQL calls the error; empty if there is none.
    error: str
    #: The `data` of the answer; None if there is none.
    data: Any = field(repr=False)


def probe(session: Session, operation: str, variables: Mapping[str, Any]) -> Probe:
    """Ask once for an *operation* that only reads, and return what came of it, whatever that is.

    Raises `UpstreamError` if there was no answer.
    """
    response = session.ask_once(operation, variables)
    try:
        answer = loads(response.content)
    except ValueError:
        answer = None
    error, data = "", None
    match answer:
        case {"errors": [{"message": str(message)}, *_]}:
            error = message
        case {"data": dict(found)}:
            data = found
    return Probe(response.status, error, data)
