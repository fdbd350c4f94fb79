"""A run of everything at once: `python -m tests.chaos --minutes 10 --seed 1`.

The counts go to stdout, then each violation with what shows it; the exit status is 1 if there is
one. `--product` runs the code of another folder, such as a copy in which a place was broken;
`--plant` breaks one of the known places in a copy.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
from pathlib import Path

from ..with_sim.servers import ROOT
from .plants import PLANTS, planted
from .record import Limits
from .run import SHORT, SHORT_LIMITS, run
from .table import table


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--short", action="store_true", help="the half minute of make check")
    options.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    options.add_argument(
        "--redis", action="store_true", help="two servers of two workers each, one pool in Redis"
    )
    options.add_argument("--product", type=Path, default=ROOT, help="the folder of the code")
    options.add_argument("--plant", choices=sorted(PLANTS), help="what to break, in a copy")
    options.add_argument("--keep", type=Path, help="a folder for the server's log and records")
    given = options.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    seconds = SHORT if given.short else 60 * given.minutes
    print(f"seed {seed}, {seconds:g} seconds", flush=True)
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        code = given.product.resolve()
        if given.plant:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            code = planted(given.plant, code, copy)
        case, violations = run(
            seconds=seconds,
            seed=seed,
            code=code,
            folder=folder.resolve(),
            limits=SHORT_LIMITS if given.short else Limits(),
            shared=given.redis,
        )
    print(table(case))
    for violation in violations:
        print(f"VIOLATED {violation.rule}: {violation.evidence}")
    print(f"seed {seed}: {len(violations)} violation(s)")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
