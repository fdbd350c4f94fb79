"""`poe-proxy report`: what those who make poe-proxy need to know once Poe has changed its site."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poe_proxy import __version__
from poe_proxy.command import options, screen

if TYPE_CHECKING:
    from poe_proxy.errors import UpstreamError
    from poe_proxy.settings import Settings
    from poe_proxy.upstreams.poe_web import Site
    from poe_proxy.upstreams.poe_web.discovery.looking import Look
    from poe_proxy.upstreams.poe_web.discovery.service import Way
    from poe_proxy.upstreams.poe_web.session import Session

#: What is asked: it changes nothing, and nothing is charged for it. None of it names a chat, nor a
#: bot that is not known to all.
QUERIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "settingsPageQuery": {},
    "ChatHistoryListPaginationQuery": {"count": 1, "cursor": None},
    "HandleBotLandingPageQuery": {"botHandle": "Assistant"},
    "availableBotsSelectorModalPaginationQuery": {
        "botSelectorFilter": "all",
        "cursor": None,
        "filterCanvasOnlyBots": False,
        "includeHomePageBotSelectorFragment": False,
        "limit": 10,
    },
}
_FILE: Final = "poe-proxy-report.json"


@click.command()
@options.env
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=_FILE,
    metavar="FILE",
    help=f"Where it is saved; {_FILE} in this folder by default.",
)
@click.option("--yes", is_flag=True, help="Save it without asking.")
def command(output: Path, yes: bool) -> None:
    """Write down what is of use to those who make poe-proxy, once Poe has changed its site.

    The page of an account by cookie is read, and its scripts, and Poe is asked a few queries for
    which nothing is charged. The report has hashes and names of the site, statuses, and the shapes
    of answers; no text, no id and no credential. It is shown, and saved only if you say so. Nothing
    is sent anywhere.
    """
    settings = options.settings()
    try:
        text = _made(settings)
    except KeyboardInterrupt:
        click.echo()
        sys.exit(130)
    click.echo(screen.plain(text), nl=False)
    is_asked = _is_asked()
    if yes or (is_asked and click.confirm(f"Save it to {output}?", err=True)):
        try:
            output.write_text(text, "utf-8")
        except OSError as failure:
            screen.fault(f"{output} cannot be written: {failure.strerror or failure}.")
            sys.exit(1)
        screen.note(f"It is saved in {output}. Nothing was sent.")
    elif not is_asked:
        screen.note("It is not saved: --yes saves it.")


def _is_asked() -> bool:
    return screen.is_terminal() and sys.stdin.isatty()


def _made(settings: Settings) -> str:
    from poe_proxy.command import tokens
    from poe_proxy.upstreams.poe_web.discovery import reporting
    from poe_proxy.upstreams.poe_web.discovery.service import Way, age

    with tokens.of(settings) as (maker, made):
        if maker.site is None:
            screen.fault("There is no account by cookie, so there is nothing to report.")
            sys.exit(1)
        if screen.is_terminal():
            screen.note("Poe's page and its scripts are being read; that may take a minute.")
        site = maker.site.now
        today = datetime.now(UTC).date()
        ways = [one.upstream for one in made if isinstance(one.upstream, Way)]
        return reporting.drawn(
            {
                "poe_proxy": __version__,
                "python": platform.python_version(),
                "day": today.isoformat(),
                "site": {
                    "file": _kind_of_file(site, settings),
                    "own_entries": site.own,
                    "newest_evidence": site.newest,
                    "age_days": age(site.newest, today),
                },
                **gathered(site, ways),
            }
        )


def _kind_of_file(site: Site, settings: Settings) -> str:
    # Not its path, which may have a name of a person in it.
    if site.file is None:
        return "built in"
    return "POE_SITE" if settings.poe_site is not None else "beside STATE_FILE"


def gathered(site: Site, ways: Iterable[Way]) -> Mapping[str, Any]:
    """Return what is found by the first of *ways* by which the page can be read: what it has, and
    how Poe answers, to what *site* has and to what was found."""
    from poe_proxy.errors import UpstreamError
    from poe_proxy.upstreams.poe_web.discovery import reporting
    from poe_proxy.upstreams.poe_web.discovery.looking import look
    from poe_proxy.upstreams.poe_web.discovery.service import WAYS

    failures: list[str] = []
    for way in islice(ways, WAYS):
        try:
            seen = look(way.front, site)
        except UpstreamError as failure:
            failures.append(failure.code or type(failure).__name__)
            continue
        asking = _Asking(way, seen)
        answers = {"to_what_is_known": asking.answers(site)}
        if seen.findings.differences(site):
            answers["to_what_was_found"] = asking.answers(seen.findings.applied(site))
        told = {
            "page": reporting.page(seen, site, f"{way.front.url}/"),
            "others": reporting.others(seen.findings, site),
            "answers": answers,
            "hashes": reporting.hashes(site, seen),
        }
        hidden: Mapping[str, Any] = reporting.without(told, asking.secrets())
        return hidden
    return {"page_not_read": failures, "hashes": reporting.hashes(site, None)}


class _Asking:
    """Asks Poe by an account whose page was read."""

    def __init__(self, way: Way, seen: Look) -> None:
        self._way = way
        self._seen = seen
        self._secrets: set[str] = set()

    def secrets(self) -> set[str]:
        """Return what must not be told, as it is by now."""
        return {*self._secrets, *self._way.front.cookies.values.values()}

    def answers(self, site: Site) -> Mapping[str, Any]:
        """Return how Poe answers if all is as *site* has it."""
        from poe_proxy.errors import UpstreamError
        from poe_proxy.upstreams.poe_web.current import CurrentSite
        from poe_proxy.upstreams.poe_web.discovery.reporting import answer
        from poe_proxy.upstreams.poe_web.discovery.trying import probe
        from poe_proxy.upstreams.poe_web.session import Session

        told: dict[str, Any] = {}
        known = CurrentSite(site)
        known.hear(lambda _, __: "")  # nobody looks for anything here
        session = Session(self._way.front, known)
        try:
            told["form_key"] = self._take_keys(session)
            told["channel"] = self._use_channel(session)
        except UpstreamError as failure:
            return {**told, "failed": _failed(failure)}
        for operation, variables in QUERIES.items():
            if operation in site.operations:
                try:
                    told[operation] = answer(probe(session, operation, variables))
                except UpstreamError as failure:
                    told[operation] = _failed(failure)
        return told

    def _take_keys(self, session: Session) -> str:
        from poe_proxy.errors import UpstreamChanged

        seen, given = self._seen, self._way.formkey
        try:
            session.take_keys(seen.home, seen.app)
            where = "of the page"
        except UpstreamChanged:
            if not given:
                raise
            session.take_keys(seen.home, seen.app, given)
            where = "of the settings"
        self._secrets.add(session.formkey)
        return where

    def _use_channel(self, session: Session) -> str:
        found = self._seen.home.page.channel
        channel = found or session.channel_data()
        self._secrets |= {channel.name, channel.hash}
        session.use_channel(channel.name)
        return "of the page" if found else "of /api/settings"


def _failed(failure: UpstreamError) -> Mapping[str, str]:
    from poe_proxy.upstreams.poe_web.discovery.reporting import sentence

    return {"code": failure.code or "", "said": sentence(failure.message)}
