"""A time for all steps of connecting."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from poe_proxy.net.background import Background
from poe_proxy.net.deadline import Attempt, Deadline, in_time
from tests.fakes import until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def nothing(result: object) -> None:
    raise AssertionError(result)


def test_work_in_time_returns(pair: tuple[socket.socket, socket.socket]) -> None:
    """What it has connected stays as it is."""
    one, other = pair

    def work(deadline: Deadline) -> str:
        deadline.watch(one)
        return "done" if 0 < deadline.left() <= 60 else "late"

    assert "done" == in_time(work, 60, undo=nothing, name="test")
    one.sendall(b"x")
    assert b"x" == other.recv(1)


def test_a_failure_is_the_work_s_own() -> None:
    """Whatever it is."""

    def fail(deadline: Deadline) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        in_time(fail, 60, undo=nothing, name="test")


def test_what_waits_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    """The thread gets on, and the caller did not wait for it."""
    one, _ = pair
    over: list[bool] = []

    def work(deadline: Deadline) -> None:
        # On a busy machine the time may be over before it has begun.
        with suppress(TimeoutError):
            deadline.watch(one)
            one.recv(1)
        over.append(True)

    with pytest.raises(TimeoutError):
        in_time(work, 0.2, undo=lambda _: None, name="test")
    until(lambda: over)


def test_what_comes_too_late_is_undone(pair: tuple[socket.socket, socket.socket]) -> None:
    """And nothing more is connected."""
    gate = threading.Event()
    undone: list[str] = []
    refused: list[bool] = []

    def work(deadline: Deadline) -> str:
        gate.wait(60)
        try:
            deadline.watch(pair[0])
        except TimeoutError:
            refused.append(True)
        return "late"

    with pytest.raises(TimeoutError):
        in_time(work, 0.05, undo=undone.append, name="test")
    gate.set()
    until(lambda: undone)

    assert (["late"], [True]) == (undone, refused)


def test_the_last_of_two_is_watched(pair: tuple[socket.socket, socket.socket]) -> None:
    """One that was given up before is not."""
    with socket.socket() as before:
        deadline = Deadline(60)
        deadline.watch(before)
        deadline.watch(pair[0])
        reading = Background(lambda: pair[0].recv(1))
        deadline.pass_by()

        assert b"" == reading.result()
        assert not deadline.end()


# ---- an attempt that is waited for by and by


def test_an_attempt_is_waited_for_by_and_by() -> None:
    """What it returns is there when it is done, and not before."""
    gate = threading.Event()
    attempt = Attempt(lambda deadline: gate.wait(60), 60, undo=nothing, name="test")

    assert not attempt.wait(0)
    assert not attempt.wait(0.01)
    gate.set()
    assert attempt.wait(60)
    assert attempt.result() is True


def test_an_attempt_that_is_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whoever waits for it waits no more, what it waits for is cut, and its result is undone."""
    undone: list[bytes] = []
    is_watched = threading.Event()

    def work(deadline: Deadline) -> bytes:
        deadline.watch(pair[0])
        is_watched.set()
        return pair[0].recv(1)

    attempt = Attempt(work, 3600, undo=undone.append, name="test")
    waiting = Background(lambda: attempt.wait(3600))
    assert is_watched.wait(60)
    attempt.give_up()

    assert waiting.result()
    with pytest.raises(TimeoutError):
        attempt.result()
    until(lambda: undone)
    assert [b""] == undone


def test_giving_up_what_is_done_changes_nothing() -> None:
    """Its result is there, and is not undone."""
    attempt = Attempt(lambda deadline: "done", 60, undo=nothing, name="test")
    assert attempt.wait(60)
    attempt.give_up()

    assert "done" == attempt.result()


def test_an_attempt_has_a_time_of_its_own() -> None:
    """However patient whoever waits for it is."""
    gate = threading.Event()
    attempt = Attempt(lambda deadline: gate.wait(60), 0.05, undo=lambda _: None, name="test")

    assert attempt.wait(3600)
    with pytest.raises(TimeoutError):
        attempt.result()
    gate.set()
