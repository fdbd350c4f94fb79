"""The benchmark gives its figures. How good they are is for people to read; `make bench-test`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import plots, profiling, report
from bench.report import Results
from bench.rows import ROWS, Size, is_for
from bench.targets import TARGETS

ROOT = Path(__file__).parents[1]
#: Those that are there wherever the project is installed.
PEERS = ("keys", "cookies", "noted", "shared1", "shared2", "hosts", "bare", "direct")
#: Rows that are about a server, of which the mock is none.
SERVERS_ONLY = ("start", "silent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a fiftieth of the load."""
    made = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "--rounds", "1", "--scale", "0.02"),
            *("--silent", "20", "--many", "50", "--peers", ",".join(PEERS)),
            *("--json", str(made / "figures.json"), "--output", str(made)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    (made / "printed").write_text(done.stdout)
    return made


def test_every_row_has_its_figures(folder: Path) -> None:
    """Each peer has all figures of all rows that are for it."""
    figures = json.loads((folder / "figures.json").read_text())

    for peer in PEERS:
        expected = {
            f"{name}.{figure}"
            for name, row in ROWS.items()
            if is_for(name, peer) and (name != "quarters" or os.access("/sys/fs/cgroup", os.W_OK))
            if peer != "direct" or name not in SERVERS_ONLY
            for figure in row.figures
        }
        assert expected <= set(figures[peer]), (folder / "printed").read_text()


def test_all_streams_at_once_have_their_own_text(folder: Path) -> None:
    """Each of many streams that are open at once has its own exact text."""
    figures = json.loads((folder / "figures.json").read_text())

    for peer in ("keys", "cookies", "bare"):
        assert [50] == figures[peer]["many.at_once"]
        assert [50] == figures[peer]["many.right"]


def test_the_results_have_the_table_the_targets_and_the_plots(folder: Path) -> None:
    """RESULTS.md names the machine, says of each target whether it is met, and shows the plots."""
    text = (folder / "RESULTS.md").read_text()

    assert "| processor |" in text
    for target in TARGETS:
        assert f"| {target.what} | {target.bound} |" in text
    for name in plots.PLOTS:
        assert f"(plots/{name}.svg)" in text
        ElementTree.parse(folder / f"plots/{name}.svg")


def test_several_workers_have_a_table_of_their_own(folder: Path) -> None:
    """The pool in the process beside them, and nobody else; and they are in no other table."""
    one, _, several = (folder / "RESULTS.md").read_text().partition("\n## Several workers\n")
    table = one.partition("\n## Figures\n")[2]

    assert several.lstrip().startswith("|  | by key | in Redis, 1 worker | in Redis, 2 workers |")
    assert "in Redis" not in table
    assert "scripts in Redis" in several
    assert "open at once" not in several


def test_a_target_that_is_missed_is_marked() -> None:
    """A figure that is beyond its limit is marked, and one within is not."""
    results = Results(1, Size(), {})
    results.add("keys", "start", {"memory": 81.0, "seconds": 0.7})

    found = {row[0]: row[-1] for row in report.targets(results.medians())}

    assert "MISSED" == found["memory at start, by key"]
    assert "met" == found["start to first answer, by key"]
    assert "not measured" == found["memory at start, by cookie"]


def test_a_profile_is_of_layers() -> None:
    """A sample belongs to the innermost layer, whatever that has called in the standard library."""
    stacks = [
        (3, ["/usr/lib/python3.11/json/x.py:loads", "/x/poe_proxy/apis/base.py:call"]),
        (1, ["/x/site-packages/flask/app.py:wsgi_app"]),
    ]

    lines = profiling.report(stacks, 100.0, functions=True).splitlines()

    assert "100.0 µs, 4 samples" == lines[0]
    assert ["75.0", "%", "75.00", "µs", "apis"] == lines[1].split()
    assert ["25.0", "%", "25.00", "µs", "Flask"] == lines[2].split()
    assert "poe_proxy/apis/base.py call" in lines[3]


@pytest.mark.parametrize("peer", ["keys", "bare"])
def test_a_server_is_profiled(peer: str) -> None:
    """The samples of a worker under load become a table."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "profile"),
            *("--peers", peer, "--works", "whole", "--seconds", "0.5"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "gunicorn" in done.stdout
