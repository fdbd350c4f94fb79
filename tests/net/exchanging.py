"""What tests of exchanges share: hosts on loopback, and all that comes of a transfer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from poe_proxy.net.hosts import Host
from poe_proxy.net.transfer import End, Received, Transfer, Trouble

from .raw import CERTIFICATE, Server, Visitor

#: Seconds after which what never comes has failed.
LONG = 60.0
PATH = "/v1/chat"


@contextmanager
def to(server: Server, **options: Any) -> Iterator[Host]:
    """The way to *server*, whose certificate is trusted."""
    host = Host(server.url, **{"authorities": str(CERTIFICATE), **options})
    try:
        yield host
    finally:
        host.close()


def post(host: Host, body: bytes = b"{}") -> Transfer:
    return host.send("POST", PATH, {"Authorization": "Bearer secret"}, body)


def received(transfer: Transfer) -> list[Received]:
    """All that comes, up to the last of it; the transfer is closed then."""
    found: list[Received] = []
    end = time.monotonic() + LONG
    while not (found and isinstance(found[-1], End | Trouble)):
        assert time.monotonic() < end, found
        found += transfer.wait(LONG)
    transfer.close()
    return found


def body(found: list[Received]) -> bytes:
    return b"".join(one for one in found if isinstance(one, bytes))


def trouble(found: list[Received]) -> Trouble:
    """The failure that was received at last."""
    last = found[-1]
    assert isinstance(last, Trouble)
    return last


def echo(visitor: Visitor) -> None:
    """Answers each request with itself, as long as the client stays."""
    while (request := visitor.request()) is not None:
        visitor.answer(request)
