"""Where the websocket is, how it is opened, and what may come of it."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import websocket

from poe_proxy.errors import UpstreamError, UpstreamProtocolError, UpstreamUnreachable
from poe_proxy.upstreams.poe_web import websockets
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.websockets import Socket, Unreadable, Wire, hang_up
from tests.net.raw import Server, Visitor

from ...fakes import Clock, until


def data(base_host: str = "poe.com") -> ChannelData:
    return ChannelData(
        name="poe-chan42-8888-abcd", hash="1234", box="chan42-8888", base_host=base_host, min_seq=5
    )


def socket(ws_url: str | None = None) -> Socket:
    return Socket(CurrentSite(Site.load()), origin="https://poe.com", ws_url=ws_url, proxy=None)


def test_the_address_is_that_of_the_sheet() -> None:
    """§7.3: a random host, box, sequence, channel and hash."""
    first, last = socket().address(data(), 7).split(".tch.")

    assert first.startswith("wss://tch")
    assert 1 <= int(first.removeprefix("wss://tch")) <= 1_000_000
    assert "poe.com/up/chan42-8888/updates?min_seq=7&channel=poe-chan42-8888-abcd&hash=1234" == last


def test_poe_ws_url_takes_the_host_s_place() -> None:
    """For tests the host is given, and Poe's is not asked."""
    address = socket("ws://127.0.0.1:9000").address(data("whatever.test"), 5)

    assert address.startswith("ws://127.0.0.1:9000/up/chan42-8888/updates?min_seq=5&")


@pytest.mark.parametrize("host", ["poe.com", "eu.poe.com"])
def test_poe_s_own_hosts_are_trusted(host: str) -> None:
    """poe.com and what is beneath it."""
    assert f".tch.{host}/" in socket().address(data(host), 5)


@pytest.mark.parametrize(
    "host",
    ["evil.test", "poe.com.evil.test", "notpoe.com", "evil.test/poe.com", "@evil.test", "",
     "evil.test/.poe.com", "evil.test?.poe.com", "evil.test#.poe.com", "x@evil.test:80#.poe.com"],
)  # fmt: skip
def test_a_websocket_elsewhere_is_refused(host: str) -> None:
    """The page cannot lead us to a host that is not Poe's."""
    with pytest.raises(UpstreamProtocolError, match="not its own"):
        socket().address(data(host), 5)


def test_an_address_that_is_none_is_refused() -> None:
    """Poe's fault, and none of ours."""
    with pytest.raises(UpstreamProtocolError, match="no address"):
        socket().address(data("[.poe.com"), 5)


# ---- what comes

CONT, TEXT, PING, CLOSE = 0, 1, 9, 8


def frame(opcode: int, body: bytes, *, is_last: bool = True, length: int | None = None) -> bytes:
    """A frame as a server sends it, with the *length* that it says it has."""
    size = len(body) if length is None else length
    first = bytes([opcode | (128 if is_last else 0)])
    if size < 126:
        return first + bytes([size]) + body
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2, "big") + body
    return first + b"\x7f" + size.to_bytes(8, "big") + body


def greet(visitor: Visitor, *headers: str) -> bytes:
    """Open a websocket; return the request for it."""
    request = visitor.request() or b""
    key = next(
        line[19:] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
    )
    accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}",
        *headers,
        "",
        "",
    ]
    visitor.send("\r\n".join(lines).encode())
    return request


@contextmanager
def opened(*frames: bytes | Callable[[Visitor], object]) -> Iterator[Wire]:
    """A websocket from which these frames come."""

    def serve(visitor: Visitor) -> None:
        greet(visitor)
        for one in frames:
            if callable(one):
                one(visitor)
            else:
                visitor.send(one)
        visitor.is_left()

    with Server(serve) as server:
        wire = socket(f"ws://127.0.0.1:{server.port}").open(data(), 5)
        wire.settimeout(60)
        try:
            yield wire
        finally:
            hang_up(wire)


def messages(wire: Wire, number: int) -> list[tuple[int, bytes]]:
    """The next messages, however many of them come at once."""
    got: list[tuple[int, bytes]] = []
    while len(got) < number:
        got += wire.receive()
    assert number == len(got)
    return got


