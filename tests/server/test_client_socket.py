"""The client's socket: has it hung up, is it cut in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from poe_proxy.server.client_socket import ClientSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a connection, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def over(ours: socket.socket) -> ClientSocket:
    return ClientSocket({"gunicorn.socket": ours})


def test_a_silent_client_is_still_there(pair: tuple[socket.socket, socket.socket]) -> None:
    """A client that waits for its answer says nothing, and has not hung up."""
    ours, _ = pair

    began = time.monotonic()
    assert not over(ours).is_gone()
    assert time.monotonic() - began < 0.5


def test_a_client_that_hung_up_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    """A closed connection is noticed at the next look."""
    ours, theirs = pair

    theirs.close()

    assert over(ours).is_gone()
    assert over(ours).is_gone()


def test_a_client_that_sends_ahead_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    """The next request of an eager client is neither a hang-up nor read away."""
    ours, theirs = pair

    theirs.sendall(b"GET / HTTP/1.1")

    assert not over(ours).is_gone()
    assert b"GET / HTTP/1.1" == ours.recv(100)


def test_looking_does_not_change_the_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whether the socket blocks, and for how long, is the server's business."""
    ours, _ = pair
    ours.settimeout(7.0)

    over(ours).is_gone()

    assert 7.0 == ours.gettimeout()


@pytest.fixture
def network() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a connection, and the client's, with TCP between them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours, theirs:
        yield ours, theirs


def test_a_broken_connection_is_gone(network: tuple[socket.socket, socket.socket]) -> None:
    """A reset counts as a hang-up, not as a fault."""
    ours, theirs = network
    with ours:
        # Closing with a linger time of zero sends a reset.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        theirs.close()

        assert over(ours).is_gone()


def test_what_we_closed_ourselves_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    """Nobody is there to hear an answer on a socket that the server has closed."""
    ours, _ = pair

    ours.close()

    assert over(ours).is_gone()


def test_a_server_that_keeps_its_socket_to_itself_is_trusted() -> None:
    """Without a socket to look at, the client counts as there, and nothing is cut."""
    connection = ClientSocket({})

    assert not connection.is_gone()
    connection.cut()
    with connection.deadline(0.001):
        time.sleep(0.01)


def test_a_cut_connection_can_neither_be_read_nor_written(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """After a cut both ends see the end at once; a second cut does no harm."""
    ours, theirs = pair
    connection = over(ours)

    connection.cut()
    connection.cut()

    assert b"" == ours.recv(1)
    assert b"" == theirs.recv(1)
    with pytest.raises(BrokenPipeError):
        ours.send(b"more")


def test_a_slow_body_is_cut_off(pair: tuple[socket.socket, socket.socket]) -> None:
    """Reading that takes longer than its deadline ends, instead of waiting for ever."""
    ours, theirs = pair
    theirs.sendall(b"{")
    read = []

    # gevent tells a reader of the cut by an error, plain sockets by their end.
    with suppress(OSError), over(ours).deadline(0.03):
        while piece := ours.recv(1):
            read.append(piece)

    assert [b"{"] == read


def test_a_body_in_time_leaves_nothing_behind(pair: tuple[socket.socket, socket.socket]) -> None:
    """Once the block is done its deadline is off, whether it succeeded or failed."""
    ours, _ = pair
    connection = over(ours)

    with connection.deadline(0.02):
        pass
    with pytest.raises(ZeroDivisionError), connection.deadline(0.02):
        raise ZeroDivisionError
    time.sleep(0.04)

    assert not connection.is_gone()
    ours.send(b"still open")


def test_a_deadline_does_not_hold_the_process(pair: tuple[socket.socket, socket.socket]) -> None:
    """A worker that stops does not wait for deadlines that are still running."""
    ours, _ = pair
    before = set(threading.enumerate())

    with over(ours).deadline(60.0):
        started = set(threading.enumerate()) - before

    assert all(thread.daemon for thread in started)


def test_a_client_that_takes_nothing_is_given_up(
    network: tuple[socket.socket, socket.socket],
) -> None:
    """A write to a client that stays and does not read fails, instead of waiting for ever."""
    ours, _ = network
    ours.settimeout(20.0)

    over(ours).limit_writes(0.5)

    # In the kernel's words: our own end of patience is a mere "timed out".
    with pytest.raises(TimeoutError, match="Connection timed out"):
        ours.sendall(b"x" * 50_000_000)


def test_a_client_that_takes_a_little_is_waited_for(
    network: tuple[socket.socket, socket.socket],
) -> None:
    """What counts is the time without progress, not that of the whole write."""
    ours, theirs = network
    ours.settimeout(20.0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
    over(ours).limit_writes(1.0)
    left = size = 5_000_000

    def read_slowly() -> None:
        nonlocal left
        while left > 0:
            time.sleep(0.05)
            left -= len(theirs.recv(size // 40))

    reader = threading.Thread(target=read_slowly)
    reader.start()
    began = time.monotonic()
    ours.sendall(b"x" * size)
    reader.join(20.0)

    assert 0 == left
    assert 1.0 < time.monotonic() - began


def test_a_client_on_no_network_is_not_limited(pair: tuple[socket.socket, socket.socket]) -> None:
    """A Unix socket knows no such limit; that is no fault."""
    ours, theirs = pair

    over(ours).limit_writes(0.1)
    ClientSocket({}).limit_writes(0.1)

    ours.send(b"x")
    assert b"x" == theirs.recv(1)
