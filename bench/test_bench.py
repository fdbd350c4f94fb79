"""The benchmark prints its figures. How good they are is for people to read; `make bench-test`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Rows with figures for all three ways, and rows without one for the direct connection.
ALL_WAYS = 11
NOT_DIRECT = 9


def test_every_row_has_its_figures() -> None:
    """A hundredth of the load goes through on each way to Poe."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--scale", "0.01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()
    figures = [re.findall(r"(?<= )(?:\d+\.\d\d|-)(?= |$)", row[54:]) for row in rows]
    assert ["direct", "keys", "cookies"] == head.split()
    assert ALL_WAYS == sum("-" not in row and len(row) == 3 for row in figures)
    assert NOT_DIRECT == sum(row[0] == "-" and len(row) == 3 for row in figures)
    assert ALL_WAYS + NOT_DIRECT == len(rows)
