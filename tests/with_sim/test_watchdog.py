"""A request that holds up the worker for as long as gunicorn lets it: its name, and its end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from .servers import Proxy, Server, Sim, ask, until

BOT = "GPT-5.1"

#: Seconds after which gunicorn takes a worker for stuck: less than in production, more than it
#: takes to start one on a busy machine.
TIMEOUT = 12


class Planted(Proxy):
    """The proxy with places in which a request gets stuck."""

    def _start(self, settings: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "gunicorn", "tests.with_sim.stuck:app"]
        Server.__init__(self, [*command, "--timeout", str(TIMEOUT)], settings)

    def workers(self) -> list[int]:
        """The ids of all workers so far, as gunicorn's log has them."""
        marks = "Booting worker with pid: "
        return [
            int(line.rpartition(marks)[2]) for line in self.output().splitlines() if marks in line
        ]


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(tokens=(), api_keys=("k",), pace=0.1) as sim:
        yield sim


@pytest.fixture
def planted(sim: Sim) -> Iterator[Planted]:
    with Planted(sim) as proxy:
        yield proxy


def stuck_line(proxy: Proxy, end: str) -> str:
    """The line of the log that says who was stuck, as soon as it is there."""

    def found() -> str | None:
        lines = proxy.output().splitlines()
        return next((line for line in lines if "Stuck in req_" in line and end in line), None)

    line: str = until(found)
    return line


def test_a_request_that_is_stuck_in_python_ends_alone(planted: Planted, sim: Sim) -> None:
    """It is answered with a 400 and named in the log; a stream beside it reaches its end, the same
    worker goes on, and the same request is refused when it comes again."""
    streamed: list[Any] = []

    def stream() -> None:
        with planted.post(
            ask("!long=400 hello", BOT, stream=True), stream=True, timeout=120
        ) as answer:
            streamed.extend(answer.iter_lines())

    beside = threading.Thread(target=stream)
    beside.start()
    until(lambda: streamed)
    hostile = ask("stuck in Python")
    first = planted.post(hostile, timeout=120)
    again = planted.post(hostile)
    line = stuck_line(planted, "It was ended; all others go on.")
    beside.join()

    for answer in (first, again):
        assert (400, "request_too_costly", "body", "false") == (
            answer.status_code,
            answer.json()["error"]["code"],
            answer.json()["error"]["param"],
            answer.headers["x-should-retry"],
        )
    assert f"{first.headers['x-request-id']} POST /v1/chat/completions (" in line
    assert "stuck in Python" not in planted.output()
    assert b"data: [DONE]" in streamed
    assert 1 == len(planted.workers())
    assert planted.post(ask("hello", BOT)).ok


def test_a_request_that_kills_the_worker_is_named_and_refused(planted: Planted, sim: Sim) -> None:
    """Code in C cannot be ended: the worker dies. The master says which request it was and what
    was being done, and the next worker refuses it."""
    hostile = ask("stuck in C")
    with pytest.raises(requests.ConnectionError):
        planted.post(hostile, timeout=120)
    line = stuck_line(planted, "The worker died of it.")
    until(lambda: 2 == len(planted.workers()))
    again = planted.post(hostile)

    assert "POST /v1/chat/completions (reading a request)" in line
    assert "stuck in C" not in planted.output()
    assert (400, "request_too_costly") == (again.status_code, again.json()["error"]["code"])
    assert planted.post(ask("hello", BOT)).ok
