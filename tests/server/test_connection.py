"""A client's connection: how it is read and written, and how it ends."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from poe_proxy.budget import Budget, Processor
from poe_proxy.errors import ServerBusy
from poe_proxy.net.background import Background
from poe_proxy.server import connection
from poe_proxy.server.connection import (
    CHUNKS,
    COLLECTING,
    LINGER_BYTES,
    MAX_HEAD,
    PIECE,
    QUICK_PIECES,
    Connection,
    limit_writes,
)

from ..fakes import Clock, until
from .connections import Request, pair, read_until_refused, tcp_pair


class Patience:
    """Patience for so many seconds, however much comes."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self.size = 0

    def left(self) -> float:
        return self.seconds

    def came(self, size: int) -> None:
        self.size += size


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a connection makes, none of which takes time."""
    made: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", made.append)
    return made


# ---- heads


def test_a_head_is_read_as_it_comes() -> None:
    """What is there is returned, however much was asked for, and then the end."""
    with pair() as (ours, theirs):
        theirs.sendall(b"GET / HTTP/1.1\r\n")
        theirs.shutdown(socket.SHUT_WR)

        assert b"GET / HTTP/1.1\r\n" == ours.recv(8192)
        assert b"" == ours.recv(8192)


def test_a_head_has_a_limit() -> None:
    """Of a head that does not end, not much more than the limit is read."""
    with pair() as (ours, theirs):
        theirs.sendall(b"x" * (MAX_HEAD + 20_000))

        assert MAX_HEAD <= read_until_refused(ours) < MAX_HEAD + 8192


def test_each_head_has_the_limit_for_itself() -> None:
    """What came before counts no more once a request is over, and what it left unread is allowed
    on top."""
    with pair() as (ours, theirs):
        for unread in (0, 50_000, 0):
            ours.begin(Request())
            ours.leave(unread)
            ours.end()

            read = read_until_refused(ours, lambda: theirs.send(b"x" * 8000))
            ours.begin(Request())
            ours.recv(8192)

            assert MAX_HEAD + unread <= read < MAX_HEAD + unread + 8192


def test_a_head_that_trickles_is_collected(pauses: list[float]) -> None:
    """Each piece costs as much as the whole head so far: from the seventeenth on they are
    collected, so that there are no more of them than there is time for a head."""
    with pair() as (ours, theirs):
        for _ in range(QUICK_PIECES):
            theirs.send(b"x")
            ours.recv(8192)
        assert [] == pauses
        for _ in range(3):
            theirs.send(b"x")
            ours.recv(8192)
        assert [COLLECTING] * 3 == pauses

        ours.begin(Request())
        ours.end()
        theirs.send(b"x")
        ours.recv(8192)
        assert [COLLECTING] * 3 == pauses


# ---- bodies


def test_a_body_comes_in_small_pieces() -> None:
    """Whatever is asked for at a time: what is not counted yet is never much."""
    patience = Patience()
    with pair() as (ours, theirs), ours.receiving(Budget(), patience):
        theirs.sendall(b"x" * (PIECE + 1))
        sizes = [len(ours.recv(1_000_000)) for _ in range(2)]

    assert [PIECE, 1] == sizes
    assert PIECE + 1 == patience.size


@pytest.mark.parametrize(("asked", "size"), [(8192, CHUNKS), (8193, 8193), (1_000_000, PIECE)])
def test_a_body_in_chunks_comes_in_smaller_pieces(asked: int, size: int) -> None:
    """Unless the size of the chunk is known: each byte may be a chunk, and they are taken apart
    before anything else is read."""
    with pair() as (ours, theirs), ours.receiving(Budget(), Patience(), in_chunks=True):
        theirs.sendall(b"x" * (PIECE + 1))
        assert size == len(ours.recv(asked))


def test_waiting_for_a_body_costs_nothing() -> None:
    """What others compute meanwhile is not charged to the request."""
    clock = Clock()
    budget = Budget(0.5, processor=Processor(clock=clock, sleep=lambda _: None))

    def send_later(theirs: socket.socket) -> None:
        until(lambda: budget._stage is None)  # it waits
        clock.go(0.4)
        theirs.send(b"x")

    with pair() as (ours, theirs), budget.work("reading"), ours.receiving(budget, Patience()):
        sender = Background(lambda: send_later(theirs))
        assert b"x" == ours.recv(10)
        sender.result()
        clock.go(0.01)

    assert 0.49 == pytest.approx(budget.left)


def test_others_have_their_turn_while_a_body_comes() -> None:
    """A client that sends as fast as it is read does not have the worker for itself."""
    clock, turns = Clock(), 0

    def rest() -> None:
        nonlocal turns
        turns += 1

    budget = Budget(5.0, processor=Processor(clock=clock, sleep=lambda _: rest()))
    with pair() as (ours, theirs), budget.work("reading"), ours.receiving(budget, Patience()):
        theirs.sendall(b"x" * 10)
        for _ in range(10):
            clock.go(0.02)  # what it costs to make something of a piece
            ours.recv(1)

    assert 10 == turns


@pytest.mark.parametrize("is_sending", [False, True])
def test_patience_with_a_body_ends(is_sending: bool) -> None:
    """Once it is over nothing more is read, whether something is there or not."""
    with pair() as (ours, theirs):
        if is_sending:
            theirs.send(b"x")
        with ours.receiving(Budget(), Patience(0.0)), pytest.raises(ConnectionError):
            ours.recv(10)
        with ours.receiving(Budget(), Patience(0.02)):
            if is_sending:
                assert b"x" == ours.recv(10)
            with pytest.raises(ConnectionError):
                ours.recv(10)


def test_a_body_that_waits_to_be_asked_for_is_asked_for_when_it_is_read() -> None:
    """`Expect: 100-continue`: not before, since a refused request need not send it."""
    request = Request(awaits_go_on=True)
    with pair() as (ours, theirs):
        theirs.setblocking(False)
        ours.begin(request)
        assert ours.awaits_go_on
        with pytest.raises(BlockingIOError):
            theirs.recv(100)

        with ours.receiving(Budget(), Patience()):
            pass

        assert b"HTTP/1.1 100 Continue\r\n\r\n" == theirs.recv(100)
        assert not ours.awaits_go_on
    assert not request._expected_100_continue


def test_a_look_takes_nothing() -> None:
    """Whether bytes are there, and which, can be seen without reading them."""
    with pair() as (ours, theirs):
        assert not ours.has_input()
        theirs.send(b"ab")

        assert ours.has_input()
        assert b"a" == ours.recv(1, socket.MSG_PEEK)
        assert b"ab" == ours.recv(10)
        ours.close()
        assert not ours.has_input()


# ---- writing


def test_what_a_listener_accepts_has_its_limit_for_writes() -> None:
    """A write to a client that stays and does not read fails, instead of waiting for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert limit_writes(server, 0.5)
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with theirs, Connection.take(ours) as taken:
        began = time.monotonic()
        with pytest.raises(ConnectionError, match="Connection timed out"):
            taken.sendall(b"x" * 50_000_000)

    assert time.monotonic() - began < connection.WRITE_TIMEOUT


