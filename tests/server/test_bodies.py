"""A request's body: its size, its time, and what is left unread."""

from __future__ import annotations

import gzip
import io
import socket
import time
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from poe_proxy.budget import TooBusy
from poe_proxy.server import bodies
from poe_proxy.server.bodies import BODY_TIMEOUT, PACE, PACE_TIME, Patience
from poe_proxy.server.connection import CHUNKS, MAX_HEAD

from ..fakes import Clock
from .connections import Body, Request, pair, read_until_refused
from .site import COMPLETIONS, HELLO, KEY, Site, error


def test_a_body_needs_no_content_type(site: Site) -> None:
    """JSON is read as JSON, whatever the client calls it."""
    for kind in (None, "text/plain", "application/x-www-form-urlencoded"):
        assert 200 == site.post(orjson.dumps(HELLO), content_type=kind).status_code


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b'{"model":"gpt-4","messages":[{"role":"robot"}]}', "messages[0].role"),
    ],
    ids=["body", "field"],
)
def test_a_bad_body_is_400_with_its_field(site: Site, body: bytes, param: str) -> None:
    """What is wrong with a body is named by `param`, and no token is used."""
    answer = site.post(body)

    assert (400, "invalid_request_error", param) == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["param"],
    )
    assert [] == site.upstream.asked


def test_a_body_up_to_the_limit_is_read() -> None:
    """MAX_BODY_MB is the largest body, not the smallest that is refused."""
    body = orjson.dumps(HELLO)

    assert 200 == Site(max_body=len(body)).post(body).status_code
    assert 413 == Site(max_body=len(body) - 1).post(body).status_code


def test_a_body_over_the_limit_is_413(site: Site) -> None:
    """A large body is refused by its length, before any of it is read."""

    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("read from it")

    answer = site.post(b"", environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "10001"})

    assert (413, "request_too_large", "body") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )
    assert "0.01 MB" in error(answer)["message"]


def chunked(site: Site, stream: io.IOBase | Body, **environ: Any) -> TestResponse:
    """Send a body without a length, as gunicorn hands it over."""
    as_gunicorn_does = {"wsgi.input": stream, "wsgi.input_terminated": True}
    return site.post(
        b"",
        headers={"Authorization": f"Bearer {KEY}", "Transfer-Encoding": "chunked"},
        environ_overrides={**as_gunicorn_does, **environ},
    )


def test_a_body_in_chunks_is_read(site: Site) -> None:
    """A body that does not say its length is read to its end."""
    assert 200 == chunked(site, io.BytesIO(orjson.dumps(HELLO))).status_code


def test_a_body_in_chunks_is_read_by_little_and_little(site: Site) -> None:
    """What comes at a time may be of one-byte chunks, all of which are taken apart at once."""
    sizes: list[int] = []

    class Chunks(Body):
        def read(self, size: int) -> bytes:
            piece = super().read(8192)  # what gunicorn asks for before it knows a chunk's size
            sizes.append(len(piece))
            return piece

    with pair() as (ours, theirs):
        ours.begin(Request())
        theirs.sendall(orjson.dumps(HELLO).ljust(2 * CHUNKS))
        theirs.shutdown(socket.SHUT_WR)
        answer = chunked(site, Chunks(ours), **{"gunicorn.socket": ours})

    assert 200 == answer.status_code
    assert [CHUNKS, CHUNKS, 0] == sizes


def test_an_endless_body_is_413(site: Site) -> None:
    """Of a body that does not say its length no more than the limit is read."""
    body = io.BytesIO(b"x" * 50_000)

    answer = chunked(site, body)

    assert 413 == answer.status_code
    assert body.tell() == 10_001


