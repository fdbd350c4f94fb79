"""gunicorn's response, which writes what is at hand at once; gunicorn's own is beneath it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi

from poe_proxy.server.response import JOINED, Joined


class Response(Joined, wsgi.Response):
    """As `gunicorn.conf.py` puts it together."""


class Sock:
    """A socket that keeps what is sent, each send by itself."""

    def __init__(self) -> None:
        self.sends: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sends.append(data)


def begun(
    *headers: tuple[str, str], status: str = "200 OK", method: str = "POST"
) -> tuple[Any, list[bytes]]:
    """A response that has begun, and what it sends."""
    sock = Sock()
    request = SimpleNamespace(version=(1, 1), method=method, should_close=lambda: False)
    response = Response(request, sock, Config())
    response.start_response(status, [("X-One", "1"), *headers])
    return response, sock.sends


def test_the_head_leaves_with_the_first_part() -> None:
    """A whole answer is one send."""
    response, sends = begun(("Content-Length", "5"))
    response.write(b"Hello")
    response.close()

    (sent,) = sends
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nX-One: 1\r\nContent-Length: 5" in head
    assert b"Hello" == body


def test_each_part_of_a_stream_is_one_send() -> None:
    """With its framing, and the first one with the head."""
    response, sends = begun()
    for part in (b"Hello", b"", b" there"):
        response.write(part)
    response.close()

    first, *rest = sends
    assert first.endswith(b"\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n5\r\nHello\r\n")
    assert [b"6\r\n there\r\n", b"0\r\n\r\n"] == rest
    assert 11 == response.sent


def test_an_empty_part_lets_the_head_leave_alone() -> None:
    """So a stream is opened for which there is nothing yet."""
    response, sends = begun()
    response.write(b"")

    assert 1 == len(sends)
    assert sends[0].endswith(b"\r\n\r\n")
    response.write(b"Hello")
    assert b"5\r\nHello\r\n" == sends[1]


def test_a_large_part_is_not_copied_to_the_head() -> None:
    """They are two sends."""
    response, sends = begun(("Content-Length", str(JOINED + 1)))
    body = b"x" * (JOINED + 1)
    response.write(body)

    assert sends[1] is body
    assert sends[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"method": "HEAD"}, b"Hello"),
        ({"status": "204 No Content"}, b""),
        ({"status": "304 Not Modified"}, b"Hello"),
    ],
    ids=["HEAD", "204", "304"],
)
def test_an_answer_without_a_body_is_its_head(options: dict[str, str], part: bytes) -> None:
    """Whatever the app says."""
    response, sends = begun(**options)
    response.write(part)
    response.close()

    (sent,) = sends
    assert sent.endswith(b"\r\n\r\n")
    assert b"Hello" not in sent


def test_what_goes_beyond_the_length_is_left_out() -> None:
    """As gunicorn does it; the head leaves all the same."""
    response, sends = begun(("Content-Length", "0"))
    response.write(b"Hello")
    (sent,) = sends
    assert sent.endswith(b"\r\n\r\n")

    response, sends = begun(("Content-Length", "2"))
    response.write(b"Hello")
    assert sends[0].endswith(b"\r\n\r\nHe")
