"""How much of what there is to show fits on the page, which is to stay small.

Long texts are cut first, then there are fewer rows. What a text takes is counted as it stands in
the page: in UTF-8, with what is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from markupsafe import escape

#: The most bytes of the page. It may be more with more than 20 accounts: each has its row.
MOST_BYTES: Final = 60_000
#: What is there whatever has happened, in bytes: style, script, headings, the curve; and what a
#: button has said, at most.
FRAME: Final = 19_600
MOST_NOTICE: Final = 1_200
#: What surrounds the texts of an account, with its buttons; those of a row, and of a cell.
_ACCOUNT: Final = 1_080
_ROW, _CELL = 9, 9
#: The most bytes of a text, the longest first: those are taken with which all fits.
_LENGTHS: Final = (600, 300, 150, 80)
#: How often an account's label is in the page, besides its cell: in the addresses of its buttons.
_LABELS: Final = 7
#: What the cells of an account with Poe's own words end with, and what those that tell of Poe's
#: site begin with; all others are short.
_WORDS: Final = " why"
_SITE: Final = "site"
#: The most rows of a table, and those that it has however little room there is.
MOST_ROWS: Final = 50
LEAST_ROWS: Final = 5

Row = Sequence[str]


def fitted(page: Mapping[str, Any], whole: Sequence[str] = ()) -> dict[str, Any]:
    """Return *page*, as `page.everything` has it, with no more than fits: of the tables named in
    *whole* each row."""
    for most in _LENGTHS:
        cells = {
            name: cut(text, most) if name.endswith(_WORDS) or name.startswith(_SITE) else text
            for name, text in page["cells"].items()
        }
        tables = {
            name: [
                [cut(text, most) for text in row]
                for row in (rows if name in whole else rows[:MOST_ROWS])
            ]
            for name, rows in page["tables"].items()
        }
        room = MOST_BYTES - FRAME - sum(map(size, cells.values()))
        room -= sum(_ACCOUNT + _LABELS * size(label) for label in page["accounts"])
        room -= sum(_cost(row) for name in whole for row in tables[name])
        shared = {name: rows for name, rows in tables.items() if name not in whole}
        if sum(_cost(row) for rows in shared.values() for row in rows) <= room:
            break
    return {**page, "cells": cells, "tables": tables | _share(shared, room)}


def cut(text: str, most: int) -> str:
    """Return the beginning of *text* that takes no more than so many bytes in the page."""
    if size(text) <= most:
        return text
    for place, one in enumerate(text):
        most -= size(one)
        if most < 0:
            return text[:place]
    return text


def size(text: str) -> int:
    """Return how many bytes a text takes in the page."""
    return len(escape(text).encode())


def _share(tables: Mapping[str, Sequence[Row]], room: int) -> dict[str, Sequence[Row]]:
    """Return what fits of each table. Each has the same room; what a small one leaves is for those
    that are larger."""
    costs = {name: [_cost(row) for row in rows] for name, rows in tables.items()}
    kept: dict[str, Sequence[Row]] = {}
    for left, name in zip(
        range(len(tables), 0, -1), sorted(tables, key=lambda one: sum(costs[one])), strict=True
    ):
        number = max(LEAST_ROWS, _number(costs[name], room // left))
        kept[name] = tables[name][:number]
        room -= sum(costs[name][:number])
    return kept


def _number(costs: Iterable[int], room: int) -> int:
    """Return how many rows of these *costs* fit, from the first one on."""
    number = 0
    for cost in costs:
        room -= cost
        if room < 0:
            break
        number += 1
    return number


def _cost(row: Row) -> int:
    return _ROW + sum(_CELL + size(text) for text in row)
