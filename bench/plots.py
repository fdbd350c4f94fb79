"""Three pictures of the results, as SVG that is read on light and on dark ground alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from bench.peers import PEERS
from bench.targets import Medians

_WIDTH: Final = 720
#: Colours of the peers on light and on dark ground.
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "keys": ("#2a78d6", "#4a93e8"),
    "cookies": ("#d9571f", "#f07a45"),
    "bare": ("#148a5f", "#2fb583"),
    "direct": ("#777777", "#9a9a9a"),
    "nginx": ("#a87800", "#d6a21e"),
    "litellm": ("#5a48b8", "#9b8df0"),
    "portkey": ("#c2477f", "#e57fae"),
}
_CLIENTS: Final = (1, 16, 64)

TITLES: Final = {
    "latency": "Latency to the first text against clients in parallel",
    "cpu": "CPU of a piece of text, spaced and saturated",
    "memory": "Memory at start and of a silent stream",
}


def latency(medians: Medians) -> str:
    """Lines of p50 and p99 over the number of clients, both axes logarithmic."""
    picture = _Picture(TITLES["latency"], 440)
    left, right, top, bottom = 70, 540, 70, 380
    series = {
        peer: [
            (clients, found[f"first.p50_{clients}"], found[f"first.p99_{clients}"])
            for clients in _CLIENTS
            if f"first.p50_{clients}" in found
        ]
        for peer, found in medians.items()
    }
    series = {peer: points for peer, points in series.items() if points}
    values = [value for points in series.values() for _, *both in points for value in both]
    low, high = _decades(values)

    def x(clients: int) -> float:
        return left + (right - left) * math.log(clients) / math.log(_CLIENTS[-1])

    def y(value: float) -> float:
        return bottom - (bottom - top) * (math.log10(max(value, low)) - math.log10(low)) / (
            math.log10(high) - math.log10(low)
        )

    picture.text(left, 52, "milliseconds; lines: p50, dotted: p99", "note")
    step = low
    while step <= high * 1.001:
        picture.line((left, y(step)), (right, y(step)), "grid")
        picture.text(left - 8, y(step) + 4, f"{step:g}", "axis end")
        step *= 10
    for clients in _CLIENTS:
        picture.text(x(clients), bottom + 20, str(clients), "axis middle")
    picture.text((left + right) / 2, bottom + 42, "clients in parallel", "axis middle")
    ends = {peer: y(points[-1][1]) for peer, points in series.items()}
    places = _apart(ends, 16)
    for peer, points in series.items():
        picture.path([(x(c), y(high_)) for c, _, high_ in points], f"{peer} dotted")
        picture.path([(x(c), y(middle)) for c, middle, _ in points], peer)
        for clients, middle, _ in points:
            picture.dot(x(clients), y(middle), peer)
        label = f"{PEERS[peer].title} {_short(points[-1][1])}"
        picture.text(right + 12, places[peer] + 4, label, f"label {peer}-text")
    return picture.svg()


def cpu(medians: Medians) -> str:
    """Bars of both kinds of piece for each peer."""
    return _bars(
        medians,
        TITLES["cpu"],
        (("spaced.cpu", "20 ms apart", "µs"), ("saturated.cpu", "as fast as they come", "µs")),
    )


def memory(medians: Medians) -> str:
    """Bars of both kinds of memory for each peer."""
    return _bars(
        medians,
        TITLES["memory"],
        (("start.memory", "at start", "MB"), ("silent.each", "of a silent stream", "KB")),
    )


def _bars(medians: Medians, title: str, panels: Sequence[tuple[str, str, str]]) -> str:
    peers = [
        peer
        for peer, found in medians.items()
        if peer != "direct" and any(name in found for name, _, _ in panels)
    ]
    height, top = 30, 84
    picture = _Picture(title, top + height * len(peers) + 16)
    width = 200.0
    for place, (name, what, unit) in enumerate(panels):
        left = 170 + place * 275
        picture.text(left, top - 16, f"{what}, {unit}", "note")
        most = max((medians[peer].get(name, 0.0) for peer in peers), default=0.0)
        for row, peer in enumerate(peers):
            at = top + row * height
            if place == 0:
                picture.text(158, at + 15, PEERS[peer].title, "label end")
            value = medians[peer].get(name)
            if value is None:
                picture.text(left + 4, at + 15, "-", "axis")
                continue
            long = max(1.5, width * max(0.0, value) / most) if most > 0 else 1.5
            picture.bar(left, at, long, height - 10, peer)
            picture.text(left + long + 6, at + 15, _short(value), "label")
    return picture.svg()


PLOTS: Final[Mapping[str, Callable[[Medians], str]]] = {
    "latency": latency,
    "cpu": cpu,
    "memory": memory,
}


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Return the powers of ten around *values*."""
    found = [value for value in values if value > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(found)))
    return low, max(low * 10, 10.0 ** math.ceil(math.log10(max(found))))


def _apart(places: Mapping[str, float], gap: float) -> dict[str, float]:
    """Return *places*, moved so far that labels do not lie upon each other."""
    moved: dict[str, float] = {}
    last = -math.inf
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        last = max(place, last + gap)
        moved[name] = last
    return moved


@dataclass
class _Picture:
    """An SVG being drawn."""

    title: str
    height: int

    def __post_init__(self) -> None:
        self._parts: list[str] = []

    def text(self, x: float, y: float, words: str, kind: str) -> None:
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>')

    def line(self, one: tuple[float, float], other: tuple[float, float], kind: str) -> None:
        self.path([one, other], kind)

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{where}" class="line {kind}"/>')

    def dot(self, x: float, y: float, kind: str) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind}-fill"/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
            f'class="{kind}-fill"/>'
        )

    def svg(self) -> str:
        """Return it."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self.height}" '
            f'width="{_WIDTH}" height="{self.height}" role="img">'
        )
        title = f"<title>{escape(self.title)}</title>"
        ground = f'<rect width="{_WIDTH}" height="{self.height}" class="ground"/>'
        heading = f'<text x="20" y="28" class="heading">{escape(self.title)}</text>'
        style = "<style>" + "".join(_style()) + "</style>"
        return "\n".join([head, title, style, ground, heading, *self._parts, "</svg>"]) + "\n"


def _style() -> Iterator[str]:
    yield "text{font:13px system-ui,sans-serif;fill:#1f2328}"
    yield ".heading{font-size:15px;font-weight:600}.note,.axis{fill:#59636e;font-size:12px}"
    yield ".end{text-anchor:end}.middle{text-anchor:middle}.ground{fill:#ffffff}"
    yield ".line{fill:none;stroke-width:2}.grid{stroke:#d1d9e0;stroke-width:1}"
    yield ".dotted{stroke-dasharray:2 4;stroke-width:1.5}"
    for peer, (light, _) in _COLOURS.items():
        yield f".{peer}{{stroke:{light}}}.{peer}-fill,.{peer}-text{{fill:{light}}}"
    yield "@media (prefers-color-scheme:dark){"
    yield "text{fill:#e6edf3}.note,.axis{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#3d444d}"
    for peer, (_, dark) in _COLOURS.items():
        yield f".{peer}{{stroke:{dark}}}.{peer}-fill,.{peer}-text{{fill:{dark}}}"
    yield "}"
