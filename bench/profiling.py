"""Where the time goes: `python -m bench profile [--peers keys,cookies,bare] [--works whole,...]`.

For each kind of work it says how much CPU a unit takes, and which layer has it: a sample belongs to
the innermost function of a layer, so what a layer calls in the standard library is its own. What
the kernel does for a socket is in the row of the socket calls.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import load
from bench.peers import PEERS, Running, Start, running
from bench.processes import OTHERS
from bench.texts import EACH, Wanted

#: Beginnings of paths, and the layer that they belong to; the first that fits counts. Those in this
#: project are below its folder, all others below a folder of packages or of the standard library.
_LAYERS: Final = (
    ("gevent/_socket", "socket calls"),
    ("gevent/socket.py", "socket calls"),
    ("gevent/ssl.py", "socket calls"),
    ("gevent/", "hub, greenlets, timers"),
    ("gunicorn/", "gunicorn"),
    ("gunicorn.conf.py", "gunicorn"),
    ("flask/", "Flask"),
    ("werkzeug/", "Flask"),
    ("poe_proxy/server/", "server"),
    ("poe_proxy/app.py", "server"),
    ("poe_proxy/logs.py", "server"),
    ("poe_proxy/apis/", "apis"),
    ("poe_proxy/shaping/", "shaping"),
    ("poe_proxy/gateway.py", "gateway, pool"),
    ("poe_proxy/pool/redis/", "the pool in Redis"),
    ("poe_proxy/pool/", "gateway, pool"),
    ("poe_proxy/shared/", "the way to Redis"),
    ("poe_proxy/menu.py", "gateway, pool"),
    ("poe_proxy/models.py", "gateway, pool"),
    ("poe_proxy/budget.py", "budget, pacing"),
    ("poe_proxy/net/pacing.py", "budget, pacing"),
    ("poe_proxy/upstreams/", "upstream"),
    ("poe_proxy/sse.py", "upstream"),
    ("poe_proxy/net/", "net"),
    ("poe_proxy/", "the rest of poe_proxy"),
    ("redis/", "redis-py"),
    ("requests/", "net"),
    ("urllib3/", "net"),
    ("http/client.py", "net"),
    ("websocket/", "net"),
    ("bench/bare.py", "the bare app"),
)
_NONE: Final = "other"
#: The most functions that are named.
_NAMED: Final = 12


@dataclass(frozen=True)
class Work:
    """Something to be profiled, and what one unit of it is."""

    unit: str
    run: Callable[[Running, float], tuple[load.Window, int]]


def _whole(it: Running, seconds: float) -> tuple[load.Window, int]:
    window = load.closed(
        it.target, Wanted(), 16, seconds, streams=False, used=it.process.cpu, warm=0
    )
    return window, window.done


def _pieces(wanted: Wanted, clients: int) -> Callable[[Running, float], tuple[load.Window, int]]:
    def run(it: Running, seconds: float) -> tuple[load.Window, int]:
        window = load.closed(
            it.target, wanted, clients, seconds, streams=True, used=it.process.cpu, warm=0
        )
        return window, window.pieces

    return run


WORKS: Final[Mapping[str, Work]] = {
    "whole": Work("a whole answer", _whole),
    "spaced": Work("a piece, 20 streams, 20 ms apart", _pieces(Wanted(50, 20, form=EACH), 20)),
    "saturated": Work("a piece, 32 streams at once", _pieces(Wanted(200, form=EACH), 32)),
}


def main(arguments: Sequence[str]) -> int:
    """Profile what is asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("--peers", default="keys,cookies,bare", help="default: %(default)s")
    parser.add_argument("--works", default=",".join(WORKS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8.0, help="default: %(default)s")
    parser.add_argument("--functions", action="store_true", help="name the functions, too")
    given = parser.parse_args(arguments)
    os.sched_setaffinity(0, OTHERS)
    with TemporaryDirectory() as folder:
        for name in given.peers.split(","):
            _profile(name, given.works.split(","), given.seconds, Path(folder), given.functions)
    return 0


def _profile(
    name: str, works: Sequence[str], seconds: float, folder: Path, functions: bool
) -> None:
    samples = folder / f"{name}.json"
    with running(name, lambda start: _sampled(start, samples)) as it:
        for work in works:
            WORKS[work].run(it, 1.0)
            samples.unlink(missing_ok=True)
            worker = it.process.pids()[1]
            os.kill(worker, signal.SIGVTALRM)
            window, units = WORKS[work].run(it, seconds)
            os.kill(worker, signal.SIGVTALRM)
            window.check()
            stacks = _read(samples)
            print(f"\n{PEERS[name].title}, {WORKS[work].unit}: ", end="")
            print(report(stacks, window.cpu / units * 1e6, functions))


def _sampled(start: Start, samples: Path) -> Start:
    """Return how the same server is started with a sampler in it."""
    command = [*start.command]
    environ = {**start.environ, "BENCH_SAMPLES": str(samples)}
    if "bench.bare:app" not in command:  # which looks for `BENCH_SAMPLES` itself
        command[1:1] = ["-c", "bench/profiled.conf.py"]
    return replace(start, command=command, environ=environ)


def _read(samples: Path) -> list[tuple[int, list[str]]]:
    until = time.monotonic() + 10
    while not samples.exists():
        if time.monotonic() > until:
            raise SystemExit("the worker has written no samples")
        time.sleep(0.01)
    return [(count, stack) for count, stack in json.loads(samples.read_text())]


def report(stacks: Sequence[tuple[int, Sequence[str]]], cpu: float, functions: bool) -> str:
    """Return a table of the layers, of *cpu* microseconds in all."""
    layers: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for count, stack in stacks:
        layer, function = _place(stack)
        layers[layer] += count
        named[f"{layer}: {function}"] += count
    total = layers.total() or 1
    lines = [f"{cpu:.1f} µs, {total} samples"]
    for counted, most in ((layers, None), *([(named, _NAMED)] if functions else [])):
        lines += [
            f"  {100 * count / total:5.1f} %  {cpu * count / total:8.2f} µs  {what}"
            for what, count in counted.most_common(most)
        ]
    return "\n".join(lines)


def _place(stack: Sequence[str]) -> tuple[str, str]:
    """Return the layer of a sample, and the function in it; the innermost stands first."""
    for frame in stack:
        path, _, function = frame.rpartition(":")
        path = _short(path)
        for beginning, layer in _LAYERS:
            if path.startswith(beginning):
                return layer, f"{path} {function}"
    path, _, function = stack[0].rpartition(":") if stack else ("", "", "")
    return _NONE, f"{_short(path)} {function}"


def _short(path: str) -> str:
    """Return *path* below the folder of packages, of the standard library, or of this project."""
    for folder in ("/site-packages/", f"/python3.{sys.version_info.minor}/"):
        if folder in path:
            return path.rpartition(folder)[2]
    for ours in ("/poe_proxy/", "/bench/"):
        if ours in path:
            return ours[1:] + path.rpartition(ours)[2]
    return path.rpartition("/")[2]
