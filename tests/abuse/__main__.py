"""A run of all kinds of abuse at once: `python -m tests.abuse --clients 200 --seconds 60 --seed 1`.

Figures go to stdout, with the aim of each, then what must not be on any machine; the exit status is
1 if there is something of that, or, with `--assert-figures`, if an aim is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
from pathlib import Path

from .catalogue import KINDS
from .run import run
from .verdict import facts, figures, table


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    options.add_argument("--clients", type=int, default=200)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    options.add_argument("--size", type=float, default=1.0, help="1: as large as may be")
    options.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}; default: all")
    options.add_argument("--keep", type=Path, help="a folder for the server's log and records")
    options.add_argument("--assert-figures", action="store_true")
    given = options.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    kinds = [name for name in given.kinds.split(",") if name]
    if unknown := set(kinds) - set(KINDS):
        options.error(f"no such kinds: {', '.join(sorted(unknown))}")
    print(f"seed {seed}, {given.clients} clients, {given.seconds:g} seconds", flush=True)
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        ran = run(
            clients=given.clients,
            seconds=given.seconds,
            seed=seed,
            size=given.size,
            folder=folder.resolve(),
            kinds=kinds,
        )
    print(table(ran))
    wrong = list(facts(ran))
    for fact in wrong:
        print(f"WRONG {fact}")
    missed = [one for one in figures(ran) if not one.is_reached]
    print(f"seed {seed}: {len(wrong)} wrong, {len(missed)} aim(s) missed")
    return 1 if wrong or (missed and given.assert_figures) else 0


if __name__ == "__main__":
    sys.exit(main())
