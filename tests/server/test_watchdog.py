"""The watchdog: who held the worker up is ended, named, and refused for a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

import pytest

from poe_proxy import flight
from poe_proxy.chat import Idle
from poe_proxy.errors import RequestTooCostly
from poe_proxy.flight import Flight, Note
from poe_proxy.server import watchdog
from poe_proxy.server.watchdog import REFUSED_FOR, Offenders
from poe_proxy.shaping.pipeline import let_end

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


@pytest.fixture(autouse=True)
def offenders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Offenders]:
    """None is remembered from other tests, nor for them."""
    fresh = Offenders()
    monkeypatch.setattr(watchdog, "offenders", fresh)
    token = flight.current.set(None)
    yield fresh
    flight.current.reset(token)
    flight.recorder.write(None)


def test_an_offender_is_refused_for_ten_minutes() -> None:
    """The same body is refused, any other is not, and after a while it may be tried again."""
    now = 0.0
    offenders = Offenders(clock=lambda: now)
    offenders.add("a")

    offenders.check("b")
    with pytest.raises(RequestTooCostly) as refused:
        offenders.check("a")
    assert (400, False, "body") == (
        refused.value.status, refused.value.client_may_retry, refused.value.param,
    )  # fmt: skip
    now = REFUSED_FOR
    offenders.check("a")


def test_so_many_offenders_are_remembered() -> None:
    """Of a flood of them the first are forgotten."""
    offenders = Offenders(clock=lambda: 0.0)
    for number in range(1500):
        offenders.add(str(number))

    offenders.check("499")
    with pytest.raises(RequestTooCostly):
        offenders.check("500")


def within_shaping(act: Callable[[FrameType], None]) -> None:
    """Do *act* while code of the package runs that called other code."""

    def called() -> Iterator[Idle]:
        act(sys._getframe())
        yield Idle()

    let_end(called())


def test_a_stuck_request_is_ended_and_the_worker_goes_on(offenders: Offenders) -> None:
    """The request fails within its own code, its line in the log names id, route and place, and
    the worker that was about to die lives."""
    worker = Worker()
    flight.current.set(STUCK)

    with pytest.raises(RequestTooCostly):
        within_shaping(lambda frame: watchdog.end_stuck_request(worker, frame))
    with pytest.raises(RequestTooCostly):
        offenders.check(STUCK.digest)
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


def test_a_dead_workers_request_is_named_and_refused(offenders: Offenders) -> None:
    """The master reads what was being computed from the recorder, once."""
    worker = Worker()
    flight.recorder.write(Note("reading a request", STUCK))
    watchdog.blame(worker)
    watchdog.blame(worker)

    assert [
        "Stuck in req_1 POST /v1/chat/completions (reading a request). The worker died of it."
    ] == worker.lines
    with pytest.raises(RequestTooCostly):
        offenders.check(STUCK.digest)


def test_a_worker_that_ends_in_peace_is_not_blamed() -> None:
    """Where nothing was being computed, nothing is said."""
    worker = Worker()
    watchdog.blame(worker)

    assert [] == worker.lines


def test_the_same_body_is_refused_before_it_is_read(offenders: Offenders) -> None:
    """Clients repeat by themselves what got no answer; nothing of it is done again."""
    site = Site()
    offenders.add(watchdog.digest(BODY))
    answer = site.post(BODY)

    assert (400, "request_too_costly") == (answer.status_code, error(answer)["code"])
    assert "false" == answer.headers["x-should-retry"]
    assert [] == site.upstream.asked
