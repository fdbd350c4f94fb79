"""A message to an address that the operator has named."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from poe_proxy.net.posting import post

from ..with_sim.servers import free_port


class Sink(ThreadingHTTPServer):
    """Takes what is posted to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.took: list[tuple[str, str | None, bytes]] = []
        self.status = 200
        self.goes_on = Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever has hung up is told nothing."""


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.took.append((self.path, self.headers.get("Authorization"), body))
        if self.path == "/slow":
            self.server.goes_on.wait(60)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as made:
        thread = Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.goes_on.set()
        made.shutdown()


def test_a_message_is_posted(sink: Sink) -> None:
    """With path and query, and a login if the address has one."""
    assert "" == post(f"{sink.url}/hook?a=1", b"hello", {"Content-Type": "text/plain"}, 5.0)
    assert "" == post(f"{sink.url.replace('//', '//me:a%20b@')}", b"", {}, 5.0)

    login = base64.b64encode(b"me:a b").decode()
    assert [("/hook?a=1", None, b"hello"), ("/", f"Basic {login}", b"")] == sink.took


@pytest.mark.parametrize("status", [302, 404, 500])
def test_it_says_that_it_was_not_taken(sink: Sink, status: int) -> None:
    """No redirect is followed."""
    sink.status = status

    assert f"its answer was {status}" == post(sink.url, b"", {}, 5.0)
    assert 1 == len(sink.took)


def test_it_waits_no_longer_than_it_may(sink: Sink) -> None:
    """And says so, without the address."""
    assert "no answer within 0.05 s" == post(f"{sink.url}/slow", b"", {}, 0.05)


def test_it_says_that_nobody_is_there() -> None:
    """Without the address."""
    why = post(f"http://127.0.0.1:{free_port()}/secret", b"", {}, 5.0)

    assert why.startswith("the connection ")
    assert "127" not in why
    assert "secret" not in why
