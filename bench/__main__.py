"""`make bench`: this proxy beside others in front of one upstream, in interleaved rounds."""

from __future__ import annotations

import argparse
import compileall
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.load import Failed
from bench.peers import PEERS, running
from bench.processes import OTHERS, ROOT
from bench.report import Results
from bench.rows import ROWS, Size, is_for, warm_up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the status to exit with."""
    given = _parser().parse_args(arguments)
    peers, rows = given.peers.split(","), given.rows.split(",")
    versions = {name: peer.version() for name, peer in PEERS.items()}
    if given.list:
        for name, peer in PEERS.items():
            print(f"{name:<10}{versions[name] or 'not installed here':<48}{peer.what}")
        return 0
    for name in [name for name in peers if not versions[name]]:
        print(f"{name} is not installed here, and left out", file=sys.stderr)
        peers.remove(name)
    results = Results(given.rounds, Size(given.scale, given.silent, given.many), versions)
    _prepare()
    began = time.monotonic()
    for round_ in range(given.rounds):
        for name in peers:
            _measure(name, rows, round_, results)
        print(
            f"round {round_ + 1} of {given.rounds}: {time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    results.seconds = time.monotonic() - began
    print(report.printed(results))
    if given.json:
        given.json.write_text(json.dumps(results.figures, indent=1))
    if given.output:
        report.write(results, given.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="what can be compared, with versions")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--rows", default=",".join(ROWS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="of the length of each window")
    parser.add_argument("--silent", type=int, default=1000, help="silent streams")
    parser.add_argument("--many", type=int, default=2000, help="streams with texts of their own")
    parser.add_argument("--json", type=Path, help="where the figures of each round go")
    parser.add_argument("--output", type=Path, help="the folder for RESULTS.md and its plots")
    return parser


def _prepare() -> None:
    os.sched_setaffinity(0, OTHERS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What was started ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The first start after an update compiles all modules; no later one does.
    compileall.compile_dir(ROOT / "poe_proxy", quiet=2)
    gc.freeze()


def _measure(name: str, rows: Sequence[str], round_: int, results: Results) -> None:
    """Measure *rows* of one peer; what does not work is noted, and the others go on."""
    row = "start"
    try:
        with running(name) as it:
            for row, what in ROWS.items():
                is_wanted = row in rows and not (what.once and round_)
                if is_wanted and is_for(row, name):
                    try:
                        results.add(name, row, what.measure(it, results.size))
                    except Failed as failure:
                        results.troubles.append(f"{PEERS[name].title}, {row}: {failure}")
                if row == "start":
                    warm_up(it)
    except (Failed, OSError) as failure:
        results.troubles.append(f"{PEERS[name].title}, {row}: {failure}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["profile"]:
        from bench import profiling

        sys.exit(profiling.main(sys.argv[2:]))
    sys.exit(main())
