"""Pooled connections that can be cut, against a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from poe_proxy.net import connections
from poe_proxy.net.background import Background
from poe_proxy.net.connections import Adapter, Connection, used_by
from tests.fakes import Clock, until

from ..upstreams.poe_api.raw import Server, Visitor


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
def adapter() -> Iterator[Adapter]:
    adapter = Adapter(keep_idle=20.0, connections=5)
    yield adapter
    adapter.close()


def get(adapter: Adapter, server: Server, user: Request) -> bytes:
    """The body of an answer, with *user* as the one for whom it is."""
    request = requests.Request("GET", server.url).prepare()
    with used_by(user), adapter.send(request, timeout=10) as answer:
        if user.connection is not None:
            user.connection.is_idle()
        return answer.content


def echo(visitor: Visitor) -> None:
    while (request := visitor.request()) is not None:
        visitor.answer(request)


def test_a_user_knows_its_connection_before_anything_goes_out(adapter: Adapter) -> None:
    """A new one as well as one from the pool."""
    first, second = Request(), Request()
    with Server(echo) as server:
        assert get(adapter, server, first).startswith(b"GET / HTTP/1.1")
        assert get(adapter, server, second).startswith(b"GET / HTTP/1.1")

    assert "goes out" == first.heard[-1] == second.heard[-1]
    assert {"uses"} == set(first.heard[:-1]) == set(second.heard[:-1])
    assert first.connection is second.connection
    assert 1 == server.visits


@pytest.mark.parametrize("when", ["uses", "goes out"])
def test_a_user_that_objects(adapter: Adapter, when: str) -> None:
    """Nothing is sent for it, and what it raises comes through."""
    arrived: list[Any] = []
    with Server(lambda visitor: arrived.append(visitor.request())) as server:
        with pytest.raises(NotWanted):
            get(adapter, server, Request(objects_at=when))
        adapter.close()
        # A user that objects to "uses" has no connection yet.
        until(lambda: arrived or when == "uses")

    assert not any(arrived)


def test_only_its_user_cuts_a_connection(adapter: Adapter) -> None:
    """Another one, that used it before, does it no harm."""
    first, second = Request(), Request()
    left: list[bool] = []

    def serve(visitor: Visitor) -> None:
        visitor.answer(visitor.request() or b"")
        visitor.request()
        assert first.connection is not None
        first.connection.cut(first)
        first.connection.cut(second)
        left.append(visitor.is_left())

    with Server(serve) as server:
        get(adapter, server, first)
        answer = Background(lambda: get(adapter, server, second))
        with pytest.raises(requests.ConnectionError):
            answer.result()
        assert first.connection is second.connection
        until(lambda: left or server.failures)

    assert [True] == left
    assert [] == server.failures


def test_threads_know_only_their_own_user(adapter: Adapter) -> None:
    """Requests of another thread, and later ones, are not reported to the user."""
    user = Request()
    with Server(echo) as server:
        with used_by(user):
            Background(lambda: get(adapter, server, Request())).result()
        get(adapter, server, Request())

    assert [] == user.heard


def test_a_connection_is_kept_for_some_seconds(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count from the end of its last use."""
    clock = Clock()
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=clock))
    with Server(echo) as server:
        for pause in (0.0, 19.0, 19.0):
            clock.go(pause)
            get(adapter, server, Request())
        assert 1 == server.visits
        clock.go(20.0)
        get(adapter, server, Request())
        assert 2 == server.visits


def test_a_greeting_is_cut(adapter: Adapter) -> None:
    """TLS has not begun, and the connection is not known to anybody else."""
    user = Request()
    left: list[bool] = []

    def drip(visitor: Visitor) -> None:
        visitor.send(b"\x16\x03\x03\x40\x00")
        left.append(visitor.is_left())

    with Server(drip) as server:
        request = requests.Request("GET", server.url.replace("http:", "https:")).prepare()

        def send() -> None:
            with used_by(user):
                adapter.send(request, timeout=60)

        sending = Background(send)
        until(lambda: server.visits)
        while not sending.wait(0.01):
            assert user.connection is not None
            user.connection.cut(user)
        with pytest.raises(requests.ConnectionError):
            sending.result()
        until(lambda: left)

    assert [True] == left
    assert "goes out" not in user.heard


def test_who_gives_up_while_it_connects_is_not_greeted(adapter: Adapter) -> None:
    """It is asked once more as soon as the connection is there."""
    greeted: list[bool] = []

    class Late(Request):
        def uses(self, connection: Connection) -> None:
            super().uses(connection)
            if connection._handle is not None:
                raise NotWanted

    with Server(lambda visitor: greeted.append(visitor.request() is not None)) as server:
        with pytest.raises(NotWanted):
            get(adapter, server, Late())
        until(lambda: greeted)

    assert [False] == greeted
