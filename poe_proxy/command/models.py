"""`poe-proxy models`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import click

from poe_proxy.command import asking, options, screen
from poe_proxy.prices import POINT

_HEAD: Final = ("model", "maker", "reads", "$ in", "$ out", "points")
_MILLION: Final = 1_000_000


@click.command()
@options.env
@options.server
@click.option("--json", "as_json", is_flag=True, help="The entries as GET /v1/models has them.")
@click.argument("filter", default="", metavar="[FILTER]")
def command(url: str | None, key: str | None, as_json: bool, filter: str) -> None:
    """List what can be asked, and what it costs.

    FILTER is a part of a model's name or its maker's. Prices are Poe's list prices, where it gives
    any: US dollars for a million tokens read and written, or points for a request.
    """
    with asking.someone(url, key) as server:
        data = asking.ask(server, "GET", "/v1/models").get("data")
    wanted = filter.lower()
    entries = [
        one
        for one in (data if isinstance(data, list) else [])
        if wanted in str(one.get("id", "")).lower() or wanted in str(one.get("owned_by")).lower()
    ]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
    elif entries:
        click.echo(screen.table(_HEAD, map(_row, entries), right=(2, 3, 4, 5)))
        if screen.is_terminal():
            screen.note(f"{len(entries)} models, by {server.name}")
    else:
        raise asking.Trouble(f"No model's name has {filter!r} in it.")


def _row(entry: Mapping[str, Any]) -> list[str]:
    pricing = entry.get("pricing")
    prices = pricing if isinstance(pricing, dict) else {}
    reads = entry.get("context_length")
    return [
        str(entry.get("id", "")),
        str(entry.get("owned_by", "")),
        f"{reads:,}" if isinstance(reads, int) else "",
        *_per_million(prices),
        _points(prices),
    ]


def _per_million(prices: Mapping[str, Any]) -> Iterator[str]:
    for name in ("prompt", "completion"):
        price = _number(prices.get(name))
        yield "" if price is None else f"{price * _MILLION:.2f}"


def _points(prices: Mapping[str, Any]) -> str:
    price = _number(prices.get("request"))
    return "" if price is None else f"{price / POINT:,.0f}"


def _number(given: Any) -> Decimal | None:
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < _MILLION else None
