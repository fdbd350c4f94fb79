"""`poe-proxy usage`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from poe_proxy.command import asking, options, screen
from poe_proxy.errors import InvalidRequest
from poe_proxy.settings import Settings
from poe_proxy.usage import forms, wanted

_COUNTS: Final = ("requests", "failed", "tokens_in", "tokens_out")
_HEAD: Final = ("requests", "failed", "tokens in", "tokens out", "points", "hours")


@click.command()
@options.env
@options.server
@click.option("--from", "begin", metavar="DAY", help="From this day or time; 30 days by default.")
@click.option("--to", "end", metavar="DAY", help="To this day, or before this time; else now.")
@click.option(
    "--by",
    "group_by",
    default="client",
    show_default=True,
    help=f"What is put together: {', '.join(wanted.GROUPS)}, or several with commas.",
)
@click.option("--csv", "form", flag_value="csv", help="A table for spreadsheets.")
@click.option("--json", "form", flag_value="json", help="The answer of GET /v1/usage.")
def command(
    url: str | None,
    key: str | None,
    begin: str | None,
    end: str | None,
    group_by: str,
    form: str | None,
) -> None:
    """Show who used what, and what it cost.

    It asks the server that runs, with ADMIN_KEY, or another one with --url and --key; a client's
    key shows its own use. If no server runs here, it reads the file of usage records.
    """
    given = {"from": begin, "to": end, "group_by": group_by}
    fields = {name: value for name, value in given.items() if value}
    told, whose = _told(url, key, fields)
    by, rows = told.get("group_by"), told.get("data")
    if not isinstance(by, list) or not isinstance(rows, list):
        raise asking.Trouble("There was no answer that makes sense.")
    if form == "json":
        click.echo(json.dumps(told, indent=2))
    elif form == "csv":
        table = forms.as_csv(by, rows)
        # In a file a name stands as it is; a terminal would obey what is in it.
        click.echo(screen.plain(table) if screen.is_terminal() else table, nl=False)
    else:
        _show(by, rows, told.get("total"))
        if screen.is_terminal():
            screen.note(screen.line(f"{told.get('from')} to {told.get('to')}, {whose}"))


def _told(
    url: str | None, key: str | None, fields: Mapping[str, str]
) -> tuple[Mapping[str, Any], str]:
    """Return what is told, and by whom."""
    try:
        server = asking.admin(url, key)
    except asking.Trouble:
        if url is not None or key is not None:
            raise
        settings = options.settings()
        if settings.usage_at is None or not settings.usage_at.exists():
            raise
        whose = ", of this host alone" if settings.redis_url else ""
        return (
            _read(settings, settings.usage_at, fields),
            f"as {settings.usage_at} has it{whose}",
        )
    with server:
        return asking.ask(server, "GET", f"/v1/usage?{urlencode(fields)}"), f"as {server.name} says"


def _read(settings: Settings, path: Path, fields: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what the file at *path* tells."""
    from poe_proxy.usage import sums

    try:
        days = wanted.Days(settings.day_begins)
        report = sums.made(path, wanted.read(fields, now=time.time(), days=days))
    except InvalidRequest as refused:
        raise asking.Trouble(refused.message) from None
    except sqlite3.Error as failure:
        raise asking.Trouble(f"{path} cannot be read: {failure}.") from None
    return asking.object_of(forms.as_json(report))


def _show(by: Sequence[str], rows: Sequence[Mapping[str, Any]], total: Any) -> None:
    """Print a table for people, the sums below."""
    shown = [[*(str(row.get(name) or "-") for name in by), *_numbers(row)] for row in rows]
    if not rows:
        click.echo("Nothing was used.")
        return
    if by and isinstance(total, Mapping):
        shown.append([*["total", *[""] * len(by)][: len(by)], *_numbers(total)])
    right = range(len(by), len(by) + len(_HEAD))
    click.echo(screen.table([*by, *_HEAD], shown, right=right))
    if any(row[-2].startswith("~") for row in shown):
        screen.note("~: an estimate in part at least, the tokens times Poe's list prices")


def _numbers(row: Mapping[str, Any]) -> list[str]:
    points, seconds = row.get("points"), row.get("seconds")
    sign = "" if row.get("requests_exact") == row.get("requests") else "~"
    return [
        *(_number(row.get(name)) for name in _COUNTS),
        f"{sign}{_number(points)}" if isinstance(points, int) else "?",
        f"{seconds / 3600:.1f}" if isinstance(seconds, int | float) else "",
    ]


def _number(given: Any) -> str:
    return f"{given:,}" if isinstance(given, int) else ""
