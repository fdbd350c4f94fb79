"""The pool of processes that check: how many there are, and who gets one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest

from poe_proxy.checker.pool import Pool
from poe_proxy.checker.process import Outcome, Process, Unavailable

from ..fakes import until
from .jobs import DOUBLED, check, family, is_running, read

LONG = 60.0


def job() -> bytes:
    return read({})


class Noting:
    """Starts processes, and notes them and how long each job may take."""

    def __init__(self, *, stopped: bool = False) -> None:
        self.started: list[Process] = []
        self.granted: list[float] = []
        self._stopped = stopped

    def __call__(self) -> Process:
        noted = self.granted

        class Noted(Process):
            def ask(self, written: bytes, seconds: float) -> Outcome:
                noted.append(seconds)
                return super().ask(written, seconds)

        process = Noted(patience=LONG)
        self.started.append(process)
        if self._stopped:
            os.killpg(process.pid, signal.SIGSTOP)
        return process

    def go_on(self) -> None:
        for process in self.started:
            os.killpg(process.pid, signal.SIGCONT)


@contextmanager
def busy(pool: Pool, start: Noting) -> Iterator[list[Thread]]:
    """Both processes of the pool are at work until the block ends, or `go_on`."""
    threads = [Thread(target=pool.ask, args=(job, 1.0)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(start.granted) == 2)
        yield threads
    finally:
        start.go_on()
        for thread in threads:
            thread.join()


def test_a_process_is_started_when_it_is_needed_and_kept() -> None:
    """A server whose clients have no schemas never has one."""
    start = Noting()
    with closing(Pool(start=start)) as pool:
        assert [] == start.started

        for _ in range(3):
            assert pool.ask(job, LONG).is_whole

        assert 1 == len(start.started)


def test_a_job_that_was_killed_leaves_no_trace() -> None:
    """The next one is done as if nothing had happened."""
    start = Noting()
    with closing(Pool(start=start)) as pool:
        assert not pool.ask(lambda: check(DOUBLED, 1), 0.05).is_whole
        assert pool.ask(job, LONG).is_whole

        assert 1 == len(start.started)


def test_a_process_that_ended_by_itself_is_replaced() -> None:
    """Nobody is blamed for that."""
    start = Noting()
    with closing(Pool(start=start)) as pool:
        pool.ask(job, LONG)
        os.kill(start.started[0].pid, signal.SIGKILL)
        until(lambda: not start.started[0].is_fit)

        assert pool.ask(job, LONG).is_whole


def test_there_are_two_at_most_and_waiting_has_an_end() -> None:
    """A third job is given up if neither has become free in time."""
    start = Noting(stopped=True)
    with (
        closing(Pool(start=start, patience=0.01)) as pool,
        busy(pool, start),
        pytest.raises(Unavailable, match="all are at work"),
    ):
        pool.ask(job, LONG)

    assert 2 == len(start.started)


def test_a_job_is_not_written_before_its_time() -> None:
    """Many may wait, and each may be large."""
    start = Noting(stopped=True)
    written: list[int] = []

    def noted() -> bytes:
        written.append(pool.waiting)
        return job()

    with closing(Pool(start=start, patience=LONG)) as pool, busy(pool, start):
        waiting = [Thread(target=pool.ask, args=(noted, LONG)) for _ in "ab"]
        for thread in waiting:
            thread.start()
        until(lambda: pool.waiting == len(waiting))
        assert [] == written
        start.go_on()
        for thread in waiting:
            thread.join()

    assert 2 == len(written)


def test_a_job_gets_less_while_others_wait() -> None:
    """So that costly ones do not keep the others waiting for long."""
    start = Noting(stopped=True)
    outcomes: list[Outcome] = []
    with closing(Pool(start=start, patience=LONG)) as pool, busy(pool, start):
        waiting = [Thread(target=lambda: outcomes.append(pool.ask(job, 1.0))) for _ in "abcd"]
        for thread in waiting:
            thread.start()
        until(lambda: pool.waiting == len(waiting))
        start.go_on()
        for thread in waiting:
            thread.join()

    assert [1.0, 1.0] == start.granted[:2]
    assert [1 / 4, 1 / 3, 1 / 2, 1.0] == sorted(start.granted[2:])
    assert [False, True, True, True] == sorted(one.is_cut for one in outcomes)


def test_in_the_greatest_crowd_there_is_enough_for_an_honest_job() -> None:
    """And never more than was asked for."""
    start = Noting(stopped=True)
    with closing(Pool(start=start, patience=LONG)) as pool, busy(pool, start):
        waiting = [Thread(target=pool.ask, args=(job, 0.03)) for _ in "abc"]
        waiting += [Thread(target=pool.ask, args=(job, 0.005)) for _ in "abc"]
        for thread in waiting:
            thread.start()
        until(lambda: pool.waiting == len(waiting))
        start.go_on()
        for thread in waiting:
            thread.join()

    assert {0.005, 0.01, 0.015, 0.03} >= set(start.granted[2:])
    assert 3 == start.granted.count(0.005)


def test_without_processes_jobs_are_given_up() -> None:
    """Each of them at once, however many there are."""

    def start() -> Process:
        raise OSError("no more processes")

    pool = Pool(start=start, patience=LONG)
    for _ in range(5):
        with pytest.raises(Unavailable):
            pool.ask(job, LONG)


def test_closing_ends_the_processes() -> None:
    """Those that are not at work. A job that comes later is done all the same."""
    start = Noting()
    pool = Pool(start=start)
    pool.ask(job, LONG)
    pids = family(start.started[0].pid)

    pool.close()

    until(lambda: not any(is_running(pid) for pid in pids))
    assert pool.ask(job, LONG).is_whole
    pool.close()
