"""What is kept open to a host, whom it trusts, and the ways through proxies."""

from __future__ import annotations

import socket
import ssl
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from poe_proxy.net import dialing, kept
from poe_proxy.net.background import Background
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.net.transfer import End, Stage, Trouble
from tests.fakes import Clock, until

from ..with_sim import proxies
from .exchanging import LONG, body, echo, post, received, to, trouble
from .raw import CERTIFICATE, Handler, Server, Visitor, unused_port

BOTH = pytest.mark.parametrize("tls", [False, True])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that measures how long a connection lay idle."""
    clock = Clock()
    monkeypatch.setattr(kept, "time", SimpleNamespace(monotonic=clock))
    return clock


# ---- connections that are kept


@BOTH
def test_connections_are_used_again(tls: bool) -> None:
    """One after the other on one, side by side on several; no cookie is carried over."""
    side_by_side = threading.Barrier(5)

    def set_cookie(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"together"):
                side_by_side.wait(LONG)
            visitor.answer(request, "200 OK", "Set-Cookie: a=b")

    with Server(set_cookie, tls=tls) as server, to(server) as host:
        for _ in range(5):
            assert b"cookie" not in body(received(post(host))).lower()
        assert 1 == server.visits
        for one in [Background(lambda: received(post(host, b"together"))) for _ in range(5)]:
            assert End() == one.result()[-1]
        assert 5 == server.visits


@BOTH
def test_a_connection_that_died_in_the_meantime_is_not_used(tls: bool) -> None:
    """The server closed it; that is seen before anything is sent on it."""
    closed = threading.Semaphore(0)

    def once(visitor: Visitor) -> None:
        visitor.answer(visitor.request() or b"")
        visitor.sock.close()
        closed.release()

    with Server(once, tls=tls) as server, to(server) as host:
        for count in (1, 2, 3):
            assert End() == received(post(host))[-1]
            assert count == server.visits
            assert closed.acquire(timeout=LONG)


def test_a_connection_on_which_something_came_is_not_used() -> None:
    """What nobody has asked for must not be taken for an answer."""
    sent = threading.Semaphore(0)

    def answer_twice(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            visitor.answer(request)
            visitor.answer(b"of somebody else")
            sent.release()

    with Server(answer_twice) as server, to(server) as host:
        for count in (1, 2, 3):
            assert b"somebody else" not in body(received(post(host)))
            assert count == server.visits
            assert sent.acquire(timeout=LONG)


def test_an_end_that_comes_behind_the_request_is_uncertain() -> None:
    """A kept connection may end at the very moment at which the next request goes out: nobody knows
    whether that has arrived, and it is not sent again."""

    def once(visitor: Visitor) -> None:
        visitor.answer(visitor.request() or b"")
        visitor.request()

    with Server(once) as server, to(server) as host:
        received(post(host))
        failure = trouble(received(post(host)))
        assert 1 == server.visits

    assert (Stage.SENT, "was closed") == (failure.stage, failure.words)


@pytest.mark.parametrize("lines", [(), ("Connection: close",)])
def test_a_server_that_keeps_no_connection(lines: tuple[str, ...]) -> None:
    """One that says so, or has answered in HTTP/1.0, is not asked on the same one again."""

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if lines:
                visitor.answer(request, "200 OK", *lines)
            else:
                visitor.send(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx")

    with Server(serve) as server, to(server) as host:
        for count in (1, 2, 3):
            received(post(host))
            assert count == server.visits


def test_a_connection_that_lay_idle_for_long_is_not_used(clock: Clock) -> None:
    """A machine on the way may have forgotten it without a word. The time counts from the end of
    its last use, however long that was."""

    def slow(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.begin()
            clock.go(100.0)
            visitor.chunk(b"")

    with Server(slow) as server, to(server, keep_idle=20.0) as host:
        for pause in (0.0, 19.0, 19.0):
            clock.go(pause)
            received(post(host))
        assert 1 == server.visits
        clock.go(20.0)
        received(post(host))
        assert 2 == server.visits


def test_so_many_are_kept(clock: Clock) -> None:
    """The one that was used last is used next; those that nobody needs become old, and are closed
    when another one is given back."""
    together = threading.Barrier(4)
    left: list[Visitor] = []

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"together"):
                together.wait(LONG)
            visitor.answer(request)
        left.append(visitor)

    with Server(serve) as server, to(server, connections=3, keep_idle=20.0) as host:
        for one in [Background(lambda: received(post(host, b"together"))) for _ in range(4)]:
            assert End() == one.result()[-1]
        assert 4 == server.visits
        until(lambda: 1 == len(left))
        clock.go(19.0)
        received(post(host))
        clock.go(19.0)
        received(post(host))
        until(lambda: 3 == len(left))
        assert 4 == server.visits


def test_none_is_kept_once_the_host_is_closed() -> None:
    """Neither those that lie idle nor one that comes back later."""
    left = threading.Semaphore(0)

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            visitor.answer(request)
        left.release()

    with Server(serve) as server, to(server) as host:
        received(post(host))
        host.close()
        assert left.acquire(timeout=LONG)
        received(post(host))
        assert left.acquire(timeout=LONG)
        assert 2 == server.visits


def test_a_request_does_not_wait_for_its_first_half_to_be_acknowledged() -> None:
    """The kernel sends at once what it is given."""
    with Server(echo) as server, to(server) as host:
        received(post(host))
        (connection,) = host._kept._idle

        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- the address


def test_a_path_and_a_query() -> None:
    """What the URL of the host has comes first; Host names the port if that is not the usual."""
    with Server(echo) as server:
        beneath = Host(f"{server.url}/base/")
        asked = body(received(beneath.send("GET", "/v1/models?a=b%20c", {}))).decode()
        beneath.close()

    assert f"GET /base/v1/models?a=b%20c HTTP/1.1\r\nHost: localhost:{server.port}\r\n" in asked
    assert "Content-Length" not in asked
    assert "Host: poe.com\r\n" == Host("https://poe.com")._lines


# ---- whom it trusts


def test_a_certificate_that_is_not_trusted() -> None:
    """Nothing is sent to a server with an untrusted certificate, above all not the key."""
    seen: list[bytes | None] = []
    with Server(lambda visitor: seen.append(visitor.request()), tls=True) as server:
        failure = trouble(received(post(Host(server.url))))
        until(lambda: seen or server.failures)

    assert (Stage.NOT_SENT, True, False) == (
        failure.stage,
        failure.bad_certificate,
        failure.timed_out,
    )
    assert not any(seen)


def test_a_certificate_of_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as bad as one that is not trusted."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: look_up("localhost", *rest))
    seen: list[bytes | None] = []
    with Server(lambda visitor: seen.append(visitor.request()), tls=True) as server:
        host = Host(f"https://other.example:{server.port}", authorities=str(CERTIFICATE))
        failure = trouble(received(post(host)))
        until(lambda: seen or server.failures)

    assert (Stage.NOT_SENT, True) == (failure.stage, failure.bad_certificate)
    assert not any(seen)


def test_what_is_trusted_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than all the rest of connecting."""
    made: list[str] = []
    create = ssl.create_default_context

    def counted(*, cafile: str) -> ssl.SSLContext:
        made.append(cafile)
        return create(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    dialing._context.cache_clear()
    with Server(echo, tls=True) as server:
        for _ in range(3):
            with to(server) as host:
                received(post(host))

    assert [str(CERTIFICATE)] == made


# ---- through a proxy

LOGIN = "us@r:p ss/w:rd"
QUOTED = "us%40r:p%20ss%2Fw%3Ard@"


def http(login: str | None) -> Handler:
    """An HTTP proxy as people run it."""
    return lambda visitor: proxies.http(visitor.sock, login)


def socks5(login: str | None) -> Handler:
    """A SOCKS5 proxy."""
    return lambda visitor: proxies.socks5(visitor.sock, login)


@BOTH
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, LOGIN])
def test_through_each_kind_of_proxy(
    scheme: str,
    tls: bool,
    login: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Answers come, TLS goes through to the host itself, and giving up cuts those as well. What TLS
    does not hide from an HTTP proxy is passed on by it, as browsers have it; the rest is tunnelled,
    and its connection is kept."""
    monkeypatch.setattr(dialing, "DEFAULT_CA_BUNDLE_PATH", str(CERTIFICATE))
    left: list[bool] = []

    def serve(visitor: Visitor) -> None:
        while (request := visitor.request()) is not None:
            if request.endswith(b"stay"):
                visitor.begin()
                left.append(visitor.is_left())
                return
            if b"Connection: close" in request:
                visitor.answer(request, "200 OK", "Connection: close")
                return
            visitor.answer(request)

    handler = http(login) if scheme.startswith("http") else socks5(login)
    with (
        Server(serve, tls=tls) as server,
        Server(handler, tls=scheme == "https") as proxy,
        to(server, proxy=f"{scheme}://{QUOTED if login else ''}localhost:{proxy.port}") as host,
    ):
        for _ in range(3):
            found = received(post(host))
            assert End() == found[-1]
            assert b"POST /v1/chat HTTP/1.1\r\nHost: localhost:" in body(found)
            assert b"Proxy" not in body(found)
        seen = capsys.readouterr().out.splitlines()
        transfer = post(host, b"stay")
        assert isinstance(transfer.wait(LONG)[0], Head)
        transfer.close()
        until(lambda: left)

    name = "127.0.0.1" if scheme == "socks5" else "localhost"
    verb = {"socks5": "SOCKS5 address", "socks5h": "SOCKS5 name"}.get(scheme, "CONNECT")
    if verb == "CONNECT" and not tls:
        # This proxy passes one request on for each connection.
        assert [f"POST localhost:{server.port}"] * 3 == seen
    else:
        assert [f"{verb} {name}:{server.port}"] == seen
    assert [True] == left


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_that_refuses(scheme: str) -> None:
    """Nothing was sent to the host."""
    handler = http("good:login") if scheme == "http" else socks5("good:login")
    with Server(echo, tls=True) as server, Server(handler) as proxy:
        with to(server, proxy=f"{scheme}://bad:secret@localhost:{proxy.port}") as host:
            found = received(post(host))
        assert 0 == server.visits

    assert [Trouble(Stage.NOT_SENT, "ProxyError")] == found


def test_a_proxy_that_refuses_to_pass_a_request_on() -> None:
    """What it answers is received."""
    with Server(echo) as server, Server(http("good:login")) as proxy:
        with to(server, proxy=f"http://bad:secret@localhost:{proxy.port}") as host:
            head, *_ = received(post(host))
        assert 0 == server.visits

    assert isinstance(head, Head)
    assert 407 == head.status


def test_a_proxy_with_a_certificate_that_is_not_trusted() -> None:
    """It is the proxy that cannot be reached; the host has no part in it."""
    with (
        Server(echo, tls=True) as server,
        Server(http(None), tls=True) as proxy,
        to(server, proxy=f"https://localhost:{proxy.port}") as host,
    ):
        found = received(post(host))

    assert [Trouble(Stage.NOT_SENT, "ProxyError")] == found


def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the setting counts."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    with Server(echo) as server, to(server) as host:
        assert End() == received(post(host))[-1]


def test_many_side_by_side() -> None:
    """Each gets its own answer, on whichever connection."""
    answers: dict[int, Any] = {}

    with Server(echo) as server, to(server, connections=5) as host:

        def ask(number: int) -> None:
            for count in range(20):
                mine = f"{number} {count}.".encode()
                found = body(received(post(host, mine)))
                answers[number * 100 + count] = found.endswith(b"\r\n\r\n" + mine)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)

    assert [True] * 200 == list(answers.values())
