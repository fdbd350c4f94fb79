"""`poe-proxy doctor`."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from poe_proxy import __version__
from poe_proxy.command import options, screen
from poe_proxy.environment import dotenv

if TYPE_CHECKING:
    from poe_proxy.command.looking import Finding, Way
    from poe_proxy.settings import Settings

_COLOURS: Final = {"ok": "green", "note": "yellow", "wrong": "red"}


@click.command()
@options.env
@options.server
@click.option("--all", "with_defaults", is_flag=True, help="Show settings at their defaults, too.")
def command(url: str | None, key: str | None, with_defaults: bool) -> None:
    """Look for what is wrong, and say what to do.

    At the settings and where each comes from, at what is known of Poe's site, at the way to Poe, at
    Redis if workers share a pool there, at the clock and the port; with --url also at what is in
    front of the server, such as nginx. No account is used: `check` does that. The exit status is 1
    if something is wrong.
    """
    click.echo(
        f"poe-proxy {__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    is_wrong = False
    try:
        for title, findings in _sections(url, key, with_defaults):
            click.secho(f"\n{title}", bold=True)
            for finding in findings:
                tell(finding)
                is_wrong = is_wrong or finding.mark == "wrong"
    except KeyboardInterrupt:
        click.echo()
        sys.exit(130)
    sys.exit(is_wrong)


def tell(finding: Finding, indent: str = "  ") -> None:
    """Print *finding*, behind so many blanks."""
    mark = click.style(f"{finding.mark:5}", fg=_COLOURS[finding.mark])
    click.echo(f"{indent}{mark}  {screen.line(finding.text, 2000)}")
    if finding.remedy:
        click.echo(f"{indent}       {screen.line(finding.remedy, 1000)}")


def _sections(
    url: str | None, key: str | None, with_defaults: bool
) -> Iterator[tuple[str, Iterator[Finding]]]:
    from poe_proxy.command import looking

    settings, problems = options.settings_that_are_right()
    yield "Settings", _look_at_settings(settings, problems, with_defaults)
    for way in _ways(settings):
        yield f"The way to {way.name}", looking.look_at_way(way)
    if settings.redis_url is not None:
        yield "The pool in Redis", looking.look_at_redis(settings)
    yield "This computer", looking.look_at_port(settings)
    if url is not None:
        first = next(iter(settings.auth_keys), None)
        yield "What is in front", looking.look_at_public(url, key or first)


def _look_at_settings(
    settings: Settings, problems: dict[str, list[str]], with_defaults: bool
) -> Iterator[Finding]:
    from poe_proxy.command.looking import Finding, look_at_site
    from poe_proxy.origins import origins
    from poe_proxy.server import several
    from poe_proxy.settings import Settings

    path = dotenv()
    if not path.exists():
        yield Finding("note", f"There is no {path} here; all is from the environment.")
    try:
        found = origins(Settings, path)
    except (OSError, ValueError):
        found = []  # it is among the problems
    for one in found:
        if one.is_set or with_defaults:
            value = f" = {one.shown}" if one.is_set else ""
            yield Finding("ok", f"{one.name}{value} ({one.where})")
    if not with_defaults and found:
        number = sum(not one.is_set for one in found)
        yield Finding("ok", f"{number} more are at their defaults; --all shows them")
    for name, why in problems.items():
        yield Finding("wrong", f"{name}: {' '.join(' '.join(why).split())}")
    yield from look_at_site(settings)
    if not problems and settings.workers > 1 and (against := several.against(settings)):
        yield Finding("wrong", f"WEB_CONCURRENCY: the server does not start. {against}")


def _ways(settings: Settings) -> list[Way]:
    """Return the ways to Poe that the accounts go, each once."""
    from poe_proxy import accounts
    from poe_proxy.command.looking import Way
    from poe_proxy.settings import BadSettings
    from poe_proxy.upstreams.poe_web import Site

    try:
        known = {(one.kind, one.proxy): None for one in accounts.read(settings)}
    except (BadSettings, ValueError):
        known = {("cookie", settings.proxy): None, ("key", settings.proxy): None}
    # A browser's name: others are shown a challenge page sooner.
    agent = {"User-Agent": Site.load(None).headers["User-Agent"]}
    by_kind = {
        "cookie": (settings.poe_web_url, "/login"),
        "key": (settings.poe_api_url, "/v1/models"),
    }
    return [Way(*by_kind[kind], agent, proxy) for kind, proxy in known]
