"""The metrics on a port of their own, at which several workers answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from poe_proxy.metrics import Listener

from ..fakes import until


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """What gunicorn's process has made before there was a worker."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


class Worker:
    """One that answers there."""

    def __init__(self, listening: socket.socket) -> None:
        self.asked = 0
        port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.listener = Listener(port, self._text, inherited=listening.fileno())
        self.listener.start()

    def _text(self, accept: str) -> tuple[bytes, str]:
        self.asked += 1
        return b"up 1\n", "text/plain"


def test_whichever_worker_comes_first_answers(listening: socket.socket) -> None:
    """The others wait for the next who asks; and one that ends leaves the port to them."""
    first, second = Worker(listening), Worker(listening)
    assert listening.getsockname()[1] == first.listener.port

    def both_have_answered() -> bool:
        assert b"up 1\n" == urlopen(first.url, timeout=60).read()
        return first.asked > 0 and second.asked > 0

    until(both_have_answered)
    first.listener.close()
    before = first.asked
    for _ in range(20):
        assert b"up 1\n" == urlopen(first.url, timeout=60).read()
    assert before == first.asked
    second.listener.close()
    assert listening.fileno() > 0
    socket.create_connection(listening.getsockname(), timeout=60).close()