def test_messages_come_as_they_were_sent() -> None:
    """Short, long, in fragments with other things in between, and empty."""
    long = b"x" * 200_000
    with opened(
        frame(TEXT, b"short"),
        frame(TEXT, long),
        frame(TEXT, b"a", is_last=False),
        frame(PING, b"!"),
        frame(CONT, b"b", is_last=False),
        frame(CONT, b"c"),
        frame(TEXT, b""),
        frame(CLOSE, b""),
    ) as wire:
        got = messages(wire, 6)

    assert [(TEXT, b"short"), (TEXT, long), (PING, b"!"), (TEXT, b"abc"), (TEXT, b""),
            (CLOSE, b"")] == got  # fmt: skip


def test_messages_that_came_together_are_taken_together() -> None:
    """In one read, and the last of them as soon as the rest of it is there."""
    rest, go = frame(TEXT, b"c" * 300), threading.Event()

    def later(visitor: Visitor) -> None:
        go.wait(60)
        visitor.send(rest[7:])

    with opened(frame(TEXT, b"a") + frame(TEXT, b"b" * 200) + rest[:7], later) as wire:
        assert [(TEXT, b"a"), (TEXT, b"b" * 200)] == wire.receive()
        go.set()
        assert [(TEXT, b"c" * 300)] == wire.receive()


@pytest.mark.parametrize("end", [b"\x81\x81mask" + b"x", frame(PING, b"x" * 126)],
                         ids=["a mask", "a long ping"])  # fmt: skip
def test_what_came_before_a_break_is_not_lost(end: bytes) -> None:
    """Though both came together."""
    with opened(frame(TEXT, b"a") + frame(TEXT, b"b") + end) as wire:
        assert [(TEXT, b"a"), (TEXT, b"b")] == messages(wire, 2)
        with pytest.raises(Unreadable):
            wire.receive()


def test_messages_of_all_sizes_come_through_the_same_room() -> None:
    """Whatever is left of the one before, and however large they are."""
    sizes = [0, 1, 70_000, 125, 126, 300_000, 5, 65_535, 65_536, 1_000_000, 3, 200_000, 200_000]
    sent = [frame(TEXT, bytes([number]) * size) for number, size in enumerate(sizes)]
    with opened(b"".join(sent)) as wire:
        got = messages(wire, len(sizes))

    assert [bytes([number]) * size for number, size in enumerate(sizes)] == [one for _, one in got]


def test_a_message_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly as much is allowed, in one frame or in many."""
    monkeypatch.setattr(websockets, "MAX_MESSAGE", 1000)
    many = [frame(TEXT, b"x" * 500, is_last=False), frame(CONT, b"x" * 500)]
    with opened(frame(TEXT, b"x" * 1000), *many, frame(TEXT, b"x" * 1001)) as wire:
        assert [1000, 1000] == [len(data) for _, data in messages(wire, 2)]
        with pytest.raises(Unreadable):
            wire.receive()


def test_a_frame_without_an_end_is_refused_by_its_length() -> None:
    """Before any of it comes."""
    with opened(frame(TEXT, b"", length=2**62)) as wire, pytest.raises(Unreadable, match="32 MB"):
        wire.receive()


def test_fragments_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sum counts."""
    monkeypatch.setattr(websockets, "MAX_MESSAGE", 1000)

    def flood(visitor: Visitor) -> None:
        while True:
            visitor.send(frame(CONT, b"x" * 100, is_last=False))

    with opened(frame(TEXT, b"x", is_last=False), flood) as wire, pytest.raises(Unreadable):
        wire.receive()


