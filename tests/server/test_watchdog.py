"""The watchdog: who held the worker up is ended, named, and refused for a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

import pytest

from poe_proxy import flight
from poe_proxy.chat import Idle
from poe_proxy.digests import Digests
from poe_proxy.errors import RequestTooCostly
from poe_proxy.flight import Flight, Note
from poe_proxy.server import watchdog
from poe_proxy.shaping.pipeline import let_end

from ..fakes import Clock
from .site import Site, error

BODY = b'{"model": "m"}'
STUCK = Flight("req_1", "POST /v1/chat/completions", watchdog.digest(BODY))


@dataclass
class Worker:
    """What the watchdog sees of gunicorn's worker, whose death has begun."""

    alive: bool = False
    beats: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> Worker:
        return self

    def error(self, message: str, *args: object) -> None:
        self.lines.append(message % args)

    def notify(self) -> None:
        self.beats += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def offenders(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Digests]:
    """None is remembered from other tests, nor for them."""
    fresh = Digests(watchdog.REFUSED_FOR, watchdog.MOST, clock=clock)
    monkeypatch.setattr(watchdog, "offenders", fresh)
    token = flight.current.set(None)
    yield fresh
    flight.current.reset(token)
    flight.recorder.write(None)


def within_shaping(act: Callable[[FrameType], None]) -> None:
    """Do *act* while code of the package runs that called other code."""

    def called() -> Iterator[Idle]:
        act(sys._getframe())
        yield Idle()

    let_end(called())


def test_a_stuck_request_is_ended_and_the_worker_goes_on(offenders: Digests) -> None:
    """The request fails within its own code, its line in the log names id, route and place, and
    the worker that was about to die lives."""
    worker = Worker()
    flight.current.set(STUCK)

    with pytest.raises(RequestTooCostly):
        within_shaping(lambda frame: watchdog.end_stuck_request(worker, frame))
    assert STUCK.digest in offenders
    assert (True, 1) == (worker.alive, worker.beats)
    assert [
        "Stuck in req_1 POST /v1/chat/completions (shaping.pipeline.let_end). "
        "It was ended; all others go on."
    ] == worker.lines


def test_a_worker_that_is_stuck_elsewhere_dies() -> None:
    """Where no request is at work, there is none to be ended."""
    worker = Worker()
    watchdog.end_stuck_request(worker, None)

    assert (False, [], 0) == (worker.alive, worker.lines, worker.beats)


def test_a_dead_workers_request_is_named_and_refused(offenders: Digests) -> None:
    """The master reads what was being computed from the recorder, once."""
    worker = Worker()
    flight.recorder.write(Note("reading a request", STUCK))
    watchdog.blame(worker, flight.recorder)
    watchdog.blame(worker, flight.recorder)

    assert [
        "Stuck in req_1 POST /v1/chat/completions (reading a request). The worker died of it."
    ] == worker.lines
    assert STUCK.digest in offenders


def test_a_worker_that_ends_in_peace_is_not_blamed() -> None:
    """Where nothing was being computed, nothing is said."""
    worker = Worker()
    watchdog.blame(worker, flight.recorder)

    assert [] == worker.lines


def test_a_large_body_is_known_by_all_of_it_and_looked_at_in_bits() -> None:
    """Each takes a millisecond or two; the others have their turn in between."""
    turns: list[None] = []
    large = bytes(2_500_000)
    known = watchdog.digest(large, lambda: turns.append(None))

    assert 3 == len(turns)
    assert known == watchdog.digest(bytearray(large))
    assert known != watchdog.digest(large[:-1] + b"x")
    assert watchdog.digest(b"") != watchdog.digest(b"\0")


def test_the_same_body_is_refused_for_ten_minutes(offenders: Digests, clock: Clock) -> None:
    """Clients repeat by themselves what got no answer; nothing of it is done again. Any other body
    is read, and the same one is after a while."""
    site = Site()
    offenders.add(watchdog.digest(BODY))
    refused = site.post(BODY)
    other = site.post(BODY + b" ")
    clock.go(600)
    again = site.post(BODY)

    assert (400, "request_too_costly", "body") == (
        refused.status_code, error(refused)["code"], error(refused)["param"],
    )  # fmt: skip
    assert "false" == refused.headers["x-should-retry"]
    assert ["messages"] * 2 == [error(one)["param"] for one in (other, again)]
    assert [] == site.upstream.asked
