"""The register of an account's stops and deletions; the clock is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.upstreams.poe_web import tidying
from poe_proxy.upstreams.poe_web.graphql import ServerError
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


def test_of_a_site_that_has_changed_the_log_says_no_more(
    timed: Timed, lines: Callable[[], list[str]]
) -> None:
    """Whoever found that out has said so, once for all chats; nor of the error that led to it."""
    act = Act(ServerError("Server Error"), errors.UpstreamChanged("a new hash"))

    assert timed.tidying.persist(act, "stopping a bot") is None
    assert 2 == act.calls
    assert [] == lines()


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


# ---- chats that cannot be deleted now

CHANGED = errors.UpstreamChanged("a new hash")


class Poe:
    """Deletes chats, unless a test says otherwise."""

    def __init__(self) -> None:
        #: What comes of a chat's deletion; None is said of all others.
        self.failures: dict[int | None, Exception] = {}
        self.asked: list[int] = []
        self.deleted: list[int] = []

    def delete(self, chat_id: int) -> None:
        self.asked.append(chat_id)
        failure = self.failures.get(chat_id, self.failures.get(None))
        if failure is not None:
            raise failure
        self.deleted.append(chat_id)


@pytest.fixture
def poe() -> Poe:
    return Poe()


def test_a_chat_that_poe_cannot_be_asked_to_delete_is_deleted_later(
    timed: Timed, poe: Poe, lines: Callable[[], list[str]]
) -> None:
    """With the next one that is deleted, one after the other with a rest before each; then it is
    over."""
    poe.failures = {None: CHANGED}
    for chat_id in (1, 2, 3):
        timed.tidying.delete(poe.delete, chat_id)
    assert [1, 2, 3] == poe.asked
    poe.failures = {}
    timed.tidying.delete(poe.delete, 4)
    timed.tidying.delete(poe.delete, 5)

    assert [4, 1, 2, 3, 5] == poe.deleted
    assert [True] * 3 == [one >= PAUSE for one in timed.pauses]
    timed.tidying.close()
    assert [] == lines()


def test_what_fails_in_between_ends_the_deletion_of_what_was_kept(timed: Timed, poe: Poe) -> None:
    """All of them are still there for the next time."""
    poe.failures = {None: CHANGED}
    for chat_id in (1, 2, 3):
        timed.tidying.delete(poe.delete, chat_id)
    poe.failures = {2: errors.TokenLimited("429")}
    timed.tidying.delete(poe.delete, 4)
    assert [4, 1] == poe.deleted
    poe.failures = {}
    timed.tidying.delete(poe.delete, 5)

    assert {1, 2, 3, 4, 5} == set(poe.deleted)
    assert 5 == len(poe.deleted)


@pytest.mark.parametrize(
    ("failure", "times"),
    [(ServerError("Server Error"), 3), (errors.UpstreamRefused("gone"), 1)],
    ids=["server error", "refused"],
)
def test_a_chat_that_poe_does_not_delete_though_it_deletes_others_is_given_up(
    timed: Timed, poe: Poe, failure: Exception, times: int
) -> None:
    """It is gone, or none of ours; the others do not wait for it."""
    poe.failures = {None: CHANGED}
    for chat_id in (1, 2):
        timed.tidying.delete(poe.delete, chat_id)
    poe.failures, poe.asked = {1: failure}, []
    for chat_id in range(10, 20):
        timed.tidying.delete(poe.delete, chat_id)

    assert [10, 2, *range(11, 20)] == poe.deleted
    assert times == poe.asked.count(1)


def test_what_fails_otherwise_is_not_kept(timed: Timed, poe: Poe) -> None:
    """It was tried for a minute, or Poe says no: the log has it."""
    for failure in (OVERLOADED, errors.UpstreamRefused("no")):
        poe.failures = {None: failure}
        timed.tidying.delete(poe.delete, 1)
    poe.failures = {}
    timed.tidying.delete(poe.delete, 2)

    assert [2] == poe.deleted


def test_the_chats_that_are_kept_are_bounded(
    monkeypatch: pytest.MonkeyPatch, timed: Timed, poe: Poe
) -> None:
    """The oldest are forgotten; one that is kept already counts once."""
    monkeypatch.setattr(tidying, "MOST_CHATS", 3)
    poe.failures = {None: CHANGED}
    for chat_id in (1, 2, 3, 4, 5, 5, 4):
        timed.tidying.delete(poe.delete, chat_id)
    poe.failures = {}
    timed.tidying.delete(poe.delete, 6)

    assert [6, 3, 4, 5] == poe.deleted


def test_the_end_says_how_many_chats_were_not_deleted(
    timed: Timed, poe: Poe, lines: Callable[[], list[str]]
) -> None:
    """Once, and without asking for them again."""
    poe.failures = {None: CHANGED}
    for chat_id in (1, 2):
        timed.tidying.delete(poe.delete, chat_id)
    for _ in range(2):
        timed.tidying.close()

    (line,) = lines()
    assert "WARNING" in line
    assert "cookie-1: 2 chat(s) were not deleted" in line
    assert [1, 2] == poe.asked


def test_an_account_that_closes_does_not_begin_to_delete_what_was_kept(
    timed: Timed, poe: Poe
) -> None:
    """It has little time: the chat at hand is deleted, and no more."""
    poe.failures = {None: CHANGED}
    timed.tidying.delete(poe.delete, 1)
    poe.failures = {}
    timed.tidying._closing.set()
    timed.tidying.delete(poe.delete, 2)

    assert [2] == poe.deleted


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
