"""Exchanges with a server on loopback that misbehaves byte by byte."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from poe_proxy.net import dialing, hosts, pacing, unpacking
from poe_proxy.net import transfer as transfers
from poe_proxy.net.background import Background
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.net.transfer import End, Received, Stage, Transfer, Trouble
from tests.fakes import until

from .exchanging import LONG, PATH, body, echo, post, received, to, trouble
from .misbehaving import (
    ends,
    half_a_body,
    half_a_head,
    half_a_stream,
    no_chunk,
    nonsense,
    resets,
)
from .raw import Handler, Server, Visitor, unused_port

BOTH = pytest.mark.parametrize("tls", [False, True])
#: More than the kernel takes for a reader that does not read.
LARGE = os.urandom(8_000_000)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """Whatever happened, no thread is left that dials."""
    yield
    until(lambda: not [one for one in threading.enumerate() if "dialing" == one.name])


# ---- an exchange


@BOTH
def test_a_request_and_its_answer(tls: bool) -> None:
    """The head first, then the body, then the end; and the bytes that are on the wire."""
    with Server(echo, tls=tls) as server, to(server) as host:
        head, *_, end = found = received(post(host, b'{"a":1}'))

    assert isinstance(head, Head)
    assert (200, End()) == (head.status, end)
    assert str(len(body(found))) == head.headers["content-length"]
    assert [
        f"POST {PATH} HTTP/1.1",
        f"Host: localhost:{server.port}",
        "Content-Length: 7",
        "Accept-Encoding: identity",
        "Authorization: Bearer secret",
        "",
        '{"a":1}',
    ] == body(found).decode().split("\r\n")


def test_a_request_leaves_in_one_piece() -> None:
    """Head and body are there at once, without a second packet."""
    pieces: list[bytes] = []

    def once(visitor: Visitor) -> None:
        pieces.append(visitor.sock.recv(65536))
        visitor.answer(b"")

    with Server(once) as server, to(server) as host:
        received(post(host, b"x" * 10_000))

    assert [(True, True)] == [
        (one.startswith(b"POST "), one.endswith(b"x" * 10_000)) for one in pieces
    ]


@BOTH
@pytest.mark.parametrize(
    "size", [0, 1, hosts.JOINED - 1, hosts.JOINED, hosts.JOINED + 1, 3_000_000]
)
def test_a_body_of_any_size(tls: bool, size: int) -> None:
    """It arrives as it is."""
    with Server(echo, tls=tls) as server, to(server) as host:
        found = received(post(host, LARGE[:size]))

    assert LARGE[:size] == body(found).partition(b"\r\n\r\n")[2]


@BOTH
def test_a_body_that_is_taken_slowly(tls: bool) -> None:
    """Each wait ends in its time, and nothing is lost or sent twice in between."""
    waits = threading.Semaphore(0)

    def slowly(visitor: Visitor) -> None:
        waits.acquire(timeout=LONG)
        visitor.answer(visitor.request() or b"")

    with Server(slowly, tls=tls) as server, to(server) as host:
        transfer = post(host, LARGE)
        until(lambda: transfer.stage is Stage.SENT or transfer.wait(0.01))
        for _ in range(5):
            assert [] == transfer.wait(0.01)
        assert transfer._unsent
        waits.release()
        until(lambda: [transfer.wait(0.001), not transfer._unsent][-1])
        found = received(transfer)

    assert LARGE == body(found).partition(b"\r\n\r\n")[2]


@BOTH
def test_a_stream_comes_as_it_is_sent(tls: bool) -> None:
    """Every chunk at once, not when a buffer is full, and its connection is used again."""
    gate = threading.Semaphore(0)
    pieces = (b"one", b"two", "drei 五".encode())

    def stream(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.begin()
            for piece in (*pieces, b""):
                gate.acquire(timeout=LONG)
                visitor.chunk(piece)

    with Server(stream, tls=tls) as server, to(server) as host:
        for _ in range(3):
            transfer = post(host)
            assert isinstance(transfer.wait(LONG)[0], Head)
            for piece in pieces:
                assert [] == transfer.wait(0)
                gate.release()
                assert [piece] == transfer.wait(LONG)
            gate.release()
            assert [End()] == transfer.wait(LONG)
            assert [] == transfer.wait(LONG)
            transfer.close()
        assert 1 == server.visits


def test_what_has_come_together_comes_together() -> None:
    """Head, chunks and end of an answer that is there at once are one list, the chunks joined."""

    def at_once(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        )

    with Server(at_once) as server, to(server) as host:
        transfer = post(host)
        head, *rest = transfer.wait(LONG)
        transfer.close()

    assert isinstance(head, Head)
    assert [b"onetwo", End()] == rest


def test_a_body_without_any_framing_is_prompt_too() -> None:
    """Some proxies in between take the framing away; the end is the end of the connection."""
    gate = threading.Semaphore(0)

    def stream(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in (b"one", b"two"):
            gate.acquire(timeout=LONG)
            visitor.send(piece)

    with Server(stream) as server, to(server) as host:
        transfer = post(host)
        assert isinstance(transfer.wait(LONG)[0], Head)
        gate.release()
        assert [b"one"] == transfer.wait(LONG)
        gate.release()
        assert [b"two", End()] == received(transfer)


@pytest.mark.parametrize("before", [b"HT", b"HTTP/1.1 200 OK\r\nX: ", None])
def test_a_wait_ends_although_something_drips(before: bytes | None) -> None:
    """Bytes that bring nothing do not stretch it, nor are they lost."""
    is_enough = threading.Event()

    def drip(visitor: Visitor) -> None:
        visitor.request()
        if before is None:
            visitor.begin()
            visitor.send(b"1;")
        else:
            visitor.send(before)
        while not is_enough.wait(0.001):
            visitor.send(b"x" if before != b"HT" else b"")
        end = {None: b"\r\na\r\n0\r\n\r\n", b"HT": b"TP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"}
        visitor.send(end.get(before, b"\r\nContent-Length: 1\r\n\r\na"))

    with Server(drip) as server, to(server) as host:
        transfer = post(host)
        if before is None:
            assert isinstance(transfer.wait(LONG)[0], Head)
        for _ in range(3):
            assert [] == transfer.wait(0.05)
        is_enough.set()
        *_, last, end = received(transfer)

    assert (b"a", End()) == (last, end)


def test_a_flood_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what comes, once more is asked for."""
    sizes: list[int] = []
    monkeypatch.setattr(pacing.Flood, "came", lambda flood, size: sizes.append(size))
    gate = threading.Semaphore(0)

    def stream(visitor: Visitor) -> None:
        visitor.request()
        visitor.begin()
        for piece in (b"x" * 1000, b"x" * 3000, b""):
            gate.acquire(timeout=LONG)
            visitor.chunk(piece)

    with Server(stream) as server, to(server) as host:
        transfer = post(host)
        assert isinstance(transfer.wait(LONG)[0], Head)
        for _ in range(2):
            gate.release()
            assert isinstance(transfer.wait(LONG)[0], bytes)
        gate.release()
        assert [End()] == received(transfer)

    assert 4000 <= sum(sizes) <= 4020


