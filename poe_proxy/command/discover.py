"""`poe-proxy discover`: what has Poe changed on its site?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from poe_proxy.command import options, screen

if TYPE_CHECKING:
    from poe_proxy.command.tokens import Tokens
    from poe_proxy.settings import Settings
    from poe_proxy.upstreams.poe_web.current import CurrentSite
    from poe_proxy.upstreams.poe_web.discovery.service import Outcome

#: The most seconds that it takes; a look by one account has limits of its own.
PATIENCE: Final = 300.0
#: The most characters of a value at a terminal, unless all of them are wanted.
_SHORT: Final = 20
_SHOWN: Final = 12

_BY_HAND: Final = (
    "docs/when-poe-changes.md tells how to find each value with a browser; `poe-proxy report` "
    "writes down what is of use to those who make poe-proxy."
)
_COLOURS: Final = {
    "ok": "green",
    "new": "green",
    "gone": "yellow",
    "note": "yellow",
    "wrong": "red",
}


@click.command()
@options.env
@click.option("--dry-run", is_flag=True, help="Write nothing.")
@click.option("--long", is_flag=True, help="Show hashes whole, at a terminal too.")
def command(dry_run: bool, long: bool) -> None:
    """Look for what Poe has changed on its site, try it, and write it down.

    The page of an account by cookie is read, and its scripts. What differs from what is known is
    tried with one query, for which nothing is charged. If Poe takes it, it is written to the file
    that POE_SITE names, or to site.toml beside STATE_FILE; a server that runs takes it from there.
    The exit status is 1 if nothing could be found that works.
    """
    settings = options.settings()
    try:
        outcome = _look(settings)
    except KeyboardInterrupt:
        click.echo()
        sys.exit(130)
    if outcome is None:
        screen.fault(f"Poe's page and its scripts were not read within {PATIENCE:.0f} s.")
        sys.exit(1)
    is_short = screen.is_terminal() and not long
    for mark, text in told(outcome, is_short):
        tell(mark, text)
    is_kept = outcome.word != "mended" or dry_run or _keep(outcome, settings.site_at)
    if outcome.word == "mended" and dry_run:
        tell("note", "Nothing was written: --dry-run.")
    sys.exit(outcome.word not in ("mended", "same") or not is_kept)


def tell(mark: str, text: str) -> None:
    """Print a line with this *mark*."""
    click.echo(f"{click.style(f'{mark:5}', fg=_COLOURS[mark])}  {screen.line(text, 2000)}")


def _look(settings: Settings) -> Outcome | None:
    from poe_proxy.command import tokens

    with tokens.of(settings) as (maker, made):
        if maker.site is None:
            screen.fault(
                "There is no account by cookie. Keys of the official API have nothing to do with "
                "Poe's site."
            )
            sys.exit(1)
        if screen.is_terminal():
            screen.note("Poe's page and its scripts are being read; that may take a minute.")
        return look(maker.site, made)


def look(site: CurrentSite, tokens: Tokens) -> Outcome | None:
    """Return what comes of looking by the accounts of *tokens*, those by cookie, one after the
    other until one can be used; None if it takes too long. Nothing is written."""
    from poe_proxy.upstreams.poe_web.discovery.service import Discoverer, Way

    ways = [token.upstream for token in tokens if isinstance(token.upstream, Way)]
    discoverer = Discoverer(site, lambda _: ways, is_automatic=lambda: False)
    with closing(discoverer):
        discoverer.start()
        return discoverer.discover(PATIENCE)


def told(outcome: Outcome, is_short: bool) -> Iterator[tuple[str, str]]:
    """Yield what is said of *outcome*, as marks and sentences; *is_short* cuts hashes."""
    from poe_proxy.upstreams.poe_web.discovery.service import NOWHERE

    def shown(value: str) -> str:
        if not value:
            return "none"
        is_cut = is_short and len(value) > _SHORT
        return f"{value[:_SHOWN]}…" if is_cut else value

    for one in outcome.differs:
        yield "new", f"{one.name}: {shown(one.before)} → {shown(one.after)}"
    for name in outcome.missing:
        yield "gone", f"{name}: neither the page nor its scripts have it"
    for note in outcome.notes:
        if note != NOWHERE:  # said in other words, and by whoever writes
            yield "note", note
    if outcome.word == "mended":
        yield "ok", f"Poe takes what is new, from {outcome.account}."
    elif outcome.word == "same":
        yield "ok", outcome.said
        if outcome.missing:
            yield "note", _BY_HAND
    else:
        yield "wrong", outcome.said
        yield "note", _BY_HAND


def _keep(outcome: Outcome, path: Path | None) -> bool:
    """Write what was found to the file at *path*, and say so; or show what such a file would have.
    Return whether nothing has failed."""
    from poe_proxy.upstreams.poe_web.discovery import writing

    day = datetime.fromtimestamp(outcome.at, UTC).date().isoformat()
    trouble = ""
    if path is not None:
        had_one = path.exists()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.write(path, outcome.found, day)
        except (OSError, ValueError) as failure:
            trouble = str(getattr(failure, "strerror", None) or failure)
        else:
            backup = writing.backup_of(path).name
            before = f" What that had before is beside it, in {backup}." if had_one else ""
            tell("ok", f"It is written to {path}.{before}")
            tell("ok", "A server that runs with these settings uses it within seconds.")
            return True
    why = (
        f"{path} cannot be written: {trouble}."
        if path
        else "Neither POE_SITE nor STATE_FILE is set."
    )
    tell("wrong" if trouble else "note", f"{why} A file for POE_SITE would have this:")
    changed = {one.name: outcome.found[one.name] for one in outcome.differs}
    click.echo(f"\n{screen.plain(writing.text_with(changed, day))}", nl=False)
    return not trouble
