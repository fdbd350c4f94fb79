"""A report as JSON, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from poe_proxy.net.pacing import breathe
from poe_proxy.usage.report import NUMBERS, Report
from poe_proxy.usage.rows import MICROSECONDS

#: What a spreadsheet takes for the beginning of a formula; names come from strangers.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_json(report: Report) -> bytes:
    """Return *report* as an object in the form of OpenAI's lists."""
    wanted = report.wanted
    body: dict[str, Any] = {
        "object": "list",
        "from": _time(wanted.begin),
        "to": _time(wanted.end),
        "group_by": wanted.by,
        "data": report.rows,
        "total": report.total,
    }
    if wanted.client is None:
        body["charged"] = report.charged
    return orjson.dumps(body)


def as_csv(by: tuple[str, ...], rows: list[dict[str, Any]]) -> str:
    """Return the *rows* of a report as a table, with a line of names above it; what is not known
    is empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = (*by, *NUMBERS)
    writer.writerow(names)
    for place, row in enumerate(rows, 1):
        writer.writerow([_cell(row[name]) for name in names])
        if place % 200 == 0:
            breathe()
    return out.getvalue()


def as_table(by: tuple[str, ...], report: Mapping[str, Any]) -> str:
    """Return what `as_json` makes of a report as lines for people, the sums below."""
    rows = [_shown(by, row) for row in report["data"]]
    if not rows:
        return "Nothing was used."
    if by:
        rows.append([*("total", *[""] * len(by))[: len(by)], *_shown((), report["total"])])
    head = [*by, "requests", "failed", "tokens in", "tokens out", "points", "hours"]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < len(by) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    if any("~" in row[-2] for row in rows):
        lines += ["", "~ is an estimate, in part at least: Poe's list of prices times the tokens."]
    return "\n".join(lines)


def _shown(by: tuple[str, ...], row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a line for people."""
    points = row["points"]
    sign = "" if row["requests_exact"] == row["requests"] else "~"
    return [
        *(_printable(row[name]) or "-" for name in by),
        *(f"{row[name]:,}" for name in ("requests", "failed", "tokens_in", "tokens_out")),
        "?" if points is None else f"{sign}{points:,}",
        f"{row['seconds'] / 3600:.1f}",
    ]


def _printable(name: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in name)


def _cell(one: Any) -> Any:
    return f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one


def _time(microseconds: int) -> str | None:
    """Return a time in UTC; None for one that no calendar has."""
    try:
        found = datetime.fromtimestamp(microseconds // MICROSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")
