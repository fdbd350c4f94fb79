"""Several workers on one host that share a pool in Redis: how they begin, are reloaded, die."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from ..shared.redis_server import RedisServer
from .servers import KEY, ROOT, Reloading, Server, Sim, ask, free_port, until
from .test_watching import OWNER, series

BOT = "GPT-5.1"
BOOTING = "Booting worker with pid: "
#: Connections that surely reach each of two workers: each takes one at a time.
MANY = 60


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(tokens=(), api_keys=("k",), pace=0.02) as sim:
        yield sim


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class Several(Reloading):
    """The proxy with two workers."""

    APP = "wsgi:app"

    def __init__(self, sim: Sim, redis: RedisServer, folder: Path, **settings: str) -> None:
        self.metrics_port = free_port()
        given = {
            "REDIS_URL": redis.url,
            "REDIS_POOL": folder.name,
            "METRICS_PORT": str(self.metrics_port),
            "STATE_FILE": str(folder / "state.sqlite3"),
        }
        super().__init__(sim, folder, **(given | settings))
        until(lambda: 2 == self.output().count("metrics at http://"))

    def _start(self, settings: Mapping[str, str]) -> None:
        self.write(**settings)
        Server.__init__(
            self,
            [sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", self.APP],
            {"PYTHONPATH": str(ROOT), "WEB_CONCURRENCY": "2"},
            self._folder,
        )

    def booted(self) -> list[int]:
        """The processes of all workers so far."""
        return [
            int(line.rpartition(BOOTING)[2])
            for line in self.output().splitlines()
            if BOOTING in line
        ]

    def workers(self) -> list[int]:
        """The processes of those that live."""
        return [pid for pid in self.booted() if _lives(pid)]

    def series(self) -> dict[tuple[str, ...], float]:
        return series(f"http://127.0.0.1:{self.metrics_port}/metrics")

    def requests(self) -> float:
        """How often its health was asked for, as it says."""
        return self.series().get(("poe_proxy_requests_total", "", "", "/health", "200"), 0.0)

    def status(self, key: str = KEY) -> int:
        """The status of an answer to *key*, on a connection of its own."""
        return requests.get(
            f"{self.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=60
        ).status_code


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def several(sim: Sim, redis: RedisServer, tmp_path: Path) -> Iterator[Several]:
    with Several(sim, redis, tmp_path) as proxy:
        yield proxy


def test_no_counter_goes_back_while_a_worker_is_killed_and_started_again(several: Several) -> None:
    """Whichever worker answers tells of all; and the new one has neither a lock nor the file of
    the state in its way."""
    for _ in range(MANY):
        requests.get(f"{several.url}/health", timeout=60)
    # A request is counted once its answer is over: its client may have that sooner.
    until(lambda: several.requests() >= MANY)
    seen: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            with suppress(requests.ConnectionError):  # it was asked when it was killed
                seen.append(several.requests())

    watching = threading.Thread(target=watch)
    watching.start()
    until(lambda: seen)
    os.kill(several.workers()[0], signal.SIGKILL)
    until(lambda: 3 == several.output().count("metrics at http://"))
    before = len(seen)
    until(lambda: len(seen) > before + 20)
    is_over.set()
    watching.join()

    assert seen == sorted(seen)
    for _ in range(MANY):
        requests.get(f"{several.url}/health", timeout=60)
    assert seen[-1] + MANY == several.requests()
    assert 2 == len(several.workers())
    assert "cannot be locked" not in several.output()
    assert "in use by another server" not in several.output()


def test_a_hang_up_changes_the_settings_in_all_workers(several: Several) -> None:
    """In those that are there."""
    before = several.workers()
    several.write(AuthKey="sk-another-one")
    several.process.send_signal(signal.SIGHUP)
    until(lambda: 2 == several.reloads())

    assert {200} == {several.status("sk-another-one") for _ in range(MANY)}
    assert {401} == {several.status(KEY) for _ in range(MANY)}
    assert before == several.workers()


def test_a_reload_by_the_owner_is_for_all_workers(
    sim: Sim, redis: RedisServer, tmp_path: Path
) -> None:
    """Whichever of them is asked, here or on another host with the same pool; a mistake in the
    settings is told by the one that is asked, and the others are left alone."""
    other = tmp_path / "other"
    other.mkdir()
    owner = {"Authorization": f"Bearer {OWNER}"}
    shared = {"ADMIN_KEY": OWNER, "REDIS_POOL": tmp_path.name}
    with Several(sim, redis, tmp_path, **shared) as here, Several(sim, redis, other) as alone:
        here.write(AuthKey="sk-another-one")
        answer = requests.post(f"{here.url}/admin/reload", headers=owner, timeout=60)
        assert "reloaded" == answer.json()["outcome"]
        until(lambda: 2 == here.reloads())
        assert {200} == {here.status("sk-another-one") for _ in range(MANY)}
        here.write(COOL_DOWN="x")
        answer = requests.post(f"{here.url}/admin/reload", headers=owner, timeout=60)
        assert "not reloaded" == answer.json()["outcome"]
        here.write(COOL_DOWN="0")
        requests.post(f"{here.url}/admin/reload", headers=owner, timeout=60)
        until(lambda: 5 == here.reloads())

        assert 0 == alone.reloads()


def test_wrong_keys_of_the_owner_are_counted_by_all_workers(
    sim: Sim, redis: RedisServer, tmp_path: Path
) -> None:
    """As many as at one worker are looked at, and the right one is refused by each of them then."""
    with Several(sim, redis, tmp_path, ADMIN_KEY=OWNER) as several:

        def ask(key: str) -> int:
            # Each on a connection of its own.
            return requests.get(
                f"{several.url}/status.json",
                headers={"Authorization": f"Bearer {key}"},
                timeout=60,
            ).status_code

        assert 200 == ask(OWNER)
        # What is told takes a moment: guesses beyond the bound may be looked at meanwhile.
        until(lambda: 429 == ask("sk-wrong-for-sure"))
        until(lambda: {429} == {ask("sk-wrong-for-sure") for _ in range(MANY)})

        assert {429} == {ask(OWNER) for _ in range(MANY)}


def test_all_workers_of_the_pool_are_counted(several: Several) -> None:
    """And the hosts that they are on."""
    until(lambda: 2 == several.series().get(("poe_proxy_workers",)))

    assert 1 == several.series()[("poe_proxy_hosts",)]


def test_signals_add_and_end_a_worker(several: Several) -> None:
    """SIGTTIN and SIGTTOU; what the one that is gone has counted stays."""
    several.process.send_signal(signal.SIGTTIN)
    until(lambda: 3 == several.output().count("metrics at http://"))
    counted = several.requests() + MANY
    for _ in range(MANY):
        requests.get(f"{several.url}/health", timeout=60)
    until(lambda: counted == several.requests())
    several.process.send_signal(signal.SIGTTOU)
    until(lambda: 2 == len(several.workers()))

    assert counted == several.requests()
    assert several.post(ask("hello", BOT)).ok


class Planted(Several):
    """With places in which a request gets stuck, and a shorter patience."""

    APP = "tests.with_sim.stuck:app"

    def _start(self, settings: Mapping[str, str]) -> None:
        super()._start({**settings, "LOG_LEVEL": "INFO"})


def test_a_request_that_kills_a_worker_kills_no_other_one(
    sim: Sim, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them refuse it when it comes again, the one that was there and the one that is new."""
    # Less than in production, more than it takes to start a worker on a busy machine.
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--timeout 12")
    with Planted(sim, redis, tmp_path) as planted:
        hostile = ask("stuck in C")
        with pytest.raises(requests.ConnectionError):
            planted.post(hostile, timeout=120)
        until(lambda: "The worker died of it." in planted.output())
        until(lambda: 3 == planted.output().count("metrics at http://"))
        answers = [planted.post(hostile) for _ in range(MANY)]

        assert {(400, "request_too_costly")} == {
            (one.status_code, one.json()["error"]["code"]) for one in answers
        }
        assert 1 == planted.output().count("The worker died of it.")
        assert 3 == len(planted.booted())


