"""The client's socket: has it hung up, is it cut."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from poe_proxy.budget import Budget
from poe_proxy.net.background import Background
from poe_proxy.server.bodies import Patience
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
    connection.close_after_answer()
    connection.leave(1)
    connection.has_key()
    assert not connection.awaits_go_on()
    with connection.receiving(Budget(), Patience(), in_chunks=True):
        pass


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
