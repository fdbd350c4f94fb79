"""Memory of large blocks: who can be told to give it back."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Callable

import pytest

from poe_proxy.server import allocation
from poe_proxy.server.allocation import CROWD, PAUSE, Crowd, return_memory, trim


def test_glibc_is_told() -> None:
    """On Linux with glibc that succeeds; on other systems nothing happens."""
    assert (platform.libc_ver()[0] == "glibc") is return_memory()
    assert (platform.libc_ver()[0] == "glibc") is trim()


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such function, the server starts all the same."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())

    assert not return_memory()
    assert not trim()


def test_circles_are_looked_for_seldom_and_not_in_what_is_loaded() -> None:
    """The parsed values of a large body are not looked through again and again."""
    before = gc.get_threshold()
    gc.unfreeze()
    try:
        allocation.look_for_circles_later()
        assert not gc.isenabled()
        allocation.look_for_circles_less()
        frozen = gc.get_freeze_count()
        found = gc.get_threshold()
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*before)

    assert frozen > 1000
    assert (allocation.CIRCLES, allocation.OFTEN, 10) == found


# ---- a crowd


class Leaving:
    """A crowd that comes and leaves; time passes when it is told to."""

    def __init__(self) -> None:
        self.given_back = 0
        self.waits: list[float] = []
        self._due: list[Callable[[], None]] = []
        self._number = 0
        self._crowd = Crowd(self._give_back, timer=self._timer)

    def _give_back(self) -> None:
        self.given_back += 1

    def _timer(self, seconds: float, end: Callable[[], None]) -> Leaving:
        self.waits.append(seconds)
        self._due.append(end)
        return self

    daemon = False

    def start(self) -> None:
        assert self.daemon

    def come(self, number: int) -> None:
        self._number += number

    def leave(self, number: int) -> None:
        for _ in range(number):
            self._number -= 1
            self._crowd.left(self._number)

    def pass_time(self) -> None:
        due, self._due = self._due, []
        for end in due:
            end()


@pytest.fixture
def crowd() -> Leaving:
    return Leaving()


def test_what_a_crowd_has_taken_goes_back_once_it_has_left(crowd: Leaving) -> None:
    """Some seconds later, and once for all who leave by then."""
    crowd.come(1000)
    crowd.leave(740)
    assert [] == crowd.waits
    crowd.leave(240)
    assert [PAUSE] == crowd.waits
    assert 0 == crowd.given_back
    crowd.pass_time()
    assert 1 == crowd.given_back


def test_who_stays_longer_is_waited_for_again(crowd: Leaving) -> None:
    """What they have taken goes back as well when they leave."""
    crowd.come(1000)
    crowd.leave(800)
    crowd.pass_time()
    crowd.leave(200)
    crowd.pass_time()

    assert 2 == crowd.given_back


def test_a_few_are_no_crowd(crowd: Leaving) -> None:
    """A server with little to do is not woken for them."""
    for _ in range(100):
        crowd.come(CROWD - 1)
        crowd.leave(CROWD - 1)

    assert [] == crowd.waits


def test_a_crowd_that_stays_keeps_its_memory(crowd: Leaving) -> None:
    """Whoever comes in the place of those that leave would need it again."""
    crowd.come(1000)
    for _ in range(100):
        crowd.leave(100)
        crowd.come(100)

    assert [] == crowd.waits
