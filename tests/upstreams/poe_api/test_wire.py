"""The wire itself, against a server on loopback that misbehaves byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from poe_proxy.errors import (
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net import connections, pacing
from poe_proxy.upstreams.poe_api import wire as wiring
from poe_proxy.upstreams.poe_api.wire import End, Head, Received, Transfer, Wire
from tests.fakes import Clock, until

from .raw import CERTIFICATE, Handler, Server, Visitor, unused_port

SECRET = "sk-poe-secret"
#: Seconds after which what never comes has failed.
LONG = 60.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that measures how long a connection lay idle."""
    clock = Clock()
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture(autouse=True)
def no_thread_stays_behind() -> Iterator[None]:
    """Whatever happened, the threads of the transfers have ended."""
    yield
    until(lambda: not transfer_threads())


def transfer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "transfer" == thread.name]


def to(server: Server, **options: Any) -> Wire:
    return Wire(server.url, **{"read_timeout": LONG, "verify": str(CERTIFICATE), **options})


def post(wire: Wire, body: bytes = b"{}") -> Transfer:
    return wire.send("POST", "/v1/chat", {"Authorization": f"Bearer {SECRET}"}, body)


def received(transfer: Transfer) -> list[Received]:
    """All that comes, up to the last of it."""
    found: list[Received] = []
    end = time.monotonic() + LONG
    while not (found and isinstance(found[-1], End | UpstreamError)):
        assert time.monotonic() < end, found
        found += transfer.wait(0.5)
    return found


def body(found: list[Received]) -> bytes:
    return b"".join(one for one in found if isinstance(one, bytes))


def echo(visitor: Visitor) -> None:
    """Answers each request with itself, as long as the client stays."""
    while (request := visitor.request()) is not None:
        visitor.answer(request)


@pytest.mark.parametrize("tls", [False, True])
def test_a_request_and_its_answer(tls: bool) -> None:
    """The head first, then the body, then the end; and the bytes that are on the wire."""
    with Server(echo, tls=tls) as server:
        wire = to(server)
        head, *_, end = found = received(post(wire, b'{"a":1}'))
        wire.close()

    assert isinstance(head, Head)
    assert (200, End()) == (head.status, end)
    assert str(len(body(found))) == head.headers["content-length"]
    lines = body(found).decode().split("\r\n")
    assert ("POST /v1/chat HTTP/1.1", '{"a":1}') == (lines[0], lines[-1])
    assert {
        f"Authorization: Bearer {SECRET}",
        "User-Agent: poe-proxy",
        "Accept-Encoding: identity",
        "Content-Length: 7",
    } <= set(lines)
    assert not any(line.lower().startswith("cookie") for line in lines)


@pytest.mark.parametrize("tls", [False, True])
def test_connections_are_used_again(tls: bool) -> None:
    """One after the other on one, side by side on several, and no cookie is carried over."""
    side_by_side = threading.Barrier(5)

    def set_cookie(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"together"):
                side_by_side.wait(LONG)
            visitor.answer(request, "200 OK", "Set-Cookie: a=b")

    with Server(set_cookie, tls=tls) as server:
        wire = to(server)
        for _ in range(5):
            transfer = post(wire)
            assert b"cookie" not in body(received(transfer)).lower()
            transfer.close()
        assert 1 == server.visits
        for transfer in [post(wire, b"together") for _ in range(5)]:
            received(transfer)
        assert 5 == server.visits
        wire.close()