def test_the_end_of_what_is_packed_is_waited_for() -> None:
    """Also if as much came out of it as may at a time, and nothing more is in it."""
    gate = threading.Event()

    def serve(visitor: Visitor) -> None:
        visitor.request()
        lines = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
        visitor.send(lines, b"Transfer-Encoding: chunked\r\n\r\n")
        visitor.chunk(gzip.compress(b"0" * unpacking.AT_ONCE))
        gate.wait(LONG)
        visitor.chunk(b"")

    with Server(serve) as server, to(server) as host:
        transfer = post(host)
        found: list[Received] = []
        while len(body(found)) < unpacking.AT_ONCE:
            found += transfer.wait(LONG)
        waiting = Background(lambda: transfer.wait(LONG))
        gate.set()
        assert [End()] == waiting.result()
        transfer.close()


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_what_is_packed_is_unpacked(framing: str) -> None:
    """Although nobody asked for it, and a piece at a time, however much is in it."""
    text = b"0" * 1_000_000
    packed = gzip.compress(text)

    def serve(visitor: Visitor) -> None:
        while visitor.request() is not None:
            if framing == "length":
                visitor.answer(packed, "200 OK", "Content-Encoding: gzip")
                continue
            lines = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
            if framing == "none":
                visitor.send(lines, b"\r\n", packed)
                return
            visitor.send(lines, b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(packed), 100):
                visitor.chunk(packed[at : at + 100])
            visitor.chunk(b"")

    with Server(serve) as server, to(server) as host:
        for _ in range(2):
            found = received(post(host))
            assert End() == found[-1]
            assert text == body(found)
            assert max(len(one) for one in found if isinstance(one, bytes)) <= 65_536
        assert (2 if framing == "none" else 1) == server.visits


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("br", b"x"),
        ("gzip", b"x"),
        ("gzip", gzip.compress(b"x")[:-1]),
    ],
    ids=["twice", "another", "not at all", "cut off"],
)
def test_what_cannot_be_unpacked(coding: str, sent: bytes) -> None:
    """The answer had begun, and broke."""

    def serve(visitor: Visitor) -> None:
        visitor.request()
        visitor.answer(sent, "200 OK", f"Content-Encoding: {coding}")

    with Server(serve) as server, to(server) as host:
        head, *_, failure = received(post(host))

    assert isinstance(head, Head)
    assert Trouble(Stage.HEAD, "ProtocolError") == failure


