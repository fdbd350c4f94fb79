"""What a row of the table is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

#: What each row gives: figures by the end of their names.
Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How much of the load there is."""

    #: What seconds are multiplied by.
    scale: float = 1.0
    #: Silent streams, and streams that each have a text of their own.
    silent: int = 1000
    many: int = 2000

    def seconds(self, full: float) -> float:
        """Return the length of a window."""
        return max(0.1, full * self.scale)
