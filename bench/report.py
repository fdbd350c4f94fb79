"""The results, as they are printed and as they stand in RESULTS.md."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import plots
from bench.peers import PEERS
from bench.processes import OTHERS, SERVER
from bench.rows import ROWS, Size
from bench.targets import TARGETS, Medians


@dataclass
class Results:
    """What a run has measured."""

    rounds: int
    size: Size
    versions: Mapping[str, str]
    #: By peer and by name of a figure: what each round had.
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    #: What did not work.
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, peer: str, row: str, figures: Mapping[str, float]) -> None:
        """Note what one round has measured."""
        for name, value in figures.items():
            self.figures.setdefault(peer, {}).setdefault(f"{row}.{name}", []).append(value)

    def medians(self) -> Medians:
        """Return the median of each figure."""
        return {
            peer: {name: statistics.median(values) for name, values in figures.items()}
            for peer, figures in self.figures.items()
        }


def figure(value: float | None) -> str:
    """Return *value* with as many digits as say something."""
    if value is None or value != value:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.0005 else "0"


def rows(medians: Medians, *, several: bool = False) -> Iterator[list[str]]:
    """Yield the table, head first: that of one process, or that of *several* workers, which has
    this proxy by key beside them."""
    peers = [name for name in PEERS if medians.get(name) and bool(PEERS[name].rows) == several]
    if several and peers and medians.get("keys"):
        peers.insert(0, "keys")
    yield ["", *(PEERS[name].title for name in peers)]
    names = {name for peer in peers for name in PEERS[peer].rows} if several else ROWS.keys()
    for name, row in ROWS.items():
        if name not in names:
            continue
        for key, (label, unit) in row.figures.items():
            found = [medians[peer].get(f"{name}.{key}") for peer in peers]
            if any(value is not None for value in found):
                yield [f"{label}, {unit}" if unit else label, *map(figure, found)]


def _several(medians: Medians) -> list[list[str]]:
    found = list(rows(medians, several=True))
    return found if len(found) > 1 else []


def targets(medians: Medians) -> Iterator[list[str]]:
    """Yield the table of targets, head first."""
    yield ["target", "limit", "measured", ""]
    for target in TARGETS:
        value = target.value(medians)
        verdict = "not measured"
        if value is not None:
            verdict = "met" if target.is_met(value) else "MISSED"
        yield [target.what, target.bound, figure(value), verdict]


def limits(medians: Medians) -> Iterator[str]:
    """Yield what shows whether mock and load were the limit."""
    direct = medians.get("direct", {})
    for name, what in (("whole.rate", "whole answers"), ("saturated.rate", "pieces")):
        others = {
            peer: found[name]
            for peer, found in medians.items()
            if peer != "direct" and name in found and not PEERS[peer].rows
        }
        if name not in direct or not others:
            continue
        for group, peers in (
            ("every proxy that is no nginx", [peer for peer in others if peer != "nginx"]),
            ("nginx", ["nginx"] if "nginx" in others else []),
        ):
            if peers:
                fastest = max(peers, key=others.__getitem__)
                times = direct[name] / others[fastest]
                title = "" if group == "nginx" else f" (the fastest: {PEERS[fastest].title})"
                yield (
                    f"Mock and load by themselves do {figure(direct[name])} {what} a second on "
                    f"their core, {times:.1f} times as many as with {group}{title}."
                )


def printed(results: Results) -> str:
    """Return the tables as they are printed."""
    medians = results.medians()
    parts = [_columns(list(rows(medians))), "\n".join(limits(medians))]
    parts += [_columns(found)] if (found := _several(medians)) else []
    measured = [row for row in targets(medians) if row[-1] != "not measured"]
    if len(measured) > 1:
        parts.append(_columns(measured))
    parts += ["\n".join(results.troubles)]
    return "\n\n".join(part for part in parts if part)


def write(results: Results, folder: Path) -> None:
    """Write RESULTS.md and the plots."""
    medians = results.medians()
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    drawn = {name: draw(medians) for name, draw in plots.PLOTS.items()}
    for name, picture in drawn.items():
        (folder / f"plots/{name}.svg").write_text(picture)
    missed = [row for row in targets(medians) if row[-1] == "MISSED"]
    parts = [
        "# Results",
        f"Written by `make bench`; [README.md](README.md) says what the rows mean. "
        f"Medians of {results.rounds} interleaved rounds at scale {results.size.scale:g}, "
        f"{results.seconds / 60:.0f} minutes in "
        f"all. Everything is on one machine, so read the ratios.",
        _markdown([["machine", ""], *machine()]),
        _markdown([["peer", "what it is", "version"], *_peers(results)]),
        "## Targets",
        _markdown(list(targets(medians))),
        "What stands in the way of those that are missed: "
        "[README.md](README.md#what-stands-in-the-way)."
        if missed
        else "",
        "## Figures",
        _markdown(list(rows(medians))),
        "\n".join(limits(medians)),
        *(("## Several workers", _markdown(found)) if (found := _several(medians)) else ()),
        *(f"- {trouble}" for trouble in results.troubles),
        "## Plots",
        *(f"![{plots.TITLES[name]}](plots/{name}.svg)" for name in drawn),
    ]
    (folder / "RESULTS.md").write_text("\n\n".join(part for part in parts if part) + "\n")


def machine() -> list[list[str]]:
    """Return what is measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [
        ["processor", f"{model}, {os.cpu_count()} cores"],
        ["memory", f"{pages / 2**30:.0f} GB"],
        ["kernel", f"{platform.system()} {platform.release()}"],
        ["Python", f"{platform.python_version()} ({platform.python_compiler()})"],
        ["date", time.strftime("%Y-%m-%d")],
        [
            "cores",
            f"server on {_names(SERVER)}, mock and load on {_names(OTHERS)}",
        ],
        ["others at work", f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes"],
    ]


def _names(cores: set[int]) -> str:
    return "core " + " and ".join(map(str, sorted(cores)))


def _peers(results: Results) -> list[list[str]]:
    return [
        [peer.title, peer.what, results.versions.get(name) or "not installed here: left out"]
        for name, peer in PEERS.items()
    ]


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = table
    lines = [
        head,
        ["---"] + ["---:" if _is_figures(table, n) else "---" for n in range(1, len(head))],
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [*lines, *body])


def _is_figures(table: Sequence[Sequence[str]], column: int) -> bool:
    cells = [row[column] for row in table[1:]]
    return all(
        cell.replace(",", "").replace(".", "").strip("-").isdigit() or cell == "-" for cell in cells
    )


def _columns(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        first, *others = row
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
