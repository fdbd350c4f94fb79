"""The requests of the last hour as a curve: the paths of an SVG."""

from __future__ import annotations

from collections.abc import Sequence

#: The size of the picture, in its own units.
WIDTH, HEIGHT = 600, 96
#: The fewest requests a minute that are as high as the picture: a single one is no mountain.
LEAST = 4


def paths(minutes: Sequence[Sequence[int]]) -> dict[str, str]:
    """Return what to draw for *minutes*, each with its requests and how many of them were
    refused: both as areas, the second one in front."""
    top = max([LEAST, *(one for one, _ in minutes)])
    return {
        "requests": _area([one for one, _ in minutes], top),
        "refused": _area([one for _, one in minutes], top),
    }


def _area(counts: Sequence[int], top: int) -> str:
    step = WIDTH / max(1, len(counts) - 1)
    points = [
        f"{place * step:.0f} {HEIGHT - count * (HEIGHT - 4) / top:.0f}"
        for place, count in enumerate(counts)
    ]
    return f"M0 {HEIGHT} L{' L'.join(points)} L{WIDTH} {HEIGHT} Z"
