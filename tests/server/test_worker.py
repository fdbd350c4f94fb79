"""gunicorn's worker, which looks after its connections; gunicorn itself is played here."""

from __future__ import annotations

import inspect
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.workers.base_async import AsyncWorker

from poe_proxy import flight, logs
from poe_proxy.server import connection
from poe_proxy.server import gunicorn as gunicorn_hooks
from poe_proxy.server.connection import Connection, HeadTooLarge
from poe_proxy.server.worker import Guarded, settle

from ..garbage import left_behind
from .connections import Request, pair


class Played:
    """gunicorn's worker: it has *most* connections, and does with one what the test says."""

    def __init__(self, most: int, serve: Callable[[Any, Connection], object]) -> None:
        self.worker_connections = most
        self.cfg = Config()
        self.sockets: list[socket.socket] = []
        self.errors: list[BaseException] = []
        self._serve = serve
        self.answer: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Serve for no time at all."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        self._serve(self, client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self.answer()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        self.errors.append(exc)


class Worker(Guarded, Played):
    """As `gunicorn.conf.py` puts it together."""


class Read(Request):
    """A request, behind which *ahead* was read, too."""

    def __init__(self, ahead: bytes = b"") -> None:
        super().__init__()
        self.unreader = SimpleNamespace(buf=BytesIO(ahead))
        self.body = SimpleNamespace(reader=object())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses for others, none of which takes time."""
    made: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", made.append)
    return made


def served(serve: Callable[[Any, Connection], object], says: bytes = b"") -> bytes:
    """Let a worker do *serve* for a client that *says* something; return what that gets."""
    ours, theirs = socket.socketpair()

    def and_close(worker: Any, client: Connection) -> None:
        with client:
            serve(worker, client)

    with theirs:
        theirs.sendall(says)
        Worker(10, and_close).handle(None, ours, "")
        # A reset, where not all was read that the client said.
        with suppress(ConnectionError):
            return theirs.recv(100)
    return b""


def test_gunicorn_has_what_is_overridden() -> None:
    """Its own worker calls these, and has these."""
    for name in ("run", "handle", "handle_request", "handle_error"):
        assert callable(getattr(AsyncWorker, name))
    assert ["self", "listener_name", "req", "sock", "addr"] == list(
        AsyncWorker.handle_request.__code__.co_varnames[:5]
    )


def test_what_it_listens_on_has_a_limit_for_writes() -> None:
    """Those that systemd hands over, too; one that cannot have it is left alone."""
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        worker = Worker(10, lambda *_: None)
        worker.sockets = [unix, tcp]
        worker.run()

        limit = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert 1000 * connection.WRITE_TIMEOUT == limit


def test_settings_are_looked_up_once() -> None:
    """All of gunicorn's but the grace, which its end changes, and nothing else of a worker's."""
    hooks = inspect.getsource(gunicorn_hooks)
    config = Config()
    config.set("keepalive", 7)
    settle(config)
    config.set("graceful_timeout", 3)

    assert (7, 3) == (config.keepalive, config.graceful_timeout)
    assert {"keepalive", "forwarded_allow_ips"} < vars(config).keys()
    assert "graceful_timeout" not in vars(config)
    assert {"graceful_timeout"} == set(re.findall(r'worker\.cfg\.set\("(\w+)"', hooks))


def test_others_have_their_turn_before_what_was_sent_ahead(pauses: list[float]) -> None:
    """Whether it was read already, or waits to be; a client that waits for its answers has no
    pause."""

    def serve(worker: Any, client: Connection) -> None:
        worker.handle_request(None, Read(), client, "")
        assert [] == pauses
        worker.handle_request(None, Read(b"GET"), client, "")
        assert 1 == len(pauses)

    served(serve)

    def with_more(worker: Any, client: Connection) -> None:
        worker.answer = lambda: client.sendall(b"answer")
        worker.handle_request(None, Read(), client, "")
        assert 2 == len(pauses)

    served(with_more, says=b"GET")


def test_a_client_that_is_fast_has_a_turn(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next request is there as soon as it has its answer: then the others come in now and
    then."""
    now = 0.0
    monkeypatch.setattr(connection.time, "thread_time", lambda: now)

    def serve(worker: Any, client: Connection) -> None:
        nonlocal now
        for _ in range(100):
            worker.handle_request(None, Read(), client, "")
            now += connection.TURN / 9.5

    served(serve, says=b"GET")

    assert 9 <= len(pauses) <= 10


