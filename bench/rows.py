"""The rows of the table: what is asked, and what is read off while it is answered."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench import load, several
from bench.load import Failed, Target
from bench.measuring import Figures, Size
from bench.peers import ADMIN_KEY, PEERS, Running
from bench.processes import ROOT, SERVER
from bench.texts import EACH, GATED, PLAIN, SILENT, Wanted, content


@dataclass(frozen=True)
class Row:
    """Figures that are measured together."""

    measure: Callable[[Running, Size], Figures]
    #: What its figures are called in the table, in order, and their units.
    figures: Mapping[str, tuple[str, str]]
    #: Whether one round is enough: what it measures hardly varies.
    once: bool = False
    #: The peers that it is for; empty: all.
    only: tuple[str, ...] = ()


_WHOLE: Final = Wanted()
_CLIENTS: Final = (1, 16, 64)


def start(it: Running, _: Size) -> Figures:
    """How long it took to the first answer, and its memory then."""
    if not it.started:
        return {}
    time.sleep(0.3)
    return {"seconds": it.started, "memory": it.process.memory()}


def warm_up(it: Running) -> None:
    """Let the first requests pay for logins and for what is only made when it is needed."""
    load.closed(it.target, Wanted(3, form=EACH), 8, 0.5, streams=True)


def silent(it: Running, size: Size) -> Figures:
    """Many streams that have said one word: their memory, and the CPU that their silence takes."""
    if not it.started:
        return {}
    before = it.process.memory()
    wanted = [Wanted(1, 60_000, form=SILENT)] * size.silent
    held = load.hold(it.target, wanted, 30)
    try:
        if held.failures:
            raise Failed(f"{len(held.failures)} streams failed, the first: {held.failures[0]}")
        time.sleep(size.seconds(1))
        each = (it.process.memory() - before) * 1024 / size.silent
        cpu, began = it.process.cpu(), time.monotonic()
        time.sleep(size.seconds(4))
        cores = (it.process.cpu() - cpu) / (time.monotonic() - began)
    finally:
        held.close()
    # What is not given back by then is looked for a while.
    until = time.monotonic() + 10 * min(1.0, size.scale)
    while (kept := it.process.memory() - before) > 15 and time.monotonic() < until:
        time.sleep(0.5)
    return {"each": each, "cores": cores, "kept": kept}


def whole(it: Running, size: Size) -> Figures:
    """Whole answers of 200 characters, asked for by 16 clients, each again at once."""
    window = load.closed(it.target, _WHOLE, 16, size.seconds(2), streams=False, used=it.process.cpu)
    window.check()
    return {
        "rate": window.done / window.seconds,
        "cpu": window.cpu / window.done * 1e6,
        "p50": load.median(window.took) * 1000,
        "p99": load.high(window.took) * 1000,
        "load": window.own / window.seconds,
    }


def first(it: Running, size: Size) -> Figures:
    """Streams of three pieces: from the request to the first text."""
    figures = {}
    for clients in _CLIENTS:
        window = load.closed(
            it.target,
            Wanted(3, form=EACH),
            clients,
            size.seconds(1.5),
            streams=True,
            answers=clients,
        )
        window.check()
        figures[f"p50_{clients}"] = load.median(window.first) * 1000
        figures[f"p99_{clients}"] = load.high(window.first) * 1000
    return figures


def spaced(it: Running, size: Size) -> Figures:
    """20 streams with a piece each 20 ms: a thousand pieces a second, each its own wake-up."""
    wanted = Wanted(50, 20, form=EACH)
    window = load.closed(
        it.target, wanted, 20, size.seconds(3), streams=True, used=it.process.cpu, lags=True
    )
    window.check()
    return {
        "cpu": window.cpu / window.pieces * 1e6,
        "p50": load.median(window.lags) * 1000,
        "p99": load.high(window.lags) * 1000,
        "rate": window.pieces / window.seconds,
    }


def _saturated(it: Running, size: Size, wanted: Wanted) -> Figures:
    window = load.closed(it.target, wanted, 32, size.seconds(3), streams=True, used=it.process.cpu)
    window.check()
    return {
        "rate": window.pieces / window.seconds,
        "cpu": window.cpu / window.pieces * 1e6,
        # By whole streams: there are APIs that say all text again at the end.
        "each": window.cpu / max(1, window.done) / wanted.pieces * 1e6,
        "load": window.own / window.seconds,
    }


def saturated(it: Running, size: Size) -> Figures:
    """32 streams of 200 pieces as fast as they come."""
    return _saturated(it, size, Wanted(200, form=EACH))


def short(it: Running, size: Size) -> Figures:
    """The same with replies of 2,000 characters: 48 pieces, their stamps included."""
    return _saturated(it, size, Wanted(48, form=EACH))


def apis(it: Running, size: Size) -> Figures:
    """The same streams in the other two APIs."""
    figures = {}
    for path in ("responses", "messages"):
        other = replace(it, target=replace(it.target, path=f"/v1/{path}"))
        figures[path] = _saturated(other, size, Wanted(48, form=EACH))["each"]
    return figures


def flood(it: Running, size: Size) -> Figures:
    """A reply of 100,000 characters by cookie, each of its 5,000 frames with all of the text."""
    pieces = max(100, round(5000 * min(1.0, size.scale)))
    wanted = Wanted(pieces, form=PLAIN)
    before = it.process.cpu()
    _ask(it, wanted)
    cpu = it.process.cpu() - before
    floor, size_mb = _dropped(it.upstream, wanted)

    def ask_in_background() -> None:
        try:
            _ask(it, wanted)
        except (OSError, Failed) as failure:
            failures.append(failure)

    failures: list[Exception] = []
    flooded = threading.Thread(target=ask_in_background)
    flooded.start()
    others = []
    while flooded.is_alive():
        began = time.monotonic()
        it.target.ask(_WHOLE, streams=False)
        others.append(time.monotonic() - began)
    flooded.join()
    if failures:
        raise failures[0]
    return {
        "cpu": cpu,
        "drop": floor,
        "times": cpu / floor,
        "MB": size_mb,
        "other_p50": load.median(others) * 1000,
        "other_p99": load.high(others) * 1000,
    }


def _ask(it: Running, wanted: Wanted) -> None:
    said = content(it.target.ask(wanted, streams=True, timeout=60))
    if said != wanted.text():
        raise Failed(f"{len(said)} characters in place of {len(wanted.text())}")


def _dropped(upstream: int, wanted: Wanted) -> tuple[float, float]:
    """Return the CPU seconds of who receives the same frames and drops them, and their MB."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, SERVER)
    try:
        said = subprocess.run(
            [
                *(sys.executable, "-m", "gevent.monkey", "bench/drop.py"),
                *(str(upstream), wanted.prompt()),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.sched_setaffinity(0, ours)
    cpu, size = said.stdout.split()
    return float(cpu), float(size)


def many(it: Running, size: Size) -> Figures:
    """Streams that are all open at once, each with a text of its own, compared to the letter."""
    gap = round(500 * max(0.1, min(1.0, size.scale)))
    wanted = [Wanted(10, gap, form=GATED, own=str(number)) for number in range(size.many)]
    most, right, failures = load.exact(it.target, wanted, Target(it.upstream), 90)
    if right < size.many:
        raise Failed(f"{right} of {size.many} had their own exact text; {failures[:1]}")
    return {"at_once": most, "right": right}


#: What whoever runs the server looks at while it serves.
_LOOKS: Final = ("health", "ready", "metrics", "status", "status.json")


def looks(it: Running, size: Size) -> Figures:
    """How long it takes to look at the server while many streams are open."""
    wanted = [Wanted(1, 60_000, form=SILENT)] * size.many
    held = load.hold(it.target, wanted, 60)
    try:
        if held.failures:
            raise Failed(f"{len(held.failures)} streams failed, the first: {held.failures[0]}")
        figures = {"open": float(size.many)}
        for path in _LOOKS:
            took = []
            for _ in range(20):
                began = time.monotonic()
                _look(it.target.port, f"/{path}")
                took.append(time.monotonic() - began)
            figures[f"{path}_p50"] = load.median(took) * 1000
            figures[f"{path}_max"] = max(took) * 1000
        return figures
    finally:
        held.close()


def _look(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise Failed(f"{path}: {answer.status}")


def is_for(row: str, peer: str) -> bool:
    """Whether *peer* is measured for *row*."""
    only, rows = ROWS[row].only, PEERS[peer].rows
    return row in rows or (not rows and (not only or peer in only))


ROWS: Final[Mapping[str, Row]] = {
    "start": Row(
        start,
        {
            "seconds": ("from start to first answer", "s"),
            "memory": ("memory (PSS) at start", "MB"),
        },
    ),
    "whole": Row(
        whole,
        {
            "rate": ("whole answers, 16 at a time", "1/s"),
            "cpu": ("CPU of one", "µs"),
            "p50": ("the time that one takes then, p50", "ms"),
            "p99": ("p99", "ms"),
            "load": ("the load's own CPU meanwhile", "cores"),
        },
    ),
    "first": Row(
        first,
        {
            f"{which}_{clients}": (
                f"to the first text, {clients} at a time, {which}"
                if clients > 1
                else f"to the first text, one client, {which}",
                "ms",
            )
            for clients in _CLIENTS
            for which in ("p50", "p99")
        },
    ),
    "spaced": Row(
        spaced,
        {
            "cpu": ("CPU of a piece, 20 streams, 20 ms apart", "µs"),
            "p50": ("a piece is late by, p50", "ms"),
            "p99": ("p99", "ms"),
            "rate": ("pieces", "1/s"),
        },
    ),
    "saturated": Row(
        saturated,
        {
            "rate": ("pieces, 32 streams as fast as they come", "1/s"),
            "cpu": ("CPU of a piece then", "µs"),
            "load": ("the load's own CPU meanwhile", "cores"),
        },
    ),
    "short": Row(
        short,
        {
            "rate": ("pieces, replies to 2,000 characters", "1/s"),
            "cpu": ("CPU of a piece then", "µs"),
        },
        only=("keys", "cookies", "bare"),
    ),
    "apis": Row(
        apis,
        {
            "responses": ("the same in Responses", "µs"),
            "messages": ("the same in Messages", "µs"),
        },
        only=("keys", "cookies"),
    ),
    "flood": Row(
        flood,
        {
            "cpu": ("CPU of a reply of 100,000 characters in 5,000 frames", "s"),
            "drop": ("CPU of who receives and drops them", "s"),
            "times": ("times that", ""),
            "other_p50": ("another request meanwhile, p50", "ms"),
            "other_p99": ("p99", "ms"),
        },
        only=("cookies",),
    ),
    # Behind the others: who had a thousand streams may be at work on their end for a while.
    "silent": Row(
        silent,
        {
            "each": ("memory of a silent stream", "KB"),
            "cores": ("CPU of all silent streams together", "cores"),
            "kept": ("memory that is not given back once they have left", "MB"),
        },
        once=True,
    ),
    "looks": Row(
        looks,
        {
            "open": ("streams open while the server is looked at", ""),
            **{
                f"{path}_{which}": (f"`GET /{path}` then, {which}", "ms")
                for path in _LOOKS
                for which in ("p50", "max")
            },
        },
        once=True,
        only=("noted",),
    ),
    "many": Row(
        many,
        {
            "at_once": ("streams open at once", ""),
            "right": ("of which had their own exact text", ""),
        },
        once=True,
        only=("keys", "cookies", "bare"),
    ),
    "alone": Row(
        several.alone,
        {
            "p50": ("a whole answer, one client, p50", "ms"),
            "p99": ("p99", "ms"),
        },
        only=("keys",),
    ),
    "redis": Row(
        several.redis,
        {
            "scripts": ("scripts in Redis for a whole answer, 16 at a time", ""),
            "script": ("time of one in Redis", "µs"),
            "cpu": ("CPU of Redis for an answer", "µs"),
            "cores": ("CPU of Redis then", "cores"),
        },
        only=("shared1", "shared2", "shared4"),
    ),
    "quarters": Row(
        several.quarters,
        {
            "rate": ("whole answers, a quarter of a core for each worker", "1/s"),
            "cores": ("of which they used", "cores"),
        },
        only=("keys",),
    ),
    "wakes": Row(
        several.wakes,
        {
            "p50": ("from the end of an answer to the next one's first text elsewhere, p50", "ms"),
            "p99": ("p99", "ms"),
            "same_p50": ("the same within a worker, p50", "ms"),
            "same_p99": ("p99", "ms"),
        },
        only=("hosts",),
    ),
    "death": Row(
        several.death,
        {"seconds": ("from `kill -9` of a worker until its account is lent again", "s")},
        once=True,
        only=("hosts",),
    ),
}
