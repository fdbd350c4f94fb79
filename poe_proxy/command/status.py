"""`poe-proxy status`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from poe_proxy.command import asking, options, screen

_COLOURS: Final = {"well": "green", "calm": None, "poor": "yellow", "bad": "red"}
#: What is shown of each account, besides its name and how it is.
_COLUMNS: Final = ("use", "points", "last")
#: The failures that are shown.
_MOST_FAILURES: Final = 5


@click.command()
@options.env
@options.server
@click.option("--json", "as_json", is_flag=True, help="All numbers, as GET /status.json has them.")
def command(url: str | None, key: str | None, as_json: bool) -> None:
    """Show how the server that runs is, and each of its accounts. It needs ADMIN_KEY.

    It is what the page at /status shows. No account is asked for it.
    """
    with asking.admin(url, key) as server:
        told = asking.ask(server, "GET", "/status.json")
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    try:
        lines = list(_lines(told))
    except (KeyError, TypeError, ValueError):
        raise asking.Trouble(
            "The server tells of itself in another way: it is not of this version. --json shows it."
        ) from None
    for line in lines:
        click.echo(line)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    # The words of the page, which need no more than this.
    from poe_proxy.server.admin import site
    from poe_proxy.server.admin.page import everything
    from poe_proxy.server.admin.words import LANGUAGES, Words

    language = "zh" if os.environ.get("LANG", "").startswith("zh") else LANGUAGES[0]
    words = Words(language)
    page = everything(told, words)
    cells, levels = page["cells"], page["levels"]
    yield click.style(screen.line(cells["sentence"]), bold=True, fg=_COLOURS[levels["sentence"]])
    if cells["others"]:
        yield screen.line(cells["others"])
    yield click.style(screen.line(f"{told['version']} · {cells['head']}"), dim=True)
    yield (
        f"{words('waiting')} {cells['waiting']} {cells['places']}; {words('longest')} "
        f"{cells['longest']}; {words('requests')}: {cells['requests']}, {cells['refused']}"
    )
    if told["site"] is not None:
        first, *more = site.lines(told["site"], told["now"], words)
        yield f"{words('site')}: {screen.line(first)}"
        for line in more:
            yield click.style(f"    {screen.line(line)}", dim=True)
    yield ""
    yield _accounts(page, words)
    tables = page["tables"]
    for name, rows in (
        ("differs", tables.get("differs", [])),
        ("workers", tables.get("workers", [])),
        ("clients", tables["clients"]),
        ("failures", tables["failures"][:_MOST_FAILURES]),
    ):
        if rows:
            yield ""
            yield screen.table([words(one) for one in _columns(name)], rows)


def _columns(name: str) -> tuple[str, ...]:
    from poe_proxy.server.admin.page import COLUMNS

    return tuple(COLUMNS[name])


def _accounts(page: Mapping[str, Any], words: Any) -> str:
    """Return the table of accounts; beneath the name of one that is held back, until when and
    why, and beneath any when it gets points, if Poe tells."""
    rows, colours, notes = [], [], []
    for place, label in enumerate(page["accounts"]):
        cell = {name: page["cells"][f"{place} {name}"] for name in ("state", *_COLUMNS)}
        rows.append([label, *(", ".join(text.split("\n")) for text in cell.values())])
        colours.append(_COLOURS[page["levels"][f"{place} state"]])
        said = [page["cells"][f"{place} {name}"] for name in ("until", "why", "grant")]
        notes.append(" · ".join(filter(None, said)))
    head, *drawn = screen.drawn([words(one) for one in ("account", "state", *_COLUMNS)], rows)
    lines = [head]
    for line, colour, note in zip(drawn, colours, notes, strict=True):
        lines.append(click.style(line, fg=colour) if colour else line)
        if note:
            lines.append(click.style(f"    {screen.line(note)}", dim=True))
    return "\n".join(lines)