def test_the_last_request_of_a_connection_is_the_last() -> None:
    """gunicorn is told so again, after the client was let go."""

    def serve(worker: Any, client: Connection) -> None:
        def answer() -> None:
            client.close_after_answer()
            client.sendall(b"answer")
            raise StopIteration

        worker.answer = answer
        client.setblocking(False)
        with pytest.raises(StopIteration):
            worker.handle_request(None, Read(), client, "")

    assert b"answer" == served(serve)


def test_nothing_of_a_request_is_left_behind_it() -> None:
    """What is done until the next one belongs to none."""
    flight.current.set(flight.Flight("req_1", "GET /"))
    logs.request_id.set("req_1")

    served(lambda worker, client: worker.handle_request(None, Read(), client, ""))

    assert (None, "-") == (flight.current.get(), logs.request_id.get())


def test_a_new_connection_takes_the_place_of_an_old_one() -> None:
    """The old one is cut, while it is still being served."""
    (old, old_client), (new, new_client) = socket.socketpair(), socket.socketpair()
    met: list[Connection] = []

    def serve(worker: Any, client: Connection) -> None:
        with client:
            met.append(client)
            if len(met) == 1:
                worker.handle(None, new, "")
                assert b"" == client.recv(1)
            else:
                client.sendall(b"answer")

    with old_client, new_client:
        Worker(1, serve).handle(None, old, "")

        assert b"" == old_client.recv(100)
        assert b"answer" == new_client.recv(100)


def test_a_head_that_is_too_long_is_a_431() -> None:
    """In the form of all errors; what else is wrong beneath the app is gunicorn's to say."""
    worker = Worker(10, lambda *_: None)
    ours, theirs = socket.socketpair()
    theirs.shutdown(socket.SHUT_WR)
    with theirs, Connection.take(ours) as client:
        worker.handle_error(None, client, "", HeadTooLarge())
        worker.handle_error(None, client, "", ZeroDivisionError())

        assert theirs.recv(100).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert [ZeroDivisionError] == [type(one) for one in worker.errors]


def test_a_connection_by_tls_is_left_to_gunicorn() -> None:
    """Nginx speaks TLS for us. If gunicorn was given a certificate all the same, it serves."""
    met: list[Any] = []
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with (
        theirs,
        context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as client,
    ):
        worker = Worker(10, lambda worker, client: met.append(client))
        worker.answer = lambda: met.append("answered")
        worker.handle(None, client, "")
        worker.handle_request(None, Read(), client, "")

    assert [client, "answered"] == met


def test_gunicorn_s_request_has_what_is_used_of_it() -> None:
    """Whether it would ask for the body, and what it has read beyond the request."""
    with pair() as (ours, theirs):
        theirs.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\nGET /")
        read = next(get_parser(Config(), ours, ("127.0.0.1", 1)))

        assert read._expected_100_continue
        assert b"GET /" == read.unreader.buf.getvalue()
        ours.begin(read)
        ours.close_after_answer()
        assert read.should_close()


def test_a_body_that_was_not_read_leaves_nothing_to_the_garbage_collector() -> None:
    """Of one in chunks gunicorn's reader holds itself, and what was read with it."""

    def serve(worker: Any, client: Connection) -> None:
        def answer() -> None:
            assert b"a" == read.body.reader.read(1)
            raise StopIteration

        read = next(get_parser(Config(), client, ("127.0.0.1", 1)))
        worker.answer = answer
        with suppress(StopIteration):
            worker.handle_request(None, read, client, "")

    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    def ask() -> None:
        served(serve, head + b"1\r\na\r\n1\r\nb\r\n")

    ask()  # what is made once, at first, may know itself

    assert set() == left_behind(ask, "poe_proxy", "gunicorn.http")
