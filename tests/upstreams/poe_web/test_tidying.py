"""The register of an account's stops and deletions; the clock is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web import tidying
from poe_proxy.upstreams.poe_web.tidying import LONGEST_PAUSE, PAUSE, PERSISTENCE, Tidying

from ...fakes import Clock, log_lines, until

OVERLOADED = errors.UpstreamOverloaded("502")


class Act:
    """Fails so many times, then returns 7."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return 7


class Always(Act):
    """Always fails in the same way."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    def __call__(self) -> int:
        self.calls += 1
        raise self.failure


class Timed:
    """A register whose pauses move the clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pauses: list[float] = []
        self.tidying = Tidying(label="cookie-1", clock=self.clock, wait=self.wait)

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.go(seconds)


@pytest.fixture
def timed() -> Timed:
    return Timed()


@pytest.fixture
def lines() -> Iterator[Callable[[], list[str]]]:
    """The lines of the log."""
    with log_lines() as text:
        yield lambda: text.getvalue().splitlines()


# ---- one act


def test_what_succeeds_is_done_once(timed: Timed) -> None:
    """Its result is returned."""
    act = Act()

    assert 7 == timed.tidying.persist(act, "stopping a bot")
    assert (1, []) == (act.calls, timed.pauses)


@pytest.mark.parametrize(
    "failure",
    [
        errors.UpstreamUnreachable("no net"),
        errors.UpstreamUncertain("reset"),
        errors.UpstreamTimeout("no answer"),
        errors.LoginFailed("the page says 502"),
        OVERLOADED,
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_fails_in_passing_is_tried_again(timed: Timed, failure: Exception) -> None:
    """The net is down, or Poe is: no harm is done by another try."""
    act = Act(failure, failure)

    assert 7 == timed.tidying.persist(act, "stopping a bot")
    assert 3 == act.calls


@pytest.mark.parametrize(
    "failure",
    [
        errors.TokenRejected("logged out"),
        errors.UpstreamBlocked("a challenge"),
        errors.TokenLimited("429"),
        errors.UpstreamChanged("a new hash"),
        errors.UpstreamRefused("no"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_poe_refuses_is_not_tried_again(
    timed: Timed, failure: Exception, lines: Callable[[], list[str]]
) -> None:
    """The log says so, and nothing is returned."""
    act = Always(failure)

    assert timed.tidying.persist(act, "stopping a bot") is None
    assert 1 == act.calls
    (line,) = lines()
    assert "WARNING" in line
    assert f"cookie-1: stopping a bot failed: {failure}" in line


def test_the_pauses_grow_and_end_after_a_minute(
    timed: Timed, lines: Callable[[], list[str]]
) -> None:
    """No try comes too late, and there is one warning for all of them."""
    act = Always(OVERLOADED)
    began = timed.clock.now

    assert timed.tidying.persist(act, "stopping a bot") is None
    assert PERSISTENCE - 1.5 * LONGEST_PAUSE <= timed.clock.now - began <= PERSISTENCE
    bounds = [min(PAUSE * 2**place, LONGEST_PAUSE) for place in range(len(timed.pauses))]
    for bound, pause in zip(bounds, timed.pauses, strict=True):
        assert bound <= pause <= 1.5 * bound
    assert LONGEST_PAUSE in bounds
    assert 1 == sum("WARNING" in line for line in lines())


def test_beyond_a_number_there_is_one_try_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for another try do not pile up."""
    monkeypatch.setattr(tidying, "MOST", 1)
    waiting, go_on = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        waiting.set()
        go_on.wait(60)

    register = Tidying(label="cookie-1", wait=wait)
    first, second, third = Act(OVERLOADED), Always(OVERLOADED), Act(OVERLOADED)
    register.start(lambda: register.persist(first, "stopping a bot"))
    assert waiting.wait(60)
    assert register.persist(second, "stopping a bot") is None
    assert 1 == second.calls
    go_on.set()
    until(lambda: 2 == first.calls and not register._waiting)

    assert 7 == register.persist(third, "stopping a bot")
    register.close(60)


# ---- the end


def test_the_end_waits_until_all_is_done(lines: Callable[[], list[str]]) -> None:
    """A task that is under way is heard out."""
    register, go_on, done = Tidying(label="cookie-1"), threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(60)
        done.set()

    register.start(work)
    threading.Timer(0.05, go_on.set).start()
    register.close(60)

    assert done.is_set()
    assert [] == lines()


def test_what_waits_for_another_try_has_it_at_once_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its pause is cut short, and further ones are short."""
    monkeypatch.setattr(tidying, "PAUSE", 3600.0)
    monkeypatch.setattr(tidying, "PERSISTENCE", 36000.0)
    monkeypatch.setattr(tidying, "_LAST_PAUSE", 0.01)
    register, act = Tidying(label="cookie-1"), Act(OVERLOADED, OVERLOADED)
    register.start(lambda: register.persist(act, "stopping a bot"))
    until(lambda: register._waiting)
    register.close(60)

    assert 3 == act.calls


def test_what_cannot_be_done_in_time_is_given_up_and_counted(
    lines: Callable[[], list[str]],
) -> None:
    """One warning for all of it, and no try afterwards."""
    register, act = Tidying(label="cookie-1"), Always(OVERLOADED)
    ended = threading.Semaphore(0)

    def work() -> None:
        register.persist(act, "stopping a bot")
        ended.release()

    for _ in range(2):
        register.start(work)
    until(lambda: 2 <= act.calls)
    register.close(0.0)
    for _ in range(2):
        assert ended.acquire(timeout=60)

    warnings = [line for line in lines() if "WARNING" in line]
    assert 1 == len(warnings)
    assert "cookie-1: 2 chat(s) were not tidied up before the end" in warnings[0]


def test_a_task_with_a_fault_of_ours_is_over_too(lines: Callable[[], list[str]]) -> None:
    """The end does not wait for it."""
    register = Tidying(label="cookie-1")
    register.start(lambda: [][0])
    register.close(60)

    assert "cookie-1: tidying up failed" in lines()[0]


def test_replies_under_way_are_hung_up_in_the_end() -> None:
    """Those that are over are not; and no other begins."""
    register, hung_up = Tidying(label="cookie-1"), []

    def hang_up() -> None:
        hung_up.append("under way")
        register.start(lambda: hung_up.append("stopped"))

    def over() -> Any:
        hung_up.append("over")

    register.enlist(hang_up)
    register.enlist(over)
    register.withdraw(over)
    register.close(60)

    assert ["under way", "stopped"] == hung_up
    with pytest.raises(errors.UpstreamUnreachable):
        register.enlist(hang_up)
