"""`make bench`: the proxy compared with a direct connection, on both ways to Poe, in one run.

Everything is on this machine, so read the ratios: the absolute figures are the machine's own.
The proxy has a core to itself where there are two; the stand-in and the load share the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import load, servers
from .load import Stream, Target
from .servers import Process

KEY = "sk-bench"
ACCOUNTS = 20


@dataclass
class Row:
    """One line of the table: a figure for each way of asking."""

    what: str
    unit: str
    figures: dict[str, float]

    def __str__(self) -> str:
        cells = "".join(f"{self.figures.get(way, float('nan')):>12.2f}" for way in WAYS)
        return f"{self.what:<46}{self.unit:>8}{cells}".replace("nan", "  -")


WAYS = ("direct", "keys", "cookies")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the load, 0.01 to 1")
    scale = parser.parse_args().scale
    os.sched_setaffinity(0, servers.cores()[1])
    tokens = [f"account-{n}" for n in range(ACCOUNTS)]
    keys = [f"key-{n}" for n in range(ACCOUNTS)]
    print(f"{'':<54}" + "".join(f"{way:>12}" for way in WAYS))
    with servers.stand_in(tokens, keys) as poe:
        direct = Target("direct", poe.url, keys[0])
        ways: dict[str, tuple[Target, Process]] = {"direct": (direct, poe)}
        with (
            servers.proxy(poe.url, KEY, {"POE_API_KEYS": ",".join(keys)}) as by_keys,
            servers.proxy(poe.url, KEY, {"TOKENS": ",".join(tokens)}) as by_cookies,
        ):
            ways["keys"] = Target("keys", by_keys.url, KEY), by_keys
            ways["cookies"] = Target("cookies", by_cookies.url, KEY), by_cookies
            for measure in (latency, open_streams, in_flight, unstreamed, chunks, apis, flat):
                for row in measure(ways, scale):
                    print(row, flush=True)
    return 0


def latency(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """One client, one reply at a time: from the stand-in's sending to the client's reading."""
    count = max(20, int(200 * scale))
    runs: dict[str, Sequence[Stream]] = {way: [] for way in ways}
    for way, (target, _) in ways.items():
        asyncio.run(load.streams(target, "!stamp=5", 2 * ACCOUNTS, 1))  # logins
        runs[way] = asyncio.run(load.streams(target, "!stamp=10 !delay=0.01", count, 1))
    firsts = {way: [s.lags[0] * 1000 for s in run] for way, run in runs.items()}
    later = {way: [lag * 1000 for s in run for lag in s.lags[1:]] for way, run in runs.items()}
    asked = {way: [s.first_text * 1000 for s in run] for way, run in runs.items()}
    return [
        Row("lag of the first text behind Poe, median", "ms", _median(firsts)),
        Row("lag of the first text behind Poe, 99 of 100", "ms", _high(firsts)),
        Row("lag of later text behind Poe, median", "ms", _median(later)),
        Row("from the request to the first text, median", "ms", _median(asked)),
    ]


def in_flight(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """200 replies at once over 20 tokens: does one wait for another?"""
    seconds = max(0.5, 4 * scale)
    prompt = f"!stamp={round(seconds / 0.1)} !delay=0.1"
    runs = {
        way: asyncio.run(load.streams(target, prompt, 200, 200))
        for way, (target, _) in ways.items()
    }
    lags = {way: [lag * 1000 for s in run for lag in s.lags] for way, run in runs.items()}
    ends = {way: [s.done - s.asked for s in run] for way, run in runs.items()}
    return [
        Row("200 in flight: lag of text, median", "ms", _median(lags)),
        Row("200 in flight: lag of text, 99 of 100", "ms", _high(lags)),
        Row(
            f"200 in flight: slowest whole reply ({seconds:g} s of text)",
            "s",
            {w: max(e) for w, e in ends.items()},
        ),
    ]


def unstreamed(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """Short whole answers, 32 at a time."""
    count = max(100, int(2000 * scale))
    rate, cpu = {}, {}
    for way, (target, process) in ways.items():
        before = process.cpu()
        seconds = asyncio.run(load.whole(target, "!echo hello !chunks=1", count, 32))
        rate[way], cpu[way] = count / seconds, (process.cpu() - before) / count * 1000
    return [
        Row("whole answers", "1/s", rate),
        Row("CPU for a whole answer", "ms", cpu),
    ]


def chunks(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """Long replies as fast as Poe sends them, 32 at a time."""
    count, pieces = max(32, int(320 * scale)), 200
    rate, cpu = {}, {}
    for way, (target, process) in ways.items():
        before = process.cpu()
        runs = asyncio.run(load.streams(target, f"!stamp={pieces}", count, 32))
        seconds = max(s.done for s in runs) - min(s.asked for s in runs)
        heard = sum(len(s.pieces) for s in runs)
        rate[way], cpu[way] = heard / seconds, (process.cpu() - before) / heard * 1_000_000
    return [
        Row("pieces of text", "1/s", rate),
        Row("CPU for a piece of text", "µs", cpu),
    ]


APIS = {"chat": load.CHAT, "Responses": load.RESPONSES, "Messages": load.MESSAGES}


def apis(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """The APIs side by side, by turns, since a machine is not as fast all the time."""
    rounds, count, pieces = max(1, round(5 * scale)), max(32, int(64 * scale)), 200
    firsts: dict[str, dict[str, list[float]]] = {name: {} for name in APIS}
    cpu: dict[str, dict[str, float]] = {name: {} for name in APIS}
    for way, (target, process) in ways.items():
        if way == "direct":
            continue
        spent, heard = dict.fromkeys(APIS, 0.0), dict.fromkeys(APIS, 0)
        for _ in range(rounds):
            for name, api in APIS.items():
                asked = replace(target, api=api)
                one = asyncio.run(load.streams(asked, "!stamp=2", max(20, int(20 * scale)), 1))
                firsts[name].setdefault(way, []).extend(s.first_text * 1000 for s in one)
                before = process.cpu()
                runs = asyncio.run(load.streams(asked, f"!stamp={pieces}", count, 32))
                spent[name] += process.cpu() - before
                heard[name] += sum(len(s.pieces) for s in runs)
        for name in APIS:
            cpu[name][way] = spent[name] / heard[name] * 1_000_000
    return [
        row
        for name in APIS
        for row in (
            Row(f"{name}: from the request to the first text", "ms", _median(firsts[name])),
            Row(f"{name}: CPU for a piece of text", "µs", cpu[name]),
        )
    ]


def open_streams(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """Memory of a stream that is open and silent, measured before load has grown the heap."""
    count = max(100, int(1000 * scale))
    each = {
        way: asyncio.run(load.memory_of_open_streams(target, process, count))
        for way, (target, process) in ways.items()
        if way != "direct"
    }
    return [Row(f"memory for each of {count} open streams", "KB", each)]


def flat(ways: dict[str, tuple[Target, Process]], scale: float) -> Sequence[Row]:
    """Memory over many requests."""
    count = int(10_000 * scale)
    first, last = {}, {}
    for way, (target, process) in ways.items():
        if way == "direct":
            continue
        asyncio.run(load.whole(target, "!echo hello !chunks=1", count // 5, 32))
        first[way] = process.memory()
        asyncio.run(load.whole(target, "!echo hello !chunks=1", count - count // 5, 32))
        last[way] = process.memory()
    return [
        Row(f"memory after {count // 5} requests", "MB", first),
        Row(f"memory after {count} requests", "MB", last),
    ]


def _median(figures: dict[str, list[float]]) -> dict[str, float]:
    return {way: statistics.median(values) for way, values in figures.items()}


def _high(figures: dict[str, list[float]]) -> dict[str, float]:
    return {way: statistics.quantiles(values, n=100)[98] for way, values in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