def test_a_client_that_takes_a_little_is_waited_for() -> None:
    """What counts is the time without progress, not that of the whole write."""
    # Longer than a reader is kept from reading on a busy machine.
    limit = 4.0
    with tcp_pair() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        limit_writes(ours, limit)

        assert limit < write_to_a_slow_reader(ours, theirs, limit, pace=80_000, size=4_500_000)


def test_a_unix_socket_has_no_limit_in_the_kernel() -> None:
    """Setting one is no failure: the connection has one of its own."""
    with pair() as (ours, theirs):
        assert not limit_writes(ours, 0.1)

        ours.sendall(b"x")
        assert b"x" == theirs.recv(1)


def test_a_client_behind_a_unix_socket_that_takes_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nginx does not take for its client holds no connection either."""
    monkeypatch.setattr(connection, "WRITE_TIMEOUT", 0.1)
    with pair() as (ours, _), pytest.raises(ConnectionError):
        ours.sendall(b"x" * 5_000_000)


def test_a_client_behind_a_unix_socket_that_takes_a_little_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even if that makes no room for more within the limit."""
    limit = 2.0
    monkeypatch.setattr(connection, "WRITE_TIMEOUT", limit)
    with pair() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)

        assert limit < write_to_a_slow_reader(ours, theirs, limit, pace=2_000, size=400_000)


