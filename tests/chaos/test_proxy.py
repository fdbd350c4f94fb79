"""The net of a run does what it is armed to do, and notes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
import requests

from ..with_sim.servers import free_port
from .proxy import SEND, Proxy, Snag, Where

ANSWER = b"a" * 2_000


class Poe(BaseHTTPRequestHandler):
    """Answers everything, and keeps the connection."""

    protocol_version = "HTTP/1.1"
    asked: list[bytes]

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(size)
        if len(body) < size:
            self.close_connection = True
            return
        self.asked.append(body)
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def poe() -> Iterator[ThreadingHTTPServer]:
    Poe.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Poe) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def net(poe: ThreadingHTTPServer) -> Iterator[Proxy]:
    with Proxy(free_port(), poe.server_port, {"secret": "cookie-1"}) as one:
        yield one


def post(
    net: Proxy, body: str = "!mark=c1.1 Hello", session: requests.Session | None = None
) -> requests.Response:
    return (session or requests).post(
        f"http://127.0.0.1:{net.port}/api/gql_POST?x=1",
        data=body,
        headers={"Cookie": "a=b; p-b=secret", "poe-queryname": SEND},
        timeout=60,
    )


def test_a_request_is_passed_on_and_noted(net: Proxy) -> None:
    """Whose it is, what it is, and what came back, on a connection that is kept as well."""
    with requests.Session() as session:
        answers = [post(net, f"!mark=c1.{n} Hello", session) for n in (1, 2)]
    found = net.passages

    assert [ANSWER, ANSWER] == [answer.content for answer in answers]
    assert ["c1.1", "c1.2"] == [one.mark for one in found]
    assert [("cookie-1", True, "/api/gql_POST", 429, 7.0)] * 2 == [
        (one.account, one.is_send, one.path, one.status, one.retry_after) for one in found
    ]
    for one in found:
        times = [one.entered, one.begun, one.forwarded, one.answered]
        assert all(a is not None and b is not None and a <= b for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("where", "size", "is_asked"),
    [("cut request", 0, False), ("cut unanswered", 0, True), ("cut answer", 300, True)],
)
def test_a_connection_is_cut(net: Proxy, where: Where, size: float, is_asked: bool) -> None:
    """Once, and the next request is none the worse."""
    net.arm(Snag(where, "cookie-1", True, size))
    with pytest.raises(requests.RequestException):
        post(net)

    assert [b"!mark=c1.1 Hello"] * is_asked == Poe.asked
    assert net.passages[0].broken is not None
    assert (where == "cut answer") == (net.passages[0].answered is not None)
    assert ANSWER == post(net).content


@pytest.mark.parametrize("where", ["stall request", "stall body", "stall answer"])
def test_bytes_are_stalled(net: Proxy, where: Where) -> None:
    """The request is late, and whole."""
    net.arm(Snag(where, "cookie-1", True, 0.2))
    assert ANSWER == post(net).content
    one = net.passages[0]

    assert [b"!mark=c1.1 Hello"] == Poe.asked
    assert one.answered is not None
    assert 0.2 <= one.answered - one.entered


def test_a_snag_waits_for_its_own(net: Proxy) -> None:
    """For its account, and for a send if it is one for sends."""
    net.arm(Snag("cut request", "cookie-2", True))
    net.arm(Snag("cut request", "cookie-1", False))
    assert ANSWER == post(net).content
    assert [] == net.met


def test_connections_are_refused_in_an_outage(net: Proxy) -> None:
    """And those that were open are cut; behind it all is well again, as behind a restart."""
    with requests.Session() as session:
        assert ANSWER == post(net, session=session).content
        with net.outage():
            with pytest.raises(requests.ConnectionError):
                post(net, session=session)
            with pytest.raises(requests.ConnectionError):
                post(net)
        assert ANSWER == post(net, session=session).content