@pytest.mark.parametrize("command", [("-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py",
                                      "wsgi:app"), ("-m", "poe_proxy", "serve")])  # fmt: skip
def test_with_cookies_alone_a_second_worker_is_refused(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """However it is started; it says why, and what there is instead."""
    with Server(
        [sys.executable, *command],
        {
            "PYTHONPATH": str(ROOT),
            "AuthKey": KEY,
            "TOKENS": "a,b",
            "REDIS_URL": "redis://127.0.0.1:1",
            "WEB_CONCURRENCY": "2",
            "PORT": str(free_port()),
        },
        tmp_path,
    ) as server:
        assert 1 == server.process.wait(60)
        assert "2 were asked for" in server.output()
        assert "All accounts are cookies" in server.output()


@pytest.mark.parametrize(
    ("options", "settings", "dotenv"),
    [
        (("--workers", "2"), {}, "WEB_CONCURRENCY=5"),
        ((), {"WEB_CONCURRENCY": "2"}, "WEB_CONCURRENCY=5"),
        ((), {}, "WEB_CONCURRENCY=2"),
    ],
)
def test_the_command_serves_with_several_workers_too(
    options: tuple[str, ...],
    settings: dict[str, str],
    dotenv: str,
    sim: Sim,
    redis: RedisServer,
    tmp_path: Path,
) -> None:
    """As gunicorn does; `.env` may say so, which is what the environment and options win over."""
    port = free_port()
    (tmp_path / ".env").write_text(dotenv)
    with Server(
        [sys.executable, "-m", "poe_proxy", "serve", *options],
        {
            **settings,
            "PYTHONPATH": str(ROOT),
            "AuthKey": KEY,
            "POE_API_KEYS": "k",
            "POE_API_URL": sim.url,
            "REDIS_URL": redis.url,
            "REDIS_POOL": "serve",
            "HOST": "127.0.0.1",
            "PORT": str(port),
        },
        tmp_path,
    ) as server:
        place = f"pool serve in Redis at {redis.host}:{redis.port}"
        serving = f"serving 0 cookie token(s) and 1 API key(s); {place}"
        until(lambda: 2 == server.output().count(serving))
        assert 2 == server.output().count(BOOTING)
