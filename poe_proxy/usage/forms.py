"""A report as JSON, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from poe_proxy.moments import stamp
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
    if report.whole_days:
        body["whole_days"] = True
    if wanted.client is None:
        body["charged"] = report.charged
    return orjson.dumps(body)


def as_csv(by: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the *rows* of a report as a table, with a line of names above it; what is not known
    is empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = (*by, *NUMBERS)
    writer.writerow(names)
    for place, row in enumerate(rows, 1):
        writer.writerow([_cell(row.get(name)) for name in names])
        if place % 200 == 0:
            breathe()
    return out.getvalue()


def _cell(one: Any) -> Any:
    return f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one


def _time(microseconds: int) -> str | None:
    """Return a time in UTC; None for one that no calendar has."""
    try:
        return stamp(microseconds // MICROSECONDS)
    except (ValueError, OverflowError, OSError):
        return None
