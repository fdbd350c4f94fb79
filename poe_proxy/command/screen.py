"""What the command writes, for people at a terminal and for files.

Nothing that comes from outside commands the terminal: it passes `plain` or `line`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from poe_proxy import logs

#: The most characters of a cell of a table.
_WIDEST: Final = 60


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
    lines = [list(head), *([line(cell, _WIDEST) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def drawn() -> Iterator[str]:
        for cells in lines:
            placed = (
                cell.rjust(width) if place in right else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            yield "  ".join(placed).rstrip()

    first, *others = drawn()
    return "\n".join([click.style(first, bold=True), *others])


def is_terminal() -> bool:
    """Whether a person reads what we write."""
    return sys.stdout.isatty()


def note(text: str) -> None:
    """Say something that is no part of the answer."""
    click.secho(text, err=True, dim=True)


def fault(text: str) -> None:
    """Say what has failed."""
    click.secho(text, err=True, fg="red")
