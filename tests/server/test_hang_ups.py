"""Clients that hang up while their answer is under way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from poe_proxy.server.client_socket import ClientSocket
from poe_proxy.server.hang_ups import HangUps
from poe_proxy.waiting import LONG, SHORT, Listener

from ..fakes import until
from .connections import pair, tcp_pair


@pytest.fixture
def hang_ups() -> HangUps:
    return HangUps()


@pytest.fixture
def ours_and_theirs() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a connection, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_client_that_hangs_up_is_noticed(
    hang_ups: HangUps, ours_and_theirs: tuple[socket.socket, socket.socket]
) -> None:
    """Though nobody looks, and once."""
    ours, theirs = ours_and_theirs
    told: list[None] = []
    number = hang_ups.watch(ours, lambda: told.append(None))

    theirs.close()
    until(lambda: told)
    hang_ups.forget(number)

    assert [None] == told


def test_a_client_that_breaks_off_is_noticed(hang_ups: HangUps) -> None:
    """A reset is a hang-up, too."""
    gone = threading.Event()
    with tcp_pair() as (ours, theirs):
        hang_ups.watch(ours, gone.set)
        # Closing with a linger time of zero sends a reset.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        theirs.close()

        assert gone.wait(60)


def test_each_is_told_for_itself(hang_ups: HangUps) -> None:
    """However many wait, and whoever began to wait when others did already."""
    told: list[int] = []
    pairs = [socket.socketpair() for _ in range(50)]
    numbers = [
        hang_ups.watch(ours, partial(told.append, place)) for place, (ours, _) in enumerate(pairs)
    ]
    for place in (7, 3, 49):
        pairs[place][1].close()
        until(lambda place=place: told[-1:] == [place])

    assert [7, 3, 49] == told
    for (ours, theirs), number in zip(pairs, numbers, strict=True):
        hang_ups.forget(number)
        ours.close()
        theirs.close()


def test_a_client_that_sends_ahead_is_there(
    hang_ups: HangUps, ours_and_theirs: tuple[socket.socket, socket.socket]
) -> None:
    """The next request of an eager client is neither a hang-up nor read away; nor does it keep
    anybody busy."""
    ours, theirs = ours_and_theirs
    told: list[str] = []
    number = hang_ups.watch(ours, lambda: told.append("eager"))
    theirs.sendall(b"GET / HTTP/1.1")
    selector = hang_ups._selector
    assert selector is not None
    until(lambda: number not in selector.get_map())

    assert [] == told
    assert b"GET / HTTP/1.1" == ours.recv(100)
    hang_ups.forget(number)


def test_who_is_forgotten_is_not_told(
    hang_ups: HangUps, ours_and_theirs: tuple[socket.socket, socket.socket]
) -> None:
    """Its socket may be closed, and another one get its number."""
    ours, theirs = ours_and_theirs
    told: list[str] = []
    number = hang_ups.watch(ours, lambda: told.append("forgotten"))
    hang_ups.forget(number)
    hang_ups.forget(number)
    theirs.close()
    other, client = socket.socketpair()
    with other, client:
        again = hang_ups.watch(other, lambda: told.append("other"))
        client.close()
        until(lambda: told)
        hang_ups.forget(again)

    assert ["other"] == told


def test_who_fails_to_be_told_does_not_end_the_watch(
    hang_ups: HangUps, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the log, and the next one is told."""
    gone = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    for told in (fail, gone.set):
        ours, theirs = socket.socketpair()
        with ours:
            number = hang_ups.watch(ours, told)
            theirs.close()
            if told is fail:
                until(lambda: "ZeroDivisionError" in caplog.text)
            else:
                assert gone.wait(60)
            hang_ups.forget(number)


# ---- by the socket of a request


def test_a_listener_is_told_and_its_wait_ends() -> None:
    """From when its client is watched on it may wait for long."""
    listener, woken = Listener(), threading.Event()
    assert SHORT == listener.patience
    with pair() as (ours, theirs):
        client = ClientSocket({"gunicorn.socket": ours})
        assert client.watch(listener)
        assert LONG == listener.patience
        listener.wakes(woken.set)
        theirs.close()

        assert woken.wait(60)
        assert listener.is_gone
        client.forget()
        client.forget()


def test_a_listener_whose_socket_nobody_sees_waits_for_long_too() -> None:
    """To look again and again would show nothing."""
    listener = Listener()

    assert ClientSocket({}).watch(listener)
    assert LONG == listener.patience


def test_without_a_descriptor_for_it_nobody_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is looked at again and again."""
    from poe_proxy.server import client_socket

    def full(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(client_socket.hang_ups, "watch", full)
    listener = Listener()
    with pair() as (ours, _):
        assert not ClientSocket({"gunicorn.socket": ours}).watch(listener)
    assert SHORT == listener.patience
