"""What outlives the server, however it ends; what was sent is in the stand-in's own record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest
import requests

from .servers import ROOT, Proxy, Sim, ask, free_port, until

COOL_DOWN = 4.0
#: A bot that is there by key, too.
BOT = "GPT-4o"
HOWS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
Start: TypeAlias = Callable[..., Proxy]


@pytest.fixture
def sim() -> Iterator[Sim]:
    with Sim(tokens=("cookie-a",), api_keys=("sk-poe-restarts",)) as sim:
        yield sim


@pytest.fixture
def start(sim: Sim, tmp_path: Path) -> Iterator[Start]:
    """Starts a server that remembers; with one account by cookie, unless settings say otherwise."""
    with ExitStack() as servers:

        def start(**settings: str) -> Proxy:
            given = {
                "POE_API_KEYS": "",
                "TOKEN_CONCURRENCY": "1",
                "STATE_FILE": str(tmp_path / "state" / "state.sqlite3"),
            }
            return servers.enter_context(Proxy(sim, **{**given, **settings}))

        yield start


def end(proxy: Proxy, how: signal.Signals) -> None:
    """End the server, its worker too."""
    workers = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text()
    proxy.process.send_signal(how)
    if how == signal.SIGKILL:
        for pid in workers.split():
            # A worker that finds its parent gone ends by itself.
            with suppress(ProcessLookupError):
                os.kill(int(pid), how)
    proxy.process.wait(60)
    until(lambda: not listens(proxy))


def listens(proxy: Proxy) -> bool:
    """Whether anything takes connections on its port, even if it never answers."""
    try:
        requests.get(f"{proxy.url}/health", timeout=5)
    except requests.ConnectionError:
        return False
    except requests.Timeout:
        return True
    return True


def sent(sim: Sim) -> list[float]:
    """When the stand-in got requests for answers."""
    return [
        entry["t"]
        for entry in sim.journal()
        if entry.get("queryName") == "sendMessageMutation"
        or entry.get("path") == "/v1/chat/completions"
    ]


@HOWS
def test_the_pause_between_two_uses_holds_over_a_restart(
    how: signal.Signals, sim: Sim, start: Start
) -> None:
    """COOL_DOWN is kept from the last use of the server before."""
    for _ in range(2):
        proxy = start(COOL_DOWN=str(COOL_DOWN))
        assert proxy.post(ask("!echo Hello")).ok
        end(proxy, how)

    moments = sent(sim)
    assert 2 == len(moments)
    assert COOL_DOWN <= min(later - earlier for earlier, later in pairwise(moments))


@HOWS
def test_the_number_of_uses_in_a_minute_holds_over_a_restart(
    how: signal.Signals, sim: Sim, start: Start
) -> None:
    """RATE_LIMIT counts the uses of both servers."""
    proxy = start(RATE_LIMIT="3")
    for _ in range(2):
        assert proxy.post(ask("!echo Hello")).ok
    end(proxy, how)
    proxy = start(RATE_LIMIT="3", QUEUE_TIMEOUT="0")
    answers = [proxy.post(ask("!echo Hello")) for _ in range(3)]

    assert [200, 429, 429] == [answer.status_code for answer in answers]
    assert 3 == len(sent(sim))


@HOWS
def test_what_was_under_way_when_the_server_ended_counts(
    how: signal.Signals, sim: Sim, start: Start
) -> None:
    """A use is written down before it is sent, whatever becomes of its answer."""
    proxy = start(RATE_LIMIT="1", GUNICORN_CMD_ARGS="--graceful-timeout=1")
    answer = proxy.post(ask("!echo !silence=50 one two", stream=True), stream=True)
    until(lambda: sent(sim))
    end(proxy, how)
    answer.close()
    proxy = start(RATE_LIMIT="1", QUEUE_TIMEOUT="0")

    assert 429 == proxy.post(ask("!echo Hello")).status_code
    assert 1 == len(sent(sim))


@HOWS
def test_what_poe_said_of_an_account_is_not_forgotten(
    how: signal.Signals, sim: Sim, start: Start
) -> None:
    """A key that Poe has limited is not tried by the next server, while it rests."""
    by_key = {"POE_API_KEYS": sim.api_keys[0], "TOKENS": "", "QUEUE_TIMEOUT": "0"}
    proxy = start(**by_key)
    assert 429 == proxy.post(ask("!http=429 !retry-after=300 Hello", BOT)).status_code
    before = len(sent(sim))
    end(proxy, how)
    proxy = start(**by_key)

    answer = proxy.post(ask("!echo Hello", BOT))

    assert 429 == answer.status_code
    assert 200 < int(answer.headers["retry-after"]) <= 300
    assert before == len(sent(sim))


def test_the_device_stays_the_same(sim: Sim, start: Start) -> None:
    """Poe sees one browser, not a new one after each restart."""
    for _ in range(2):
        proxy = start()
        assert proxy.post(ask("!echo Hello")).ok
        end(proxy, signal.SIGKILL)

    devices = {entry["sdid"] for entry in sim.journal() if entry.get("sdid")}
    assert 1 == len(devices)


# ---- one server


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run gunicorn until it ends."""
    left_out = ("TOKENS", "POE_API_KEYS", "AuthKey", "AUTH_KEY")
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", *options, "wsgi:app"],
        cwd=ROOT,
        env={**environ, "HOST": "127.0.0.1", "AuthKey": "k", "TOKENS": "t", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_server_on_the_file_says_so_and_ends(tmp_path: Path, start: Start) -> None:
    """In one line, with the process of the first one, which does not notice."""
    path = str(tmp_path / "state.sqlite3")
    first = start(STATE_FILE=path)

    second = run(STATE_FILE=path, PORT=str(free_port()))

    assert 1 == second.returncode
    assert f"another server (process {first.process.pid})" in second.stderr
    assert 1 == second.stderr.count("STATE_FILE")
    assert "Traceback" not in second.stderr
    assert first.post(ask("!echo Hello")).ok


def test_a_check_of_the_configuration_may_run_beside_the_server(
    tmp_path: Path, start: Start
) -> None:
    """It neither needs the file nor makes one."""
    path = tmp_path / "state.sqlite3"
    beside = tmp_path / "other.sqlite3"
    start(STATE_FILE=str(path))

    for one in (path, beside):
        ended = run("--check-config", STATE_FILE=str(one), PORT=str(free_port()))
        assert 0 == ended.returncode, ended.stderr
        assert "STATE_FILE" not in ended.stderr
    assert not beside.exists()


# ---- /ready


def test_a_server_that_is_ending_is_not_ready(start: Start) -> None:
    """While a reply still goes on, a monitor that is connected sees it at once."""
    # By default a monitor that comes late, after five seconds, would find its connection closed.
    proxy = start(GUNICORN_CMD_ARGS="--keep-alive=60")
    streamed = proxy.post(ask("!echo !silence=50 one two", stream=True), stream=True)
    # Kept, since its end would end the connection.
    lines = streamed.iter_lines()
    until(lambda: b"one" in next(lines))
    with requests.Session() as monitor:
        answer = monitor.get(f"{proxy.url}/ready", timeout=60)
        assert 200 == answer.status_code
        assert "ok" == answer.json()["store"]
        proxy.process.terminate()

        reason = until(lambda: monitor.get(f"{proxy.url}/ready", timeout=60).json()["reason"])

    assert "The server is ending." == reason
    streamed.close()
