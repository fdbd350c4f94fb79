"""Requests on their own: how long they may take in all, and how much may come."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from poe_proxy.errors import (
    UpstreamError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.poe_web.transport import Response, Transport
from tests.net.raw import Handler, Server, Visitor

from ...fakes import until

#: Seconds that a request may take here; what drips would take a minute.
LIMIT = 0.3
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(lambda: {"User-Agent": "a browser"}, proxy=None)
    yield made
    made.close()


def ask(transport: Transport, url: str, **options: Any) -> Response:
    return transport.send("GET", url, {}, **{"reading": True, "limit": LIMIT, **options})


def dripping(before: bytes, left: list[bool], *, waits: bool = True, byte: bytes = b"x") -> Handler:
    """Sends *before*, then *byte* after byte without an end, and notes that the client has left."""

    def drip(visitor: Visitor) -> None:
        if waits:
            visitor.request()
        visitor.send(before)
        over = threading.Event()
        try:
            for _ in range(3000):
                visitor.send(byte)
                over.wait(0.02)
        except OSError:
            left.append(True)

    return drip


@pytest.mark.parametrize("before", [HEAD, b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 "])
@pytest.mark.parametrize(("reading", "failure"), [(True, UpstreamTimeout),
                                                  (False, UpstreamUncertain)])  # fmt: skip
def test_an_answer_that_drips_is_given_up(
    transport: Transport, before: bytes, reading: bool, failure: type[UpstreamError]
) -> None:
    """Its time is that of the whole answer, head and body, and the connection is cut."""
    left: list[bool] = []
    with Server(dripping(before, left)) as server:
        with pytest.raises(failure) as raised:
            ask(transport, server.url, reading=reading)
        until(lambda: left)

    assert failure is type(raised.value)


def test_a_greeting_that_drips_is_given_up(transport: Transport) -> None:
    """TLS does not begin, and nothing was sent: another account may be tried."""
    left: list[bool] = []
    drip = dripping(b"\x16\x03\x03\x40\x00", left, waits=False, byte=b"\x16")
    with Server(drip) as server:
        with pytest.raises(UpstreamUnreachable):
            ask(transport, server.url.replace("http:", "https:"), reading=False)
        until(lambda: left)

    assert 1 == server.visits


def test_a_name_that_is_looked_up_for_ever_is_given_up(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent then, and nothing is sent once it is found."""
    over = threading.Event()
    found = socket.getaddrinfo

    def look_up(*args: Any, **options: Any) -> Any:
        over.wait(60)
        return found(*args, **options)

    left: list[bytes | None] = []
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Server(lambda visitor: left.append(visitor.request())) as server:
        with pytest.raises(UpstreamUnreachable):
            ask(transport, server.url)
        over.set()
        until(lambda: left)

    assert [None] == left


@pytest.mark.parametrize("url", ["https://host:abc/x.js", "https://host:99999/", "https://[::1/x"])
def test_what_is_no_address_cannot_be_reached(transport: Transport, url: str) -> None:
    """A page may name any for its scripts."""
    with pytest.raises(UpstreamUnreachable, match="no address"):
        ask(transport, url)


def test_an_answer_in_time_is_whole(transport: Transport) -> None:
    """And its connection serves the next request."""

    def serve(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.answer(b"whole", "200 OK", "Set-Cookie: a=b")

    with Server(serve) as server:
        answers = [ask(transport, server.url, limit=60.0) for _ in range(3)]

    assert [b"whole"] * 3 == [answer.content for answer in answers]
    assert {"a": "b"} == answers[-1].cookies
    assert 1 == server.visits


@pytest.mark.parametrize("packing", [None, "gzip"])
def test_an_answer_has_a_size(transport: Transport, packing: str | None) -> None:
    """Unpacked, whatever it is when it comes."""
    body = b"0" * 3_000_000
    sent = body if packing is None else gzip.compress(body)
    headers = [f"Content-Encoding: {packing}"] if packing else []

    def serve(visitor: Visitor) -> None:
        while visitor.request() is not None:
            visitor.answer(sent, "200 OK", *headers)

    with Server(serve) as server:
        assert body == ask(transport, server.url, limit=60.0, at_most=len(body)).content
        with pytest.raises(UpstreamUncertain):
            ask(transport, server.url, limit=60.0, at_most=len(body) - 1)


def test_what_is_packed_twice_is_not_unpacked(transport: Transport) -> None:
    """A kilobyte of it can be a terabyte."""
    body = gzip.compress(gzip.compress(b"0" * 1000))

    def serve(visitor: Visitor) -> None:
        visitor.request()
        visitor.answer(body, "200 OK", "Content-Encoding: gzip, gzip")

    with Server(serve) as server, pytest.raises(UpstreamUncertain):
        ask(transport, server.url, limit=60.0)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + (b"Set-Cookie: " + b"a=b; " * 10_000 + b"\r\n") * 50,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 50_000,
    ],
    ids=["cookies", "continues", "trailers"],
)
def test_a_head_has_a_size(transport: Transport, head: bytes) -> None:
    """All its lines together, and those behind a body in chunks, too."""

    def serve(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(head, b"Content-Length: 0\r\n\r\n")

    with Server(serve) as server, pytest.raises(UpstreamUncertain):
        ask(transport, server.url, limit=60.0)
