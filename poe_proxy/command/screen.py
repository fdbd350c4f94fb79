"""What the command writes, for people at a terminal and for files.

Nothing that comes from outside commands the terminal: it passes `plain` or `line`.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

import click

from poe_proxy import logs

#: The most characters of a cell of a table.
_WIDEST: Final = 60
#: What a column keeps however narrow the terminal is.
_NARROWEST: Final = 10


def plain(text: str) -> str:
    """Return *text* with its lines as they are, and escapes in place of what a terminal obeys."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(logs.escape, one.split("\t"))) for one in lines)


def line(text: str, most: int = 400) -> str:
    """Return *text* as one line, cut if it is long."""
    shown = logs.escape(text[: most + 1])
    return f"{shown[:most]}..." if len(shown) > most else shown


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a table; the columns *right* are numbers."""
    return "\n".join(drawn(head, rows, right))


def drawn(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> Iterator[str]:
    """Yield the head of such a table, and then each row: as several lines where one is too wide for
    the terminal."""
    cells = [list(head), *([line(cell, _WIDEST) for cell in row] for row in rows)]
    widths = _fitting([max(map(len, column)) for column in zip(*cells, strict=True)])

    def placed(parts: Sequence[str]) -> str:
        both = enumerate(zip(parts, widths, strict=True))
        return "  ".join(
            part.rjust(width) if place in right else part.ljust(width)
            for place, (part, width) in both
        ).rstrip()

    for number, row in enumerate(cells):
        broken = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
        text = "\n".join(map(placed, zip_longest(*broken, fillvalue="")))
        yield text if number else click.style(text, bold=True)


def _fitting(widths: list[int]) -> list[int]:
    """Return *widths*, the widest ones narrower as far as the terminal wants it."""
    if is_terminal():
        room = shutil.get_terminal_size().columns - 2 * (len(widths) - 1)
        while sum(widths) > room and (most := max(widths)) > _NARROWEST:
            widths[widths.index(most)] -= 1
    return widths


def _broken(cell: str, width: int) -> list[str]:
    return [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)


def is_terminal() -> bool:
    """Whether a person reads what we write."""
    return sys.stdout.isatty()


def note(text: str) -> None:
    """Say something that is no part of the answer."""
    click.secho(text, err=True, dim=True)


def fault(text: str) -> None:
    """Say what has failed."""
    click.secho(text, err=True, fg="red")
