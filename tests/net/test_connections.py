"""Connections of urllib3 that can be cut, against a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from poe_proxy.net.background import Background
from poe_proxy.net.connections import Connection, adapted, used_by
from poe_proxy.net.http1 import MAX_HEAD
from tests.fakes import until

from .raw import Server, Visitor


class NotWanted(Exception):
    """What a user raises that wants no answer any more."""


@dataclass(eq=False)
class Request:
    """A user of connections that keeps what it hears."""

    heard: list[str] = field(default_factory=list)
    connection: Connection | None = None
    #: At which of its calls it objects.
    objects_at: str | None = None

    def uses(self, connection: Connection) -> None:
        self.connection = connection
        self._hear("uses")

    def goes_out(self) -> None:
        self._hear("goes out")

    def _hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self.objects_at:
            raise NotWanted


@pytest.fixture
def manager() -> Iterator[urllib3.PoolManager]:
    manager = urllib3.PoolManager()
    yield manager
    manager.clear()


def get(
    manager: urllib3.PoolManager, server: Server, user: Request, *, scheme: str = "http"
) -> bytes:
    """The body of an answer, with *user* as the one for whom it is."""
    pool: Any = manager.connection_from_host("127.0.0.1", server.port, scheme)
    pool.ConnectionCls = adapted(type(pool).ConnectionCls)
    with (
        used_by(user),
        pool.urlopen("GET", "/", retries=False, preload_content=False, timeout=60) as answer,
    ):
        body: bytes = answer.read()
        return body


def echo(visitor: Visitor) -> None:
    while (request := visitor.request()) is not None:
        visitor.answer(request)


def test_a_user_knows_its_connection_before_anything_goes_out(
    manager: urllib3.PoolManager,
) -> None:
    """A new one as well as one from the pool."""
    first, second = Request(), Request()
    with Server(echo) as server:
        assert get(manager, server, first).startswith(b"GET / HTTP/1.1")
        assert get(manager, server, second).startswith(b"GET / HTTP/1.1")

    assert "goes out" == first.heard[-1] == second.heard[-1]
    assert {"uses"} == set(first.heard[:-1]) == set(second.heard[:-1])
    assert first.connection is second.connection
    assert 1 == server.visits


@pytest.mark.parametrize("when", ["uses", "goes out"])
def test_a_user_that_objects(manager: urllib3.PoolManager, when: str) -> None:
    """Nothing is sent for it, and what it raises comes through."""
    arrived: list[Any] = []
    with Server(lambda visitor: arrived.append(visitor.request())) as server:
        with pytest.raises(NotWanted):
            get(manager, server, Request(objects_at=when))
        manager.clear()
        # A user that objects to "uses" has no connection yet.
        until(lambda: arrived or when == "uses")

    assert not any(arrived)


def test_only_its_user_cuts_a_connection(manager: urllib3.PoolManager) -> None:
    """Another one, that used it before, does it no harm."""
    first, second, third = Request(), Request(), Request()
    left: list[bool] = []

    def serve(visitor: Visitor) -> None:
        visitor.answer(visitor.request() or b"")
        asked = visitor.request() or b""
        assert first.connection is not None
        first.connection.cut(first)
        visitor.answer(asked)
        visitor.request()
        first.connection.cut(third)
        left.append(visitor.is_left())

    with Server(serve) as server:
        get(manager, server, first)
        assert get(manager, server, second).startswith(b"GET / HTTP/1.1")
        answer = Background(lambda: get(manager, server, third))
        with pytest.raises(HTTPError):
            answer.result()
        assert first.connection is second.connection is third.connection
        until(lambda: left or server.failures)

    assert [True] == left
    assert [] == server.failures


def test_what_is_cut_in_the_pool_is_not_used_again(manager: urllib3.PoolManager) -> None:
    """The next request gets its answer on a new connection."""
    first = Request()
    with Server(echo) as server:
        get(manager, server, first)
        assert first.connection is not None
        first.connection.cut(first)
        assert get(manager, server, Request()).startswith(b"GET / HTTP/1.1")

    assert 2 == server.visits


def test_a_connection_that_is_cut_as_it_is_taken_is_made_anew(
    manager: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last user comes too late to do harm, even if the pool found it open."""
    first = Request()
    with Server(echo) as server:
        get(manager, server, first)
        assert first.connection is not None
        first.connection.cut(first)
        monkeypatch.setattr(Connection, "is_connected", True, raising=False)
        assert get(manager, server, Request()).startswith(b"GET / HTTP/1.1")

    assert 2 == server.visits


def test_threads_know_only_their_own_user(manager: urllib3.PoolManager) -> None:
    """Requests of another thread, and later ones, are not reported to the user."""
    user = Request()
    with Server(echo) as server:
        with used_by(user):
            Background(lambda: get(manager, server, Request())).result()
        get(manager, server, Request())

    assert [] == user.heard


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"x" * 1000) * 70, id="head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 3000, id="heads"),
    ],
)
def test_a_head_without_an_end_is_given_up(manager: urllib3.PoolManager, lines: bytes) -> None:
    """However many headers it has, and however many heads come."""
    assert len(lines) > MAX_HEAD

    def serve(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(lines)

    with Server(serve) as server, pytest.raises(HTTPError, match="a head without an end"):
        get(manager, server, Request())


def test_a_greeting_is_cut(manager: urllib3.PoolManager) -> None:
    """TLS has not begun, and the connection is not known to anybody else."""
    user = Request()
    left: list[bool] = []

    def drip(visitor: Visitor) -> None:
        visitor.send(b"\x16\x03\x03\x40\x00")
        left.append(visitor.is_left())

    with Server(drip) as server:
        sending = Background(lambda: get(manager, server, user, scheme="https"))
        until(lambda: server.visits)
        while not sending.wait(0.01):
            assert user.connection is not None
            user.connection.cut(user)
        with pytest.raises(HTTPError):
            sending.result()
        until(lambda: left)

    assert [True] == left
    assert "goes out" not in user.heard


def test_who_gives_up_while_it_connects_is_not_greeted(manager: urllib3.PoolManager) -> None:
    """It is asked once more as soon as the connection is there."""
    greeted: list[bool] = []

    class Late(Request):
        def uses(self, connection: Connection) -> None:
            super().uses(connection)
            if connection._handle is not None:
                raise NotWanted

    with Server(lambda visitor: greeted.append(visitor.request() is not None)) as server:
        with pytest.raises(NotWanted):
            get(manager, server, Late())
        until(lambda: greeted)

    assert [False] == greeted