@pytest.mark.parametrize(
    ("options", "is_last", "allowed"),
    [
        ({"method": "POST", "headers": {}, "data": b"x" * 70_000}, True, 0),
        ({"method": "POST", "headers": {}, "data": b"x" * 60_000}, False, 60_000),
        ({"method": "POST", "headers": {"Transfer-Encoding": "chunked"}}, True, 0),
        ({"method": "OPTIONS", "headers": {"Transfer-Encoding": "chunked"}}, True, 0),
        ({"method": "GET", "headers": {}}, False, 0),
    ],
    ids=["long", "short", "no length", "preflight", "none"],
)
def test_what_becomes_of_a_body_that_nobody_reads(
    site: Site, options: dict[str, Any], is_last: bool, allowed: int
) -> None:
    """A short one is left for the server to drain; of any other nothing is read, and no request
    behind it either. The client hears of that in the head of the answer."""
    request = Request()
    with pair() as (ours, theirs):
        ours.begin(request)
        answer = site.open(COMPLETIONS, environ_overrides={"gunicorn.socket": ours}, **options)
        ours.end()
        theirs.sendall(b"x" * 120_000)

        assert MAX_HEAD + allowed <= read_until_refused(ours) < MAX_HEAD + allowed + 8192
    assert is_last == request.is_last
    assert is_last == (answer.headers.get("Connection") == "close")


def test_a_body_that_was_not_asked_for_may_come_or_not(site: Site) -> None:
    """After `Expect: 100-continue` nobody knows, so the connection ends."""
    request = Request(awaits_go_on=True)
    with pair() as (ours, _):
        ours.begin(request)
        site.post(b"x" * 10, headers={}, environ_overrides={"gunicorn.socket": ours})

    assert request.is_last


@pytest.mark.parametrize("is_told", [False, True], ids=["werkzeug", "gunicorn"])
def test_a_body_that_is_shorter_than_it_says_is_400(site: Site, is_told: bool) -> None:
    """A body that ends too early is not taken for a whole one."""
    body = orjson.dumps(HELLO)
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body) + 1)}

    answer = site.post(
        b"", environ_overrides={**environ, **({"wsgi.input_terminated": True} if is_told else {})}
    )

    assert 400 == answer.status_code
    assert "invalid_request_error" == error(answer)["type"]
    assert [] == site.upstream.asked


def test_a_body_that_breaks_off_is_a_hang_up(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that breaks, or is cut for being slow, is no fault of ours."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    assert 499 == chunked(site, Broken()).status_code
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("limit", ["BODY_TIMEOUT", "PACE_TIME"])
def test_a_slow_body_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """A client that does not send its body in time, or not at the least pace, loses its
    connection."""
    monkeypatch.setattr(bodies, limit, 0.02)
    with pair() as (ours, theirs):
        ours.begin(Request())
        theirs.sendall(b'{"model":')
        answer = chunked(site, Body(ours), **{"gunicorn.socket": ours})
        assert b"" == theirs.recv(1)

    assert 499 == answer.status_code
    assert [] == site.upstream.asked


def test_patience_with_a_body_is_renewed_by_its_pace() -> None:
    """Ten kilobytes within ten seconds, and a minute for all of it."""
    clock = Clock()
    patience = Patience(clock)
    assert PACE_TIME == patience.left()

    clock.go(9)
    patience.came(PACE - 1)
    assert 1 == patience.left()
    patience.came(1)
    assert PACE_TIME == patience.left()
    clock.go(PACE_TIME)
    assert 0 == patience.left()

    patience = Patience(clock)
    for _ in range(11):
        clock.go(5)
        patience.came(PACE)
    assert 5 == patience.left()
    clock.go(BODY_TIMEOUT)
    assert patience.left() < 0


def test_a_body_of_too_many_chunks_is_refused() -> None:
    """What it costs to put it together counts as work on the request."""
    site = Site(max_work=0.05)

    class Costly(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            until = time.thread_time() + 0.01
            while time.thread_time() < until:
                pass
            return b" "

    answer = chunked(site, Costly())

    assert (400, "request_too_costly", "body") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )


def test_a_body_that_is_costly_while_many_are_is_a_503(site: Site) -> None:
    """It is not to blame for the others: the client may come back."""

    class Busy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TooBusy

    answer = chunked(site, Busy())

    assert (503, "server_busy") == (answer.status_code, error(answer)["code"])
    assert int(answer.headers["Retry-After"]) > 0


def test_a_compressed_body_is_not_json(site: Site) -> None:
    """Nothing is unpacked here, so that nothing small becomes large."""
    answer = site.post(
        gzip.compress(orjson.dumps(HELLO)),
        headers={"Authorization": f"Bearer {KEY}", "Content-Encoding": "gzip"},
    )

    assert (400, "body") == (answer.status_code, error(answer)["param"])