def write_to_a_slow_reader(
    ours: Connection, theirs: socket.socket, limit: float, *, pace: int, size: int
) -> float:
    """Write *size* bytes to a client that reads *pace* of them every tenth of a second until 1.2
    times the *limit* is over, and then all; return how long that took."""
    left = size
    began = time.monotonic()

    def read_slowly() -> None:
        nonlocal left
        while left > 0:
            left -= len(theirs.recv(pace))
            if time.monotonic() - began < 1.2 * limit:
                time.sleep(0.1)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    ours.sendall(b"x" * size)
    took = time.monotonic() - began
    reader.join(60.0)
    assert 0 == left
    return took


def test_an_answer_to_a_client_that_left_is_a_hang_up() -> None:
    """Whatever the kernel calls it: only those are no fault of ours to gunicorn."""
    with pair() as (ours, theirs):
        theirs.close()

        with pytest.raises(ConnectionError):
            ours.sendall(b"x")
        ours.close()
        with pytest.raises(ConnectionError):
            ours.recv(1)


# ---- the end


def test_a_last_answer_says_so() -> None:
    """gunicorn's request is told, so that the head of the answer says `Connection: close`."""
    request = Request()
    with pair() as (ours, _):
        ours.begin(request)
        assert not request.is_last

        ours.close_after_answer()

    assert request.is_last


@pytest.mark.parametrize("size", [0, LINGER_BYTES // 2])
def test_a_client_that_is_still_sending_gets_to_its_answer(size: int) -> None:
    """What it sends is read and dropped until it has seen the end of the answer."""
    with tcp_pair() as (ours, theirs):
        ours.begin(Request())
        ours.close_after_answer()
        ours.sendall(b"refused")
        parting = threading.Thread(target=lambda: (ours.part(), ours.close()))
        parting.start()

        theirs.sendall(b"x" * size)
        answer = b"".join(iter(lambda: theirs.recv(100), b""))
        theirs.close()
        parting.join(60.0)

    assert b"refused" == answer
    assert not parting.is_alive()


def test_a_client_that_sends_for_ever_is_reset(pauses: list[float]) -> None:
    """No more is read of it than a bounded number of bytes."""
    sent = 0
    with tcp_pair() as (ours, theirs):
        ours.begin(Request())
        ours.close_after_answer()
        parting = threading.Thread(target=lambda: (ours.part(), ours.close()))
        parting.start()
        with suppress(ConnectionError):
            while True:
                sent += theirs.send(b"x" * 100_000)
        parting.join(60.0)

    assert LINGER_BYTES <= sent
    assert LINGER_BYTES / PIECE <= len(pauses) <= LINGER_BYTES


def test_a_client_that_neither_sends_nor_leaves_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has seconds to read its answer, and no more."""
    monkeypatch.setattr(connection, "LINGER", 0.02)
    with tcp_pair() as (ours, theirs):
        ours.begin(Request())
        ours.close_after_answer()
        ours.part()
        ours.close()

        assert b"" == theirs.recv(1)
        with pytest.raises(ConnectionError):
            theirs.send(b"x")


def test_a_connection_that_is_done_ends_at_once() -> None:
    """Where nothing is to come there is nothing to wait for."""
    with pair() as (ours, theirs):
        ours.begin(Request())
        ours.end()
        theirs.setblocking(False)

        ours.part()

        with pytest.raises(BlockingIOError):  # it is open, and gunicorn closes it
            theirs.recv(1)


# ---- who knows it


class Keeper:
    """Notes what it is told; *busy*: it has no room for a request with a key."""

    def __init__(self, *, busy: bool = False) -> None:
        self.told: list[str] = []
        self._busy = busy

    def has_key(self, connection: Connection) -> None:
        if self._busy:
            raise ServerBusy("No room.")
        self.told.append("key")

    def is_idle(self, connection: Connection) -> None:
        self.told.append("idle")


def test_its_keeper_knows_when_a_request_with_a_key_is_under_way() -> None:
    """From the key to the end of the answer, and it may refuse."""
    keeper = Keeper()
    with pair(keeper) as (ours, _):
        ours.begin(Request())
        ours.has_key()
        assert ["key"] == keeper.told
        ours.end()
        assert ["key", "idle"] == keeper.told

    with pair(Keeper(busy=True)) as (ours, _), pytest.raises(ServerBusy):
        ours.has_key()
