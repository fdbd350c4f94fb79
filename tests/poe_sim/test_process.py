from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from .browser import AGENT, Browser

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*options: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [sys.executable, "-m", "poe_sim", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_at_once(number: signal.Signals) -> None:
    """One line has the address; a signal ends it at once, in the middle of a reply."""
    with process("--port", "0", "--tokens", "x,y", "--quiet") as sim:
        assert sim.stdout is not None
        assert sim.stderr is not None
        line = sim.stdout.readline()
        found = re.fullmatch(r"poe_sim listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None
        with Browser(found[1], "y") as browser:
            browser.open()
            browser.say("!hang Hello")
            # A connection without a request must not delay the end either.
            with socket.create_connection(("127.0.0.1", int(found[1].rsplit(":")[-1]))):
                sim.send_signal(number)

                assert 0 == sim.wait(60)
        assert "" == sim.stdout.read()
        assert "" == sim.stderr.read()


def test_taken_port() -> None:
    """A taken port is one clear line on stderr."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process("--port", str(port), "--tokens", "x") as sim:
            out, err = sim.communicate(timeout=60)

    assert 1 == sim.returncode
    assert "" == out
    assert re.fullmatch(rf"poe_sim: .*127\.0\.0\.1:{port}.*in use.*\n", err)


def test_options_reach_the_stand_in() -> None:
    """The control shows the options of the command line."""
    options = "--port 0 --tokens x --mode lenient --tag-mode plain --pace 0 --max-concurrent 20"
    more = "--rate-limit 7 --base-host @127.0.0.1:9 --points 5 --seed 3"
    with process(*options.split(), *more.split()) as sim:
        assert sim.stdout is not None
        url = sim.stdout.readline().split()[-1]
        state = requests.get(f"{url}/__control", timeout=60).json()
        headers = {"User-Agent": AGENT}
        data = requests.get(f"{url}/api/settings", headers=headers, timeout=60).json()

    assert ("lenient", "plain", 0) == (state["mode"], state["tag_mode"], state["pace"])
    assert (20, 7) == (state["max_concurrent"], state["rate_limit"])
    assert [("cookie-1", 5)] == [(each["label"], each["points"]) for each in state["accounts"]]
    assert "@127.0.0.1:9" == data["tchannelData"]["baseHost"]


def test_a_refused_request_is_one_line_of_the_log() -> None:
    """Whatever its path holds."""
    with process("--port", "0", "--tokens", "x") as sim:
        assert sim.stdout is not None
        assert sim.stderr is not None
        url = sim.stdout.readline().split()[-1]
        requests.get(f"{url}/a%0Apoe_sim:%20forged%1B%5B2J", timeout=60)
        line = sim.stderr.readline()

    assert line.startswith("poe_sim: GET /a\\npoe_sim: forged\\x1b[2J: ")