def test_a_chunked_stream_comes_as_it_is_sent_and_its_connection_is_used_again() -> None:
    """Every chunk at once, not when a buffer is full."""
    gate = threading.Semaphore(0)

    def stream(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.begin()
            for piece in (b"one", b"two", "drei 五".encode(), b""):
                gate.acquire(timeout=LONG)
                visitor.chunk(piece)

    with Server(stream) as server:
        wire = to(server)
        for _ in range(3):
            transfer = post(wire)
            assert isinstance(transfer.wait(LONG)[0], Head)
            for piece in (b"one", b"two", "drei 五".encode()):
                assert [] == transfer.wait(0)
                gate.release()
                assert [piece] == transfer.wait(LONG)
            gate.release()
            assert [End()] == transfer.wait(LONG)
            transfer.close()
        assert 1 == server.visits
        wire.close()


def test_a_flood_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pieces that come, and what is in them."""
    sizes: list[int] = []
    monkeypatch.setattr(pacing.Flood, "came", lambda flood, size: sizes.append(size))

    def stream(visitor: Visitor) -> None:
        visitor.request()
        visitor.begin()
        for piece in (b"x" * 1000, b"x" * 3000, b""):
            visitor.chunk(piece)

    with Server(stream) as server:
        wire = to(server)
        transfer = post(wire)
        until(lambda: End() in transfer.wait(LONG))
        wire.close()

    assert 4000 == sum(sizes)


def test_a_body_without_any_framing_is_prompt_too() -> None:
    """Some proxies in between take the framing away; the end is the end of the connection."""
    gate = threading.Semaphore(0)

    def stream(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for piece in (b"one", b"two"):
            gate.acquire(timeout=LONG)
            visitor.send(piece)

    with Server(stream) as server:
        wire = to(server)
        transfer = post(wire)
        assert isinstance(transfer.wait(LONG)[0], Head)
        gate.release()
        assert [b"one"] == transfer.wait(LONG)
        gate.release()
        assert [b"two", End()] == received(transfer)
        wire.close()


def test_the_very_end_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that has read the answer's end closes with patience, and keeps the connection."""
    is_closing, is_closed = threading.Event(), threading.Event()

    def looked_at() -> float:
        is_closing.set()
        return time.monotonic()

    # The wire looks at its clock when it is closed with patience, and at no other time.
    monkeypatch.setattr(wiring, "time", SimpleNamespace(monotonic=looked_at))

    def stream(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            visitor.begin()
            visitor.chunk(b"[DONE]")
            if request.endswith(b"stay"):
                is_closed.wait(LONG)
            else:
                is_closing.wait(LONG)
            visitor.chunk(b"")

    with Server(stream) as server:
        wire = to(server)
        for _ in range(3):
            is_closing.clear()
            transfer = post(wire)
            until(lambda e=transfer: b"[DONE]" in e.wait(1))
            transfer.close(patience=LONG)
        assert 1 == server.visits
        transfer = post(wire, b"stay")
        until(lambda: b"[DONE]" in transfer.wait(1))
        transfer.close()
        is_closed.set()
        received(post(wire))
        assert 2 == server.visits
        wire.close()


# ---- giving up


def before_the_answer(visitor: Visitor) -> None:
    visitor.request()


def within_the_answer(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.chunk(b"data: a\n\n")


def within_a_chunk(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.send(b"ff\r\ndata: ")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("begin", [before_the_answer, within_the_answer, within_a_chunk])
def test_giving_up_cuts_the_connection_at_once(begin: Handler, tls: bool) -> None:
    """Long before the answer or the time for it would end, the server sees that the client has
    left, wherever the answer is, and the thread ends."""
    has_begun, left = threading.Event(), []

    def stay(visitor: Visitor) -> None:
        begin(visitor)
        has_begun.set()
        left.append(visitor.is_left(3600.0))

    with Server(stay, tls=tls) as server:
        wire = to(server, read_timeout=3600.0)
        transfer = post(wire)
        assert has_begun.wait(LONG)
        until(lambda: transfer._has_head or begin is before_the_answer)
        transfer.close()
        until(lambda: left and not transfer_threads())
        wire.close()

    assert [True] == left
    assert not any(isinstance(one, End | UpstreamError) for one in transfer.wait(0))


@pytest.mark.parametrize("tls", [False, True])
def test_nothing_is_sent_for_a_caller_that_left_while_we_connected(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow connection that comes about too late asks the bot nothing."""
    arrived: list[bytes | None] = []
    gate, is_connecting = threading.Event(), threading.Event()
    create = urllib3.util.connection.create_connection

    def slowly(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        if address[1] == server.port:
            is_connecting.set()
            gate.wait(LONG)
        return create(address, *args, **options)

    with Server(lambda visitor: arrived.append(visitor.request()), tls=tls) as server:
        monkeypatch.setattr(urllib3.util.connection, "create_connection", slowly)
        wire = to(server)
        transfer = post(wire)
        assert is_connecting.wait(LONG)
        transfer.close()
        gate.set()
        until(lambda: not transfer_threads() and (arrived or server.failures))
        wire.close()

    assert not any(arrived)


@pytest.mark.parametrize("tls", [False, True])
def test_a_full_queue_slows_the_sender_down_and_holds_nothing_up(tls: bool) -> None:
    """What a slow client does not read stays with Poe; giving up ends it even so."""
    sent = 0
    left: list[bool] = []

    def flood(visitor: Visitor) -> None:
        nonlocal sent
        visitor.request()
        visitor.begin()
        try:
            while sent < 400:
                visitor.chunk(b"x" * 65536)
                sent += 1
        except OSError:
            left.append(True)

    with Server(flood, tls=tls) as server:
        wire = to(server)
        transfer = post(wire)
        until(lambda: transfer._room is not None)
        # No more is read from now on, whatever is sent.
        assert transfer._queued < 600_000
        assert sent < 400
        transfer.close()
        until(lambda: left and not transfer_threads())
        wire.close()


def test_giving_up_late_does_no_harm() -> None:
    """A transfer that is over has no connection any more; the next one may be using it."""
    with Server(echo) as server:
        wire = to(server)
        first = post(wire)
        received(first)
        second = post(wire)
        first.close()
        first.close()
        assert End() == received(second)[-1]
        assert 1 == server.visits
        wire.close()


def test_a_connection_that_was_given_up_is_reset() -> None:
    """An end alone would let the sender go on: it might only be half a farewell."""
    sent_on: list[bool] = []

    def go_on(visitor: Visitor) -> None:
        within_the_answer(visitor)
        visitor.is_left()
        # The thread on the other side closes a moment after the cut.
        until(lambda: not transfer_threads())
        try:
            visitor.send(b"more")
        except OSError:
            sent_on.append(False)
        else:
            sent_on.append(True)

    with Server(go_on) as server:
        wire = to(server)
        transfer = post(wire)
        until(lambda: b"data: a\n\n" in transfer.wait(1))
        transfer.close()
        until(lambda: sent_on)
        wire.close()

    assert [False] == sent_on


def test_a_connection_is_cut_only_by_the_transfer_that_uses_it() -> None:
    """It goes back to the pool a moment before its transfer knows that it is over."""
    gate = threading.Event()

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"wait"):
                gate.wait(LONG)
            visitor.answer(request)

    with Server(serve) as server:
        wire = to(server)
        first = post(wire)
        received(first)
        second = post(wire, b"wait")
        until(lambda: second._is_sent)
        first._is_over, first._connection = False, second._connection  # that moment
        first.close()
        gate.set()
        assert End() == received(second)[-1]
        assert 1 == server.visits
        wire.close()


def test_a_connection_that_was_cut_in_the_pool_is_opened_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even if it was looked at just before it was cut, and seemed well."""
    really_ended, gone = Transfer.ended, threading.Event()

    def given_up_just_before(self: Transfer, failure: Exception | None) -> None:
        self.close()
        really_ended(self, failure)
        gone.set()

    with Server(echo) as server:
        wire = to(server)
        with monkeypatch.context() as patched:
            patched.setattr(Transfer, "ended", given_up_just_before)
            post(wire)
            assert gone.wait(LONG)
        monkeypatch.setattr(connections.Connection, "is_connected", property(lambda self: True))
        assert End() == received(post(wire))[-1]
        assert 2 == server.visits
        wire.close()


@pytest.mark.parametrize("begin", [before_the_answer, within_the_answer])
def test_closing_the_wire_ends_what_is_under_way(begin: Handler) -> None:
    """It fails as if Poe had hung up, and its thread ends; what was over is left alone."""
    has_begun = threading.Event()

    def stay(visitor: Visitor) -> None:
        begin(visitor)
        has_begun.set()
        visitor.is_left()

    with Server(stay) as server:
        wire = to(server)
        transfer = post(wire)
        assert has_begun.wait(LONG)
        if begin is within_the_answer:
            until(lambda: transfer._has_head)
        wire.close()
        last = received(transfer)[-1]
        until(lambda: not transfer_threads())
        wire.close()

    expected = UpstreamUncertain if begin is before_the_answer else UpstreamInterrupted
    assert expected is type(last)


# ---- failures


def silence(visitor: Visitor) -> None:
    visitor.is_left()


def reset(visitor: Visitor) -> None:
    visitor.request()


def reset_hard(visitor: Visitor) -> None:
    """As something on the way does that has forgotten the connection."""
    visitor.request()
    visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nonsense(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"SSH-2.0-OpenSSH\r\n\r\n")


def half_a_body(visitor: Visitor) -> None:
    visitor.request()
    visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def half_a_stream(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.chunk(b"half")


def no_chunk(visitor: Visitor) -> None:
    visitor.request()
    visitor.begin()
    visitor.send(b"half\r\n")


def silence_in_the_middle(visitor: Visitor) -> None:
    half_a_body(visitor)
    visitor.is_left()


@pytest.mark.parametrize(
    ("handler", "read_timeout", "failure", "said"),
    [
        (silence, 0.3, UpstreamTimeout, b""),
        (reset, LONG, UpstreamUncertain, b""),
        (nonsense, LONG, UpstreamUncertain, b""),
        (half_a_body, LONG, UpstreamInterrupted, b"half"),
        (half_a_stream, LONG, UpstreamInterrupted, b"half"),
        (no_chunk, LONG, UpstreamInterrupted, b""),
        # Time enough for the half that comes, however busy the machine is.
        (silence_in_the_middle, 4.0, UpstreamTimeout, b"half"),
    ],
)
def test_how_far_we_had_come_decides(
    handler: Handler, read_timeout: float, failure: type[UpstreamError], said: bytes
) -> None:
    """Sent and unanswered is uncertain; begun and broken off is an interruption."""
    with Server(handler) as server:
        wire = to(server, read_timeout=read_timeout)
        found = received(post(wire))
        wire.close()

    assert failure is type(found[-1])
    assert said == body(found)
    assert "127.0.0.1" not in str(found[-1])
    assert SECRET not in str(found[-1])


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (reset_hard, "The connection to Poe's API was reset before it answered."),
        (reset, "The connection to Poe's API was closed before it answered."),
        (nonsense, "The connection to Poe's API broke (ProtocolError) before it answered."),
        (half_a_stream, "Poe's reply broke off: the connection was closed before its end."),
    ],
)
def test_what_became_of_the_connection_is_said(handler: Handler, words: str) -> None:
    """A connection that is reset does not mean that Poe has too much to do."""
    with Server(handler) as server:
        wire = to(server)
        *_, failure = received(post(wire))
        wire.close()

    assert words == str(failure)


def unused() -> str:
    """A URL at which nothing listens."""
    return f"http://127.0.0.1:{unused_port()}"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        (unused(), None),
        (unused().replace("http", "https"), None),
        ("http://no.such.host.invalid", None),
        ("http://poe.invalid", unused()),
        ("https://poe.invalid", unused()),
        ("https://poe.invalid", unused().replace("http", "socks5h")),
    ],
    ids=["http", "https", "no name", "proxy", "tunnel", "socks"],
)
def test_where_nothing_listens(url: str, proxy: str | None) -> None:
    """Nothing was sent, so another try is safe."""
    found = received(post(Wire(url, read_timeout=LONG, proxy=proxy)))

    assert [UpstreamUnreachable] == [type(one) for one in found]


def test_a_certificate_that_is_not_trusted() -> None:
    """Nothing is sent to a server with an untrusted certificate, above all not the key."""
    seen: list[bytes | None] = []
    with Server(lambda visitor: seen.append(visitor.request()), tls=True) as server:
        found = received(post(Wire(server.url, read_timeout=LONG)))
        until(lambda: seen or server.failures)

    assert [UpstreamUnreachable] == [type(one) for one in found]
    assert not any(seen)


def test_an_unforeseen_failure_is_received_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of any kind reaches the caller, which waits for it."""
    with Server(echo) as server:
        wire = to(server)

        def broken(*args: Any, **options: Any) -> None:
            raise LookupError(SECRET)

        monkeypatch.setattr(wire._adapter, "send", broken)
        found = received(post(wire))

    assert [UpstreamUnreachable] == [type(one) for one in found]
    assert SECRET not in str(found[0])


def test_a_connection_that_died_in_the_pool_is_not_used() -> None:
    """The server closed it; that is seen before anything is sent on it."""
    closed = threading.Semaphore(0)

    def once(visitor: Visitor) -> None:
        visitor.answer(visitor.request() or b"")
        visitor.sock.shutdown(socket.SHUT_RDWR)
        closed.release()

    with Server(once) as server:
        wire = to(server)
        for count in (1, 2, 3):
            assert End() == received(post(wire))[-1]
            assert count == server.visits
            assert closed.acquire(timeout=LONG)
        wire.close()


def test_a_connection_that_lay_idle_for_long_is_not_used(clock: Clock) -> None:
    """A machine on the way may have forgotten the connection without a word."""
    with Server(echo) as server:
        wire = to(server, keep_idle=20.0)
        for pause in (0.0, 19.0, 21.0):
            clock.go(pause)
            received(post(wire))
        assert 2 == server.visits
        wire.close()


def test_a_long_answer_does_not_make_its_connection_old(clock: Clock) -> None:
    """A connection that is in use is not idle, however long."""

    def slow(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.begin()
            clock.go(30.0)
            visitor.chunk(b"")

    with Server(slow) as server:
        wire = to(server, keep_idle=20.0)
        received(post(wire))
        received(post(wire))
        assert 1 == server.visits
        wire.close()


# ---- through a proxy


def http_proxy(target: Server) -> Handler:
    """A proxy that knows CONNECT, and asks by address for the rest."""

    def handler(visitor: Visitor) -> None:
        request = visitor.request() or b""
        with socket.create_connection(("127.0.0.1", target.port)) as onward:
            if request.startswith(b"CONNECT "):
                visitor.send(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                onward.sendall(request)
            back = threading.Thread(target=pump, args=(onward, visitor.sock), daemon=True)
            back.start()
            pump(visitor.sock, onward)
            back.join(LONG)

    return handler


def pump(source: socket.socket, drain: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("tls", [False, True])
def test_through_a_proxy(tls: bool) -> None:
    """Answers come, connections are kept, and giving up cuts those as well."""
    left: list[bool] = []

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"stay"):
                visitor.begin()
                left.append(visitor.is_left())
                return
            visitor.answer(request)

    with Server(serve, tls=tls) as server, Server(http_proxy(server)) as proxy:
        wire = to(server, proxy=f"http://127.0.0.1:{proxy.port}")
        for _ in range(3):
            assert End() == received(post(wire))[-1]
        assert 1 == proxy.visits
        transfer = post(wire, b"stay")
        assert isinstance(transfer.wait(LONG)[0], Head)
        transfer.close()
        until(lambda: left)
        wire.close()

    assert [True] == left


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the setting counts."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, unused())
    with Server(echo) as server:
        wire = to(server)
        assert End() == received(post(wire))[-1]
        wire.close()


def test_the_limits_are_those_that_were_agreed() -> None:
    """Ten seconds to connect; connections are dropped well before the usual minute."""
    assert 10 == wiring.CONNECT
    assert 60 > connections.KEEP_IDLE
