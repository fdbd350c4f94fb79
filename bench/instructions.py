"""Counts the instructions of the hot paths, and compares them with those that are on record.

`python -m bench.instructions`, as `make check` runs it, fails where one takes more than a quarter
more than in `instructions.json`; `--record` writes that file anew. Instructions are counted, and no
time, by callgrind: a count is the same on a busy machine. It differs from one Python to another,
so each has a record of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.hot_paths import PATHS, Call, reference, stop_time

RECORD: Final = Path(__file__).with_name("instructions.json")
#: How many times as many as on record are too many.
LIMIT: Final = 1.25
#: By how much the interpreter's own may differ before it is another one.
_ANOTHER: Final = 0.1
#: Calls before any is counted: Python makes code faster while it runs for the first times.
_WARM_UP: Final = 40
#: Calls that are counted: what so many more of them take, and nothing else, is what is compared.
_CALLS: Final = 40
_TOTALS: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and compare or record; return the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write instructions.json anew")
    parser.add_argument("--only", default="", help="paths with this in their names")
    parser.add_argument("--counted", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.counted:
        _play(given.only, given.counted)
        return 0
    if shutil.which("valgrind") is None:
        print("LEFT OUT: instructions are not counted, since valgrind is not installed here")
        return 0
    found = count(given.only)
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if given.record:
        known[interpreter()] = {**(known.get(interpreter(), {}) if given.only else {}), **found}
        RECORD.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        print(f"recorded {len(found)} paths for {interpreter()}")
        return 0
    said, is_good = compared(found, known.get(interpreter(), {}))
    print("\n".join(said))
    return 0 if is_good else 1


def interpreter() -> str:
    """Return which Python counts."""
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.python_implementation()} {version} {platform.machine()}"


def compared(found: Mapping[str, int], known: Mapping[str, int]) -> tuple[list[str], bool]:
    """Return what there is to say, and whether no path takes too many."""
    name = _name_of_reference()
    if not known:
        return [f"NOT COMPARED: there is no record of {interpreter()}"], True
    ours, theirs = found.get(name, 0), known.get(name, 0)
    if abs(ours - theirs) > _ANOTHER * theirs:
        return [
            f"NOT COMPARED: the record is of another build of {interpreter()}: by itself it takes "
            f"{theirs:,} instructions there, and {ours:,} here"
        ], True
    said = []
    worse = [path for path in found if path in known and found[path] > LIMIT * known[path]]
    unknown = [path for path in found if path not in known]
    said += [
        f"SLOWER: {path}: {found[path]:,} instructions, {found[path] / known[path]:.2f} times the "
        f"{known[path]:,} on record"
        for path in worse
    ]
    said += [f"NOT ON RECORD: {path}: {found[path]:,} instructions" for path in unknown]
    if worse or unknown:
        said.append("If that must be: python -m bench.instructions --record")
    else:
        said.append(f"{len(found)} hot paths take no more than {LIMIT:g} times what is on record")
    return said, not worse and not unknown


def count(only: str = "") -> dict[str, int]:
    """Return how many instructions one call of each path takes."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        command = [
            *("valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"),
            *(sys.executable, "-m", "bench.instructions", "--counted", str(plan), "--only", only),
        ]
        # Fixed: the order of sets and what Python's own settings would change.
        environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDEVMODE": "", "PYTHONMALLOC": ""}
        done = subprocess.run(command, env=environ, cwd=RECORD.parents[1], timeout=600)
        if done.returncode:
            raise SystemExit("the hot paths do not run under valgrind")
        return {
            path: round((_total(folder, more) - _total(folder, few)) / _CALLS)
            for path, (few, more) in json.loads(plan.read_text()).items()
        }


def _total(folder: str, pid: int) -> int:
    found = _TOTALS.search(Path(folder, str(pid)).read_text())
    if found is None:
        raise SystemExit("valgrind has not said how many instructions there were")
    return int(found[1])


def _play(only: str, plan: Path) -> None:
    """Run the paths, each in two children that differ in the number of calls; write their ids.

    A child is what callgrind counts for itself, and it costs a fortieth of another start.
    """
    gc.disable()
    stop_time()
    played: dict[str, list[int]] = {}
    for name, prepare in PATHS.items():
        if only in name or prepare is reference:
            call = prepare()
            for _ in range(_WARM_UP):
                call()
            played[name] = few, more = [_child(call, _CALLS), _child(call, 2 * _CALLS)]
            if os.waitpid(few, 0)[1] or os.waitpid(more, 0)[1]:
                raise SystemExit(f"a hot path failed: {name}")
    plan.write_text(json.dumps(played))
    os._exit(0)


def _child(call: Call, calls: int) -> int:
    pid = os.fork()
    if pid == 0:
        for _ in range(calls):
            call()
        os._exit(0)
    return pid


def _name_of_reference() -> str:
    return next(name for name, prepare in PATHS.items() if prepare is reference)


if __name__ == "__main__":
    sys.exit(main())
