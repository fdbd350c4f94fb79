"""A request's body: its size, its time, and what is left unread."""

from __future__ import annotations

import gzip
import io
import socket
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from poe_proxy.server import bodies

from .site import HELLO, KEY, Site, error


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


def chunked(site: Site, stream: io.IOBase, **environ: Any) -> TestResponse:
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


def test_an_endless_body_is_413(site: Site) -> None:
    """Of a body that does not say its length no more than the limit is read."""
    body = io.BytesIO(b"x" * 50_000)

    answer = chunked(site, body)

    assert 413 == answer.status_code
    assert body.tell() == 10_001


def test_what_is_left_of_a_large_body_is_not_read(site: Site) -> None:
    """The connection is shut once the answer is out, so that nobody has to read the rest."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = chunked(site, io.BytesIO(b"x" * 50_000), **{"gunicorn.socket": ours})
        assert "close" == answer.headers["Connection"]
        theirs.setblocking(False)
        answer.close()
        assert b"" == theirs.recv(1)


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


def test_a_slow_body_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not send its body in time loses its connection."""
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.02)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b'{"model":')
        answer = chunked(site, stream, **{"gunicorn.socket": ours})

    assert answer.status_code in (400, 499)
    assert [] == site.upstream.asked


def test_a_compressed_body_is_not_json(site: Site) -> None:
    """Nothing is unpacked here, so that nothing small becomes large."""
    answer = site.post(
        gzip.compress(orjson.dumps(HELLO)),
        headers={"Authorization": f"Bearer {KEY}", "Content-Encoding": "gzip"},
    )

    assert (400, "body") == (answer.status_code, error(answer)["param"])
