"""Blocking calls with a result that can be waited for."""

from __future__ import annotations

import threading
import weakref

import pytest

from poe_proxy.net import background
from poe_proxy.net.background import Background, start

from ..fakes import log_lines, until


def test_what_the_call_returns() -> None:
    """It is made in another thread, which has the name that was given."""
    call = Background(threading.current_thread, name="errand")

    assert "errand" == call.result().name
    assert call.result() is not threading.current_thread()
    assert call.result().daemon


def test_none_is_a_result() -> None:
    """As any other."""
    assert Background(lambda: None).result() is None


@pytest.mark.parametrize("failure", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_call_raises(failure: BaseException) -> None:
    """It reaches the caller, whatever it is, and each time that the result is asked for."""

    def work() -> None:
        raise failure

    call = Background(work)
    for _ in range(2):
        with pytest.raises(type(failure)) as raised:
            call.result()
        assert failure is raised.value


def test_a_call_that_is_not_done() -> None:
    """Waiting for it is a matter of seconds, and ends as soon as it is done."""
    gate = threading.Event()
    call = Background(gate.wait)

    assert not call.wait(0.01)
    gate.set()
    assert call.wait(10)
    assert True is call.result()


def test_the_result_is_waited_for() -> None:
    """However long the call takes."""
    gate = threading.Event()
    call = Background(gate.wait)
    threading.Timer(0.01, gate.set).start()

    assert True is call.result()


# ---- threads that are kept


def done_in(name: str) -> threading.Thread:
    """The thread in which a work of that *name* was done, once it has nothing more to do."""
    found: list[tuple[threading.Thread, str]] = []
    start(lambda: found.append((threading.current_thread(), threading.current_thread().name)), name)
    until(lambda: found and found[0][0].name == "idle")
    assert name == found[0][1]
    return found[0][0]


def test_a_thread_is_kept_for_the_next_work() -> None:
    """It is seen by what it does, and does not keep the process alive."""
    first = done_in("errand")

    assert first is done_in("another errand")
    assert first.daemon


def test_works_that_last_have_threads_of_their_own() -> None:
    """None waits for another one."""
    gate, names = threading.Barrier(4), list[str]()

    def work() -> None:
        gate.wait(60)
        names.append(threading.current_thread().name)

    for number in range(3):
        start(work, f"errand {number}")
    gate.wait(60)
    until(lambda: len(names) == 3)

    assert {"errand 0", "errand 1", "errand 2"} == set(names)


def test_a_thread_that_has_nothing_to_do_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """If enough of them are kept."""
    monkeypatch.setattr(background, "MOST_KEPT", 0)
    found: list[threading.Thread] = []
    start(lambda: found.append(threading.current_thread()), "errand")
    until(lambda: found)
    found[0].join(60)
    assert not found[0].is_alive()


def test_a_work_that_fails_is_logged() -> None:
    """Its thread goes on."""

    def fail() -> None:
        raise ValueError("a fault")

    with log_lines() as lines:
        start(fail, "errand")
        until(lambda: "errand failed" in lines.getvalue())
    assert done_in("another errand").is_alive()


def test_what_a_work_holds_is_freed_with_it() -> None:
    """Though its thread waits for the next one."""
    held = threading.Event()
    alive = weakref.ref(held)
    start(held.set, "errand")
    assert held.wait(60)
    del held

    until(lambda: alive() is None)
