"""What becomes of an exchange, with a server on loopback that misbehaves, and what that means."""

from __future__ import annotations

import threading
import time

import pytest

from poe_proxy.chat import Text
from poe_proxy.errors import (
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net.hosts import Host
from poe_proxy.net.transfer import End, Received, Stage, Transfer, Trouble
from poe_proxy.upstreams.poe_api import PoeApi, client, wire
from tests.fakes import ask, at_once, until
from tests.net.misbehaving import ends, half_a_body, half_a_stream, no_chunk, nonsense, resets
from tests.net.raw import CERTIFICATE, Handler, Server, Visitor, unused_port

SECRET = "sk-poe-secret"
#: Seconds after which what never comes has failed.
LONG = 60.0


def post(host: Host) -> Transfer:
    return host.send("POST", "/v1/chat", {"Authorization": f"Bearer {SECRET}"}, b"{}")


def received(host: Host) -> list[Received]:
    """All that comes of a request, up to the last of it."""
    transfer, found = post(host), list[Received]()
    end = time.monotonic() + LONG
    while not (found and isinstance(found[-1], End | Trouble)):
        assert time.monotonic() < end, found
        found += transfer.wait(0.5)
    transfer.close()
    host.close()
    return found


def failure(host: Host) -> UpstreamError:
    """What a request that fails means."""
    trouble = received(host)[-1]
    assert isinstance(trouble, Trouble)
    return wire.failure(trouble)


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        (
            resets,
            UpstreamUncertain,
            "The connection to Poe's API was reset before it answered.",
        ),
        (ends, UpstreamUncertain, "The connection to Poe's API was closed before it answered."),
        (
            nonsense,
            UpstreamUncertain,
            "The connection to Poe's API broke (ProtocolError) before it answered.",
        ),
        (
            half_a_body,
            UpstreamInterrupted,
            "Poe's reply broke off: the connection was closed before its end.",
        ),
        (
            half_a_stream,
            UpstreamInterrupted,
            "Poe's reply broke off: the connection was closed before its end.",
        ),
        (
            no_chunk,
            UpstreamInterrupted,
            "Poe's reply broke off: the connection broke (ProtocolError) before its end.",
        ),
    ],
)
def test_how_far_we_had_come_decides(
    handler: Handler, kind: type[UpstreamError], words: str
) -> None:
    """Sent and unanswered is uncertain; begun and broken off is an interruption. A connection that
    is reset does not mean that Poe has too much to do."""
    with Server(handler) as server:
        met = failure(Host(server.url))

    assert (kind, words) == (type(met), str(met))


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
    met = failure(Host(url, proxy=proxy))

    assert UpstreamUnreachable is type(met)
    assert "127.0.0.1" not in str(met)
    assert "invalid" not in str(met)


def test_a_certificate_that_is_not_trusted() -> None:
    """Nothing is sent to a server with an untrusted certificate, above all not the key."""
    seen: list[bytes | None] = []
    with Server(lambda visitor: seen.append(visitor.request()), tls=True) as server:
        met = failure(Host(server.url))
        until(lambda: seen or server.failures)

    assert UpstreamUnreachable is type(met)
    assert not any(seen)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (Stage.NOT_SENT, UpstreamUnreachable),
        (Stage.SENT, UpstreamTimeout),
        (Stage.HEAD, UpstreamTimeout),
    ],
)
def test_a_time_limit(stage: Stage, kind: type[UpstreamError]) -> None:
    """While we connect, nothing was sent, so another try is safe."""
    assert kind is type(wire.failure(Trouble(stage, "TimeoutError", timed_out=True)))


def test_a_request_that_cannot_be_sent_is_no_address_in_a_log() -> None:
    """What is wrong with it is not said: it may be the key."""
    host = Host("http://poe.invalid")
    transfer = host.send("POST", "/v1/chat", {"Authorization": f"{SECRET}\n"}, b"{}")
    trouble = transfer.wait(LONG)[-1]

    assert isinstance(trouble, Trouble)
    assert UpstreamUnreachable is type(wire.failure(trouble))
    assert SECRET not in str(wire.failure(trouble)) + repr(trouble)


@pytest.mark.parametrize("tls", [False, True])
def test_who_does_not_read_slows_the_bot_down(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not asked for stays with Poe, and does not fill our memory; hanging up ends even
    that."""
    is_stuck, left = threading.Event(), list[bool]()
    text = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 60_000)

    def flood(visitor: Visitor) -> None:
        visitor.request()
        visitor.begin()
        visitor.sock.settimeout(1.0)
        try:
            while True:
                visitor.chunk(text)
        except TimeoutError:
            is_stuck.set()
        left.append(visitor.is_left())

    with Server(flood, tls=tls) as server:
        host = Host(server.url, authorities=str(CERTIFICATE))
        monkeypatch.setattr(client, "Host", lambda *args, **options: host)
        events = PoeApi(SECRET).reply(ask(), "x", at_once)
        until(lambda: isinstance(next(events), Text))
        assert is_stuck.wait(LONG)
        events.close()
        until(lambda: left)

    assert [True] == left
