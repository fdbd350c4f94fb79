"""Blocking calls with a result that can be waited for."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.net.background import Background


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
