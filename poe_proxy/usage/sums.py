"""What was used, put together from the file, a few thousand rows at a time: others have their turn
between them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

from poe_proxy.errors import InvalidRequest
from poe_proxy.net.pacing import breathe
from poe_proxy.record import CLIENT_CLOSED
from poe_proxy.usage.file import opened
from poe_proxy.usage.report import NUMBERS, Report
from poe_proxy.usage.wanted import Wanted

#: Sums by what they are of.
Groups: TypeAlias = dict[tuple[Any, ...], list[Any]]

#: The most groups of a report.
MOST_GROUPS: Final = 5000
#: Rows that are read at a time.
_ROWS: Final = 1000
#: Sums that are added up between two turns for others.
_SUMS: Final = 200

#: How the `NUMBERS` of a group are found, in their order.
SUMMED: Final = (
    "count(*)",
    f"sum(code NOT IN ('', '{CLIENT_CLOSED}'))",
    "sum(tokens_in)",
    "sum(tokens_out)",
    "sum(NOT counted)",
    "sum(estimate)",
    "sum(points)",
    "count(points)",
    "sum(coalesce(points, estimate))",
    "sum(seconds)",
)


def made(path: Path, wanted: Wanted) -> Report:
    """Return the report that is *wanted* from the file at *path*.

    Raises `sqlite3.Error`, and `InvalidRequest` if it would have too many rows.
    """
    with closing(opened(path)) as db:
        # All of it is read as it is now, whatever is written meanwhile.
        db.execute("BEGIN")
        groups = _summed(db, wanted)
        charged = [*_charged(db, wanted)] if wanted.client is None else []
    return put_together(wanted, groups, charged)


def put_together(
    wanted: Wanted, groups: Groups, charged: list[dict[str, Any]], *, whole_days: bool = False
) -> Report:
    """Return the report of what is in *groups*."""
    total: list[Any] = [None] * len(NUMBERS)
    rows = []
    for key, sums in sorted(groups.items(), key=lambda one: _place(wanted, *one)):
        add(total, sums)
        rows.append({**_named(wanted, key), **_numbers(sums)})
        if len(rows) % _SUMS == 0:
            breathe()
    return Report(wanted, rows, _numbers(total), charged, whole_days)


def _summed(db: sqlite3.Connection, wanted: Wanted) -> Groups:
    by = [_expression(name, wanted) for name in wanted.by]
    columns = ", ".join((*by, *SUMMED))
    group = f"GROUP BY {', '.join(map(str, range(1, len(by) + 1)))}" if by else ""
    only, values = ("", ()) if wanted.client is None else ("AND client = ?", (wanted.client,))
    query = f"SELECT {columns} FROM requests WHERE at >= ? AND at < ? {only} {group}"
    groups: Groups = {}
    for begin, end in _parts(db, "requests", wanted):
        found = db.execute(query, (begin, end, *values)).fetchall()
        breathe()
        for place, row in enumerate(found, 1):
            add(groups.setdefault(row[: len(by)], [None] * len(NUMBERS)), row[len(by) :])
            if place % _SUMS == 0:
                breathe()
        check_number(groups)
    if not by:
        groups.setdefault((), [None] * len(NUMBERS))
    return groups


def check_number(groups: Groups) -> None:
    """Raise `InvalidRequest` if these are too many for a report."""
    if len(groups) > MOST_GROUPS:
        raise InvalidRequest(
            f"group_by: That makes more than {MOST_GROUPS} rows; ask for a shorter time, or by "
            "less.",
            param="group_by",
        )


def _charged(db: sqlite3.Connection, wanted: Wanted) -> Iterator[dict[str, Any]]:
    sums: dict[tuple[str, int], int] = {}
    for begin, end in _parts(db, "charges", wanted):
        for account, number, points in db.execute(
            f"SELECT account, {wanted.days.sql}, sum(points) FROM charges WHERE at >= ? AND at < ? "
            "GROUP BY 1, 2",
            (begin, end),
        ):
            sums[account, number] = sums.get((account, number), 0) + points
        breathe()
    for account, number in sorted(sums):
        yield {
            "account": account,
            "day": wanted.days.name(number),
            "points": sums[account, number],
        }


def _parts(db: sqlite3.Connection, table: str, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """Yield stretches of time with some thousand rows each."""
    begin = wanted.begin
    while begin < wanted.end:
        next_one = db.execute(
            f"SELECT at FROM {table} WHERE at >= ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?",
            (begin, wanted.end, _ROWS),
        ).fetchone()
        end = wanted.end if next_one is None else max(next_one[0], begin + 1)
        yield begin, end
        begin = end


def _expression(name: str, wanted: Wanted) -> str:
    return wanted.days.sql if name == "day" else name


def add(sums: list[Any], more: list[Any] | tuple[Any, ...]) -> None:
    for place, number in enumerate(more):
        if number is not None:
            sums[place] = (sums[place] or 0) + number


def _named(wanted: Wanted, key: tuple[Any, ...]) -> dict[str, Any]:
    return {
        name: wanted.days.name(one) if name == "day" else one
        for name, one in zip(wanted.by, key, strict=True)
    }


def _numbers(sums: list[Any]) -> dict[str, Any]:
    """Return the sums by their names: what is not known is None, and all else a number."""
    named = dict(zip(NUMBERS, sums, strict=True))
    return {
        name: (0 if number is None and not name.startswith("points") else number)
        if name != "seconds"
        else round(number or 0.0, 3)
        for name, number in named.items()
    }


def _place(wanted: Wanted, key: tuple[Any, ...], sums: list[Any]) -> tuple[Any, ...]:
    """Return what decides the place of a group: days in their order, and what cost most first."""
    days = tuple(one for name, one in zip(wanted.by, key, strict=True) if name == "day")
    return (*days, -(sums[NUMBERS.index("points")] or 0), -(sums[0] or 0), key)
