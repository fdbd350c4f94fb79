"""A hunt for inputs that hold up, bloat or break: `python -m tests.fuzz --minutes 5 --seed 1`.

Each find is written into the folder of `--keep`, as small as it could be made; `--replay FILE`
reads one again. The exit status is 1 if there is a find.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path

from .hunt import STALL, Find, Hunt, Input, grows, keep
from .targets import TARGETS

#: Seconds after which an input that not even a signal interrupts ends the hunt.
_STUCK = 300


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    options.add_argument("--targets", default="", help=f"of {', '.join(TARGETS)}; default: all")
    options.add_argument("--keep", type=Path, help="a folder for what is found")
    options.add_argument("--replay", type=Path, help="a file that was kept")
    given = options.parse_args()
    logging.disable()
    if given.replay:
        return _replay(Input.read(given.replay.read_bytes()))
    names = [name for name in given.targets.split(",") if name] or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        options.error(f"no such targets: {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    folder = given.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}, {given.minutes:g} minutes", flush=True)
    hunt = Hunt({name: TARGETS[name] for name in names}, seed)
    began = time.monotonic()
    told = 0

    def goes_on(part: float) -> bool:
        nonlocal told
        for find in hunt.finds[told:]:
            _tell(find, folder)
        told = len(hunt.finds)
        faulthandler.dump_traceback_later(_STUCK, exit=True)
        return time.monotonic() - began < 60 * given.minutes * part

    grows(hunt, goes_on, folder)
    faulthandler.cancel_dump_traceback_later()
    for find in hunt.finds[told:]:
        _tell(find, folder)
    for name, count in sorted(hunt.read.items()):
        print(f"{name:<10} {count:>8} inputs")
    print(f"seed {seed}: {len(hunt.finds)} find(s)")
    with contextlib.suppress(OSError):
        (folder / "at-hand").unlink(missing_ok=True)
        folder.rmdir()  # if nothing was found
    return 1 if hunt.finds else 0


def _tell(find: Find, folder: Path) -> None:
    file = keep(find, folder)
    print(f"FOUND {find.kind} in {find.target}: {find.place}: {find.evidence.splitlines()[-1]}")
    if file is not None and find.input is not None:
        print(f"      {len(find.input.payload)} bytes; python -m tests.fuzz --replay {file}")
    sys.stdout.flush()


def _replay(given: Input) -> int:
    hunt = Hunt(TARGETS, 0)
    cost = hunt.cost(given)
    hunt.try_out(given)
    print(f"{given.target}: {len(given.payload)} bytes, {cost.stretch:.3f} s at a stretch "
          f"(at most {STALL:g}), {cost.peak:.0f} MB; {cost.place}")  # fmt: skip
    for find in hunt.finds:
        print(f"FOUND {find.kind}: {find.evidence}")
    return 1 if hunt.finds else 0


if __name__ == "__main__":
    sys.exit(main())
