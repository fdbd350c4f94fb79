"""Work that blocks, and the signs of life meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from poe_proxy.chat import Idle
from poe_proxy.upstreams.poe_web.waiting import meanwhile, one_by_one


def result(waiting: Generator[Idle, None, Any]) -> Any:
    """Take in all signs of life; return what the generator returns."""
    while True:
        try:
            assert Idle() == next(waiting)
        except StopIteration as end:
            return end.value


def test_there_are_signs_of_life_until_the_work_is_done() -> None:
    """Idle comes until the work is done, and then its result."""
    go_on = threading.Event()

    def work() -> str:
        go_on.wait(60)
        return "done"

    waiting = meanwhile(work, name="test work")
    assert Idle() == next(waiting)
    assert Idle() == next(waiting)
    go_on.set()

    assert "done" == result(waiting)


def test_work_that_fails_does_so_for_the_caller() -> None:
    """The exception of the work is raised in the caller's thread."""

    def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        result(meanwhile(work, name="test work"))


def test_closing_does_not_wait_for_the_work() -> None:
    """The work goes on, for what it finds out may serve another reply."""
    go_on, is_done = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(60)
        is_done.set()

    waiting = meanwhile(work, name="test work")
    next(waiting)
    waiting.close()
    assert not is_done.is_set()
    go_on.set()

    assert is_done.wait(60)


def test_the_thread_says_what_it_does() -> None:
    """The thread has a name, for those who look at a running process."""
    assert "cookie-1 login" == result(
        meanwhile(lambda: threading.current_thread().name, name="cookie-1 login")
    )


def test_pieces_of_work_come_in_their_order() -> None:
    """All that the work yields comes once all of it is done."""
    assert [1, 2, 3] == result(one_by_one(iter([1, 2, 3]), name="test work"))


def test_closing_ends_the_work_behind_the_piece_that_is_under_way() -> None:
    """Once it is closed, no further piece is begun."""
    go_on, begun = threading.Event(), []
    threads: list[threading.Thread] = []

    def pieces() -> Iterator[int]:
        threads.append(threading.current_thread())
        for number in range(3):
            begun.append(number)
            go_on.wait(60)
            yield number

    waiting = one_by_one(pieces(), name="test work")
    next(waiting)
    waiting.close()
    go_on.set()
    threads[0].join(60)

    assert [0] == begun