def test_a_message_has_so_many_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if there is nothing in them; each message has its own number."""
    monkeypatch.setattr(websockets, "_MAX_FRAGMENTS", 3)
    empty = frame(CONT, b"", is_last=False)
    three = [frame(TEXT, b"a", is_last=False), empty, frame(CONT, b"b")]
    with opened(*three, *three, frame(TEXT, b"a", is_last=False), empty, empty, empty) as wire:
        assert [b"ab", b"ab"] == [data for _, data in messages(wire, 2)]
        with pytest.raises(Unreadable, match="fragments"):
            wire.receive()


@pytest.mark.parametrize("is_fragmented", [False, True])
def test_a_message_has_a_time(monkeypatch: pytest.MonkeyPatch, is_fragmented: bool) -> None:
    """From its first byte on; silence before it does not count, and time-outs lose nothing."""
    clock = Clock()
    monkeypatch.setattr(websockets, "time", SimpleNamespace(monotonic=clock))
    more, go = threading.Event(), threading.Event()
    first, second = (
        (frame(TEXT, b"ab", is_last=False), frame(CONT, b"cd"))
        if is_fragmented
        else (frame(TEXT, b"ab", length=4), b"cd")
    )

    def later(visitor: Visitor) -> None:
        for _ in range(2):
            more.set()
            go.wait(60)
            go.clear()
            visitor.send(second)
            visitor.send(first)

    with opened(first, later) as wire:
        for seconds in (websockets.MAX_SECONDS, websockets.MAX_SECONDS + 1):
            clock.go(3600)
            more.wait(60)
            more.clear()
            wire.settimeout(0.01)
            for _ in range(20):
                assert [] == wire.receive()
            clock.go(seconds)
            wire.settimeout(60)
            go.set()
            if seconds <= websockets.MAX_SECONDS:
                assert [(TEXT, b"abcd")] == wire.receive()
            else:
                with pytest.raises(Unreadable, match="60 s"):
                    wire.receive()


@pytest.mark.parametrize(
    "frames",
    [
        [frame(CONT, b"x")],
        [frame(TEXT, b"x", is_last=False), frame(TEXT, b"x")],
        [frame(PING, b"x" * 126)],
        [b"\x81\x81mask" + b"x"],
    ],
    ids=["no beginning", "two beginnings", "a long ping", "a mask"],
)
def test_what_is_against_the_rules_is_not_read(frames: list[bytes]) -> None:
    """It breaks the websocket, like any other trouble."""
    with opened(*frames) as wire, pytest.raises(websocket.WebSocketException):
        wire.receive()


# ---- opening


@pytest.mark.parametrize("head", [b"HTTP/1.1 101 Switching Protocols\r\nX: ",
                                  b"HTTP/1.1 502 Bad\r\nContent-Length: 9000\r\n\r\n"])  # fmt: skip
def test_an_opening_that_drips_is_given_up(head: bytes) -> None:
    """Its limit is that of all of it, and the connection is cut."""
    left: list[bool] = []
    over = threading.Event()

    def drip(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(head)
        try:
            for _ in range(3000):
                visitor.send(b"x")
                over.wait(0.02)
        except OSError:
            left.append(True)

    site = Site.load()
    object.__setattr__(site.limits, "socket_open", 0.3)
    with Server(drip) as server:
        url = f"ws://127.0.0.1:{server.port}"
        socket = Socket(CurrentSite(site), origin="https://poe.com", ws_url=url, proxy=None)
        with pytest.raises(UpstreamUnreachable, match="TimeoutError"):
            socket.open(data(), 5)
        until(lambda: left)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 10_000,
        b"HTTP/1.1 101 " + b"x" * 50_000,
        b"HTTP/1.1 502 Bad\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000,
    ],
    ids=["headers", "a line", "a page"],
)
def test_an_opening_has_a_size(head: bytes) -> None:
    """Head and page; what comes beyond it is not read."""

    def serve(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(head)

    with Server(serve) as server, pytest.raises(UpstreamError):
        socket(f"ws://127.0.0.1:{server.port}").open(data(), 5)


def test_accounts_do_not_share_cookies_of_websockets() -> None:
    """What one is given does not come back with the next."""
    requests: list[bytes] = []

    def serve(visitor: Visitor) -> None:
        requests.append(greet(visitor, "Set-Cookie: who=me; Domain=127.0.0.1"))

    with Server(serve) as server:
        for _ in range(2):
            hang_up(socket(f"ws://127.0.0.1:{server.port}").open(data(), 5))

    assert not any(b"who=me" in request for request in requests)
