"""The client's socket: has it hung up, is it cut in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from poe_proxy.net.background import Background
from poe_proxy.server.client_socket import ClientSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end of a connection, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def over(ours: socket.socket) -> ClientSocket:
    return ClientSocket({"gunicorn.socket": ours})


def threads_since(before: set[threading.Thread]) -> set[threading.Thread]:
    return set(threading.enumerate()) - before


def test_a_silent_client_is_still_there(pair: tuple[socket.socket, socket.socket]) -> None:
    """A client that waits for its answer says nothing, and has not hung up."""
    ours, _ = pair

    # A look that waited for the client would have no end, and a thousand short waits a late one.
    looks = Background(lambda: [over(ours).is_gone() for _ in range(1000)])

    assert looks.wait(60.0)
    assert {False} == set(looks.result())


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
    """A socket that the server has closed leads to no client."""
    ours, _ = pair

    ours.close()

    assert over(ours).is_gone()


def test_a_server_that_keeps_its_socket_to_itself_is_trusted() -> None:
    """Without a socket to look at, the client counts as there, and nothing is cut."""
    connection = ClientSocket({})

    assert not connection.is_gone()
    connection.cut()
    before = set(threading.enumerate())
    with connection.deadline(0.001):
        for thread in threads_since(before):
            thread.join(60.0)
            assert not thread.is_alive()


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

    # With gevent a cut is an error for the reader, on a plain socket it is the end.
    with suppress(OSError), over(ours).deadline(0.03):
        while piece := ours.recv(1):
            read.append(piece)

    assert [b"{"] == read


def test_a_body_in_time_leaves_nothing_behind(pair: tuple[socket.socket, socket.socket]) -> None:
    """Once the block is done its deadline is off, whether it succeeded or failed."""
    ours, _ = pair
    connection = over(ours)
    before = set(threading.enumerate())

    with connection.deadline(3600.0):
        pass
    with pytest.raises(ZeroDivisionError), connection.deadline(3600.0):
        raise ZeroDivisionError
    for thread in threads_since(before):
        thread.join(60.0)

    assert set() == threads_since(before)
    assert not connection.is_gone()
    ours.send(b"still open")


def test_a_deadline_does_not_hold_the_process(pair: tuple[socket.socket, socket.socket]) -> None:
    """A worker that stops does not wait for deadlines that are still running."""
    ours, _ = pair
    before = set(threading.enumerate())

    with over(ours).deadline(60.0):
        started = threads_since(before)

    assert all(thread.daemon for thread in started)


def test_a_client_that_takes_nothing_is_given_up(
    network: tuple[socket.socket, socket.socket],
) -> None:
    """A write to a client that stays and does not read fails, instead of waiting for ever."""
    ours, _ = network
    ours.settimeout(60.0)

    over(ours).limit_writes(0.5)

    # In the kernel's words: our own end of patience is a mere "timed out".
    with pytest.raises(TimeoutError, match="Connection timed out"):
        ours.sendall(b"x" * 50_000_000)


def test_a_client_that_takes_a_little_is_waited_for(
    network: tuple[socket.socket, socket.socket],
) -> None:
    """What counts is the time without progress, not that of the whole write."""
    ours, theirs = network
    ours.settimeout(60.0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
    # Longer than a reader is kept from reading on a busy machine.
    limit = 4.0
    over(ours).limit_writes(limit)
    # More than the client reads, at its pace, until the limit is well over.
    left = size = 4_500_000
    began = time.monotonic()

    def read_slowly() -> None:
        nonlocal left
        while left > 0:
            left -= len(theirs.recv(80_000))
            if time.monotonic() - began < 1.2 * limit:
                time.sleep(0.1)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    ours.sendall(b"x" * size)
    took = time.monotonic() - began
    reader.join(60.0)

    assert 0 == left
    assert limit < took


def test_a_client_on_no_network_is_not_limited(pair: tuple[socket.socket, socket.socket]) -> None:
    """A Unix socket has no such limit, and setting one is no failure."""
    ours, theirs = pair

    over(ours).limit_writes(0.1)
    ClientSocket({}).limit_writes(0.1)

    ours.send(b"x")
    assert b"x" == theirs.recv(1)