# ---- giving up


def before_the_answer(visitor: Visitor) -> None:
    visitor.request()


def within_the_head(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\nA:")


def within_the_answer(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.chunk(b"data: a\n\n")


def within_a_chunk(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.send(b"ff\r\ndata: ")


def without_a_framing(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\n\r\ndata: ")


def within_the_request(visitor: Visitor) -> None:
    visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    visitor.sock.recv(100)


STAGES = [
    within_the_request,
    before_the_answer,
    within_the_head,
    within_the_answer,
    within_a_chunk,
    without_a_framing,
]


class Stay:
    """Plays a stage to its visitor, and stays; notes whether the visitor has left."""

    def __init__(self, begin: Handler) -> None:
        self._begin = begin
        self.has_begun = threading.Event()
        self.left: list[bool] = []

    def __call__(self, visitor: Visitor) -> None:
        self._begin(visitor)
        self.has_begun.set()
        self.left.append(visitor.is_left(3600.0))


@BOTH
@pytest.mark.parametrize("begin", STAGES)
def test_a_wait_is_ended_by_another_thread(begin: Handler, tls: bool) -> None:
    """At once, wherever the exchange is, and nothing comes any more; the server sees that the
    client has left."""
    stay = Stay(begin)
    with Server(stay, tls=tls) as server, to(server) as host:
        transfer = post(host, LARGE if begin is within_the_request else b"{}")
        waiting = Background(lambda: wait_for_nothing(transfer))
        assert stay.has_begun.wait(LONG)
        transfer.wake()
        waiting.result()
        assert [] == transfer.wait(LONG)
        transfer.close()
        until(lambda: stay.left)

    assert [True] == stay.left


def wait_for_nothing(transfer: Transfer) -> None:
    while found := transfer.wait(3600.0):
        assert not isinstance(found[-1], End | Trouble)


@BOTH
@pytest.mark.parametrize("begin", STAGES)
def test_giving_up_cuts_the_connection_at_once(begin: Handler, tls: bool) -> None:
    """Long before the answer would end, the server sees that the client has left."""
    stay = Stay(begin)
    with Server(stay, tls=tls) as server, to(server) as host:
        transfer = post(host, LARGE if begin is within_the_request else b"{}")
        until(lambda: [transfer.wait(0.001), stay.has_begun.is_set()][-1])
        transfer.close()
        until(lambda: stay.left)
        assert [] == transfer.wait(LONG)

    assert [True] == stay.left


def test_a_connection_that_was_given_up_is_reset() -> None:
    """An end alone would let the sender go on: it might only be half a farewell."""
    sent_on: list[bool] = []
    is_closed = threading.Event()

    def go_on(visitor: Visitor) -> None:
        within_the_answer(visitor)
        is_closed.wait(LONG)
        visitor.is_left()
        try:
            visitor.send(b"more")
        except OSError:
            sent_on.append(False)
        else:
            sent_on.append(True)

    with Server(go_on) as server, to(server) as host:
        transfer = post(host)
        until(lambda: b"data: a\n\n" in transfer.wait(1))
        transfer.close()
        is_closed.set()
        until(lambda: sent_on)

    assert [False] == sent_on


@pytest.mark.parametrize("is_there", [False, True])
def test_nothing_is_sent_for_one_who_left_before(is_there: bool) -> None:
    """Neither on a new connection nor on one that is kept."""
    arrived: list[bytes | None] = []

    def note(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            arrived.append(request)
            visitor.answer(b"")

    with Server(note) as server, to(server) as host:
        if is_there:
            received(post(host))
        transfer = post(host)
        transfer.wake()
        assert [] == transfer.wait(LONG)
        transfer.close()
        received(post(host, b"[]"))

    assert (b"{}" in b"".join(map(bytes, filter(None, arrived)))) == is_there
    assert is_there + 1 == len(arrived)


@BOTH
def test_nothing_is_sent_for_one_who_left_while_we_connected(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait ends at once, and a slow connection that comes about too late asks nothing."""
    arrived: list[bytes | None] = []
    gate, is_looking = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **options: Any) -> Any:
        is_looking.set()
        gate.wait(LONG)
        return look_up(*args, **options)

    with Server(lambda visitor: arrived.append(visitor.request()), tls=tls) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        with to(server) as host:
            transfer = post(host)
            waiting = Background(lambda: transfer.wait(3600.0))
            assert is_looking.wait(LONG)
            assert not waiting.wait(0)
            transfer.wake()
            assert [] == waiting.result()
            transfer.close()
            gate.set()
            until(lambda: arrived or server.failures)

    assert not any(arrived)


def test_a_greeting_is_cut() -> None:
    """TLS has not begun, and nothing was sent."""
    stay = Stay(lambda visitor: visitor.send(b"\x16\x03\x03\x40\x00"))
    with Server(stay) as server:
        host = Host(server.url.replace("http:", "https:"))
        transfer = post(host)
        waiting = Background(lambda: transfer.wait(3600.0))
        assert stay.has_begun.wait(LONG)
        transfer.wake()
        assert [] == waiting.result()
        until(lambda: stay.left)
        transfer.close()
        host.close()

    assert [True] == stay.left


def test_who_is_woken_just_before_it_sends_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is there, and is cut: what would go out on it does not."""
    arrived: list[bytes | None] = []

    class Late(Transfer):
        def _send(self, *args: Any) -> None:
            self.wake()
            super()._send(*args)

    monkeypatch.setattr(hosts, "Transfer", Late)
    with Server(lambda visitor: arrived.append(visitor.request())) as server, to(server) as host:
        transfer = post(host)
        assert [] == transfer.wait(LONG)
        assert Stage.NOT_SENT is transfer.stage
        transfer.close()
        until(lambda: arrived)

    assert [None] == arrived


def test_giving_up_late_does_no_harm() -> None:
    """A transfer that is over has no connection any more; the next one may be using it."""
    gate = threading.Event()

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"wait"):
                gate.wait(LONG)
            visitor.answer(request)

    with Server(serve) as server, to(server) as host:
        first = post(host)
        received(first)
        second = post(host, b"wait")
        assert [] == second.wait(0.001)
        first.wake()
        first.close()
        gate.set()
        assert End() == received(second)[-1]
        assert 1 == server.visits


def test_who_is_woken_at_the_very_end_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is cut is not given to the next request."""

    class Late(Transfer):
        def _give_back(self, *args: Any) -> None:
            self.wake()
            super()._give_back(*args)

    with Server(echo) as server, to(server) as host:
        with monkeypatch.context() as patched:
            patched.setattr(hosts, "Transfer", Late)
            transfer = post(host)
            assert End() == transfer.wait(LONG)[-1]
            transfer.close()
        assert End() == received(post(host))[-1]
        assert 2 == server.visits


def test_the_very_end_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has read the answer's end closes with patience, and keeps the connection."""
    is_closing = threading.Semaphore(0)

    def stream(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            visitor.begin()
            visitor.chunk(b"[DONE]")
            is_closing.acquire(timeout=LONG)
            if not request.endswith(b"stay"):
                visitor.chunk(b"")
            else:
                visitor.is_left()

    class Noted(Transfer):
        is_done = False

        def wait(self, seconds: float) -> list[Any]:
            if self.is_done:
                is_closing.release()
            return super().wait(seconds)

    monkeypatch.setattr(hosts, "Transfer", Noted)
    with Server(stream) as server, to(server) as host:
        for _ in range(3):
            transfer = post(host)
            while b"[DONE]" not in transfer.wait(LONG):
                pass
            assert isinstance(transfer, Noted)
            transfer.is_done = True
            transfer.close(patience=LONG)
        assert 1 == server.visits
        transfer = post(host, b"stay")
        until(lambda: b"[DONE]" in transfer.wait(1))
        transfer.close(patience=0.01)
        is_closing.release(2)
        transfer = post(host)
        until(lambda: b"[DONE]" in transfer.wait(1))
        assert 2 == server.visits
        transfer.close()


@pytest.mark.parametrize("begin", STAGES[1:])
def test_closing_the_host_ends_what_is_under_way(begin: Handler) -> None:
    """It fails as if the other end had hung up; without a framing that is no end, either."""
    stay = Stay(begin)
    with Server(stay) as server, to(server) as host:
        transfer = post(host)
        waiting = Background(lambda: received(transfer))
        assert stay.has_begun.wait(LONG)
        until(lambda: transfer.stage is Stage.HEAD or begin in (before_the_answer, within_the_head))
        host.close()
        failure = trouble(waiting.result())
        host.close()

    stage = Stage.SENT if begin in (before_the_answer, within_the_head) else Stage.HEAD
    assert (stage, "was closed") == (failure.stage, failure.words)


def test_closing_the_host_ends_what_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent."""
    gate, is_looking = threading.Event(), threading.Event()

    def look_up(*args: Any, **options: Any) -> Any:
        is_looking.set()
        gate.wait(LONG)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    host = Host("http://x.test")
    transfer = post(host)
    waiting = Background(lambda: received(transfer))
    assert is_looking.wait(LONG)
    host.close()
    failure = trouble(waiting.result())
    gate.set()

    assert (Stage.NOT_SENT, "was closed", False) == (
        failure.stage,
        failure.words,
        failure.timed_out,
    )


# ---- failures


def two_framings(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")


def trailers(visitor: Visitor) -> None:
    half_a_stream(visitor)
    visitor.send(b"0\r\n" + b"X: y\r\n" * 50_000)


def cookies(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\n" + (b"Set-Cookie: " + b"a=b; " * 10_000 + b"\r\n") * 50)


def continues(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)


def closed(stage: Stage) -> Trouble:
    return Trouble(stage, "ConnectionEnded", happened="was closed")


@BOTH
@pytest.mark.parametrize(
    ("handler", "failure", "words", "said"),
    [
        (ends, closed(Stage.SENT), "was closed", b""),
        (half_a_head, closed(Stage.SENT), "was closed", b""),
        (nonsense, Trouble(Stage.SENT, "ProtocolError"), "broke (ProtocolError)", b""),
        (two_framings, Trouble(Stage.SENT, "ProtocolError"), "broke (ProtocolError)", b""),
        (cookies, Trouble(Stage.SENT, "ProtocolError"), "broke (ProtocolError)", b""),
        (continues, Trouble(Stage.SENT, "ProtocolError"), "broke (ProtocolError)", b""),
        (half_a_body, closed(Stage.HEAD), "was closed", b"half"),
        (half_a_stream, closed(Stage.HEAD), "was closed", b"half"),
        (no_chunk, Trouble(Stage.HEAD, "ProtocolError"), "broke (ProtocolError)", b"half"),
        (trailers, Trouble(Stage.HEAD, "ProtocolError"), "broke (ProtocolError)", b"half"),
    ],
)  # fmt: skip
def test_how_far_it_had_come_is_said(
    handler: Handler, failure: Trouble, words: str, said: bytes, tls: bool
) -> None:
    """And what became of the connection; what came before that comes first, and no other
    connection takes its place."""
    with Server(handler, tls=tls) as server, to(server) as host:
        found = received(post(host))
        assert 1 == server.visits

    assert (failure, said) == (found[-1], body(found))
    assert words == failure.words


def test_a_reset_is_told_from_an_end() -> None:
    """A connection that is reset does not mean that the other end has too much to do."""
    with Server(resets) as server, to(server) as host:
        failure = trouble(received(post(host)))

    assert (Stage.SENT, "was reset", False) == (failure.stage, failure.words, failure.timed_out)


def test_a_reset_while_it_is_sent() -> None:
    """Some of it may have arrived; nothing came back that says more."""

    def reset(visitor: Visitor) -> None:
        visitor.sock.recv(100)
        visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Server(reset) as server, to(server) as host:
        found = received(post(host, LARGE))

    assert 1 == len(found)
    assert (Stage.SENT, "was reset") == (trouble(found).stage, trouble(found).words)


def unused() -> str:
    """A URL at which nothing listens."""
    return f"http://127.0.0.1:{unused_port()}"


@pytest.mark.parametrize(
    ("url", "proxy", "name"),
    [
        (unused(), None, "ConnectionRefusedError"),
        (unused().replace("http", "https"), None, "ConnectionRefusedError"),
        ("http://no.such.host.invalid", None, "gaierror"),
        ("http://poe.invalid", unused(), "ProxyError"),
        ("https://poe.invalid", unused(), "ProxyError"),
        ("https://poe.invalid", unused().replace("http", "https"), "ProxyError"),
        ("https://poe.invalid", unused().replace("http", "socks5h"), "ProxyError"),
    ],
    ids=["http", "https", "no name", "proxy", "tunnel", "tunnel by TLS", "socks"],
)
def test_where_nothing_listens(url: str, proxy: str | None, name: str) -> None:
    """Nothing was sent, so another try is safe."""
    failure = received(post(Host(url, proxy=proxy)))

    assert [Trouble(Stage.NOT_SENT, name)] == failure


def test_a_name_that_is_looked_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a time for connecting, and nothing was sent when it is over."""
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: gate.wait(LONG))
    monkeypatch.setattr(transfers, "CONNECT", 0.05)
    transfer = post(Host("http://x.test"))
    found = received(transfer)
    gate.set()

    assert [Trouble(Stage.NOT_SENT, "TimeoutError", timed_out=True)] == found


def test_a_wait_does_not_take_longer_than_it_may_while_we_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next wait goes on where it stood."""
    gate = threading.Event()
    look_up = socket.getaddrinfo

    def slowly(*args: Any, **options: Any) -> Any:
        gate.wait(LONG)
        return look_up(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with Server(echo) as server, to(server) as host:
        transfer = post(host)
        for _ in range(3):
            assert [] == transfer.wait(0.01)
        gate.set()
        assert End() == received(transfer)[-1]
        assert 1 == server.visits


@BOTH
def test_a_request_that_nobody_takes(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a time for that; some of it may have arrived."""
    monkeypatch.setattr(transfers, "SENDING", 0.05)
    stay = Stay(within_the_request)
    with Server(stay, tls=tls) as server, to(server) as host:
        found = received(post(host, LARGE))
        until(lambda: stay.left)

    assert [Trouble(Stage.SENT, "TimeoutError", timed_out=True)] == found


@BOTH
def test_a_request_that_is_refused_before_it_is_there(tls: bool) -> None:
    """The refusal is received, although the rest of the request was not taken."""

    def refuse(visitor: Visitor) -> None:
        visitor.sock.recv(1000)
        visitor.answer(b"too large", "413 Content Too Large")
        # What is unread would otherwise take the answer away with it.
        visitor.sock.shutdown(socket.SHUT_WR)
        visitor.is_left()

    with Server(refuse, tls=tls) as server, to(server) as host:
        head, *_ = found = received(post(host, LARGE))

    assert isinstance(head, Head)
    assert (413, b"too large", End()) == (head.status, body(found), found[-1])


def test_a_refusal_is_received_though_tls_cannot_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS has a failure of its own for a connection that the other end has ended."""
    send = ssl.SSLSocket.send

    def broken(sock: ssl.SSLSocket, data: Any, flags: int = 0) -> int:
        if sock.server_side:
            return send(sock, data, flags)
        raise ssl.SSLEOFError

    def refuse(visitor: Visitor) -> None:
        visitor.answer(b"too large", "413 Content Too Large")
        visitor.is_left()

    monkeypatch.setattr(ssl.SSLSocket, "send", broken)
    with Server(refuse, tls=True) as server, to(server) as host:
        head, *_ = found = received(post(host))

    assert isinstance(head, Head)
    assert (413, b"too large", End()) == (head.status, body(found), found[-1])


def test_an_unforeseen_failure_is_received_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of any kind reaches the caller, which waits for it; its text does not."""

    def broken(*args: Any, **options: Any) -> None:
        raise LookupError("secret")

    monkeypatch.setattr(hosts, "dial", broken)
    found = received(post(Host("http://127.0.0.1")))

    assert [Trouble(Stage.NOT_SENT, "LookupError")] == found


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"A": "b\r\nC: d"}),
        ("GET", "/", {"A": "五"}),
        ("GET", "/a b", {}),
        ("HEAD", "/", {}),
    ],
)
def test_what_cannot_be_sent(method: str, path: str, headers: dict[str, str]) -> None:
    """It is a failure like others, and no connection is made for it."""
    with Server(echo) as server, to(server) as host:
        received(post(host))
        found = received(host.send(method, path, headers))
        assert End() == received(post(host))[-1]
        assert 1 == server.visits

    assert [Trouble(Stage.NOT_SENT, "ValueError")] == found


def test_a_connection_that_nobody_wants_any_more_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it was there before that was clear, too."""
    made: list[socket.socket] = []

    def dial(*args: Any, **options: Any) -> Any:
        made.append(dialing.dial(*args, **options))
        return made[0]

    monkeypatch.setattr(hosts, "dial", dial)
    with Server(echo) as server, to(server) as host:
        transfer = post(host)
        transfer.wait(0)
        attempt = transfer._attempt
        assert attempt is None or attempt._working.wait(LONG)
        transfer.wake()
        transfer.wait(LONG)
        transfer.close()

    assert [-1] == [sock.fileno() for sock in made]


def test_no_socket_stays_open() -> None:
    """However an exchange ends, and however often."""
    handlers: list[Handler] = [echo, ends, resets, nonsense, half_a_stream, cookies]

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def use(handler: Handler) -> None:
        with Server(handler) as server, to(server) as host:
            for _ in range(5):
                received(post(host))
            dropped = post(host)
            dropped.wait(0)
            dropped.close()
            woken = post(host)
            woken.wake()
            woken.wait(1)
            woken.close()
            post(host).close()
        received(post(Host(unused())))

    use(echo)
    before = descriptors()
    for handler in handlers:
        use(handler)
    # The ports that refuse stay bound, and a server's threads end by themselves.
    until(lambda: descriptors() <= before + len(handlers))


# ---- as the server runs it

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
import sys
from poe_proxy.net.hosts import Host
from poe_proxy.net.transfer import Head
from tests.net.raw import CERTIFICATE, Server

tls = sys.argv[1] == "tls"

def stay(visitor):
    request = visitor.request()
    visitor.begin()
    visitor.is_left()
    left.append(True)

left = []
with Server(stay, tls=tls) as server:
    host = Host(server.url, authorities=str(CERTIFICATE))
    for from_hub in (True, False):
        transfer = host.send("POST", "/", {}, b"{}")
        assert isinstance(transfer.wait(60.0)[0], Head)
        if from_hub:
            # As a watcher of sockets calls it, where nothing may wait.
            gevent.get_hub().loop.run_callback(transfer.wake)
        else:
            gevent.spawn(transfer.wake)
        assert [] == transfer.wait(3600.0)
        transfer.close()
        with gevent.Timeout(60.0):
            while not left:
                gevent.sleep(0.001)
        left.clear()
def silent(visitor):
    left.append(visitor.is_left())
with Server(silent) as server:
    for from_hub in (True, False):
        # While it connects: nobody answers TLS's greeting.
        host = Host(server.url.replace("http:", "https:"))
        transfer = host.send("POST", "/", {}, b"{}")
        assert [] == transfer.wait(0.01)
        if from_hub:
            gevent.get_hub().loop.run_callback(transfer.wake)
        else:
            gevent.spawn(transfer.wake)
        assert [] == transfer.wait(3600.0)
        transfer.close()
print("ended")
"""


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_greenlet_is_woken_by_the_hub(kind: str) -> None:
    """Where the worker notices that a client has left, no greenlet may wait: waking does not."""
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT, kind],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ("ended", "") == (ran.stdout.strip(), ran.stderr)
