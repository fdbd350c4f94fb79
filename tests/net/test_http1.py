"""Requests and answers as bytes: each answer whole, and in two pieces cut at each place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from poe_proxy.net.http1 import MAX_HEAD, AnswerReader, Headers, ProtocolError, request_head

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ONE = OK + b"Content-Length: 3\r\n\r\none"


def read(pieces: Iterable[bytes]) -> AnswerReader:
    """The reader of an answer that came in *pieces*."""
    reader = AnswerReader()
    feed(reader, pieces)
    return reader


def feed(reader: AnswerReader, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        reader.feed(piece)


def splits(whole: bytes) -> list[list[bytes]]:
    """*whole* as it is, in two pieces cut at every place of its beginning, and byte by byte."""
    return [
        [whole],
        *([whole[:at], whole[at:]] for at in range(1, min(len(whole), 200))),
        [whole[at : at + 1] for at in range(len(whole))],
    ]


# ---- requests


def test_a_request() -> None:
    """What is always the same, what frames it, and what was given, in this order."""
    head = request_head("POST", "/v1/x?a=b", "Host: x.test\r\n", {"A": "b", "C": ""}, 7)

    assert head == (
        b"POST /v1/x?a=b HTTP/1.1\r\nHost: x.test\r\nContent-Length: 7\r\n"
        b"Accept-Encoding: identity\r\nA: b\r\nC: \r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "length", "framed"),
    [
        ("GET", None, b""),
        ("GET", 0, b"Content-Length: 0\r\n"),
        ("POST", None, b"Content-Length: 0\r\n"),
    ],
)
def test_a_request_without_a_body(method: str, length: int | None, framed: bytes) -> None:
    """It says so where a body is usual."""
    head = request_head(method, "/", "", {"accept-encoding": "gzip"}, length)

    assert method.encode() + b" / HTTP/1.1\r\n" + framed + b"accept-encoding: gzip\r\n\r\n" == head


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/", {"A": "b\r\nC: d"}),
        ("/", {"A": "b\nC: d"}),
        ("/", {"A": "b\rC: d"}),
        ("/", {"A\r\nB": "c"}),
        ("/", {"A": "b\0"}),
        ("/", {"A": "五"}),
        ("/ HTTP/1.1\r\nA: b\r\n\r\n", {}),
        ("/a b", {}),
        ("/\t", {}),
        ("/五", {}),
    ],
)
def test_what_is_no_request(target: str, headers: dict[str, str]) -> None:
    """Nothing that was given becomes a line of its own."""
    with pytest.raises(ValueError, match=r"line|target|encode"):
        request_head("GET", target, "", headers, None)


# ---- answers


@pytest.mark.parametrize(
    ("answer", "body", "keeps_alive"),
    [
        (ONE, b"one", True),
        (OK + b"content-length:0\r\n\r\n", b"", True),
        (OK + b"Content-Length: 3 \t\r\n\r\none", b"one", True),
        (OK + b"Content-Length: 3\r\nConnection: close\r\n\r\none", b"one", False),
        (OK + b"Content-Length: 3\r\nConnection: x, Close\r\n\r\none", b"one", False),
        (ONE.replace(b"1.1", b"1.0"), b"one", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\none", b"one", True),
        (CHUNKED + b"3\r\none\r\n0\r\n\r\n", b"one", True),
        (CHUNKED + b"1\r\no\r\n002;a=b\r\nne\r\n0\r\nA: b\r\n\r\n", b"one", True),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", True),
        (CHUNKED.replace(b"chunked", b"Chunked") + b"0\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ONE, b"one", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + ONE, b"one", True),
        (b"\r\n" + ONE + b"\r\n", b"one", True),
        (ONE + ONE, b"one", False),
        (ONE + b"x", b"one", False),
        (CHUNKED + b"0\r\n\r\n" + b"0\r\n\r\n", b"", False),
    ],
)  # fmt: skip
def test_an_answer_is_read(answer: bytes, body: bytes, keeps_alive: bool) -> None:
    """Whatever frames it, and wherever it is cut; what comes behind it is not taken for a part of
    it, and its connection is used again only where nothing does."""
    for pieces in splits(answer):
        reader = read(pieces)
        assert reader.head is not None
        assert reader.head.status in (200, 204, 304)
        assert "Link" not in reader.head.headers
        assert (body, True, keeps_alive) == (reader.take(), reader.is_complete, reader.keeps_alive)


def test_the_end_of_a_connection_is_that_of_an_answer_without_a_length() -> None:
    """And of no other: where there is a framing, something is missing."""
    for pieces in splits(OK + b"\r\none"):
        reader = read(pieces)
        assert not reader.is_complete
        assert reader.end()
        assert (b"one", True, False) == (reader.take(), reader.is_complete, reader.keeps_alive)
    for broken in (b"", OK, ONE[:-1], CHUNKED + b"3\r\none\r\n", CHUNKED + b"0\r\n"):
        reader = read([broken])
        assert not reader.end()
        assert not reader.is_complete


def test_what_has_come_is_taken_once() -> None:
    """In one piece, however many chunks it came in; the framing is not in it."""
    reader = read([CHUNKED])
    reader.feed(b"3\r\none\r\n3\r\ntwo\r\n2\r\nth")
    assert b"onetwoth" == reader.take()
    assert b"" == reader.take()
    reader.feed(b"\r\n0\r\n")
    assert b"" == reader.take()
    assert not reader.is_complete
    reader.feed(b"\r\n")
    assert reader.is_complete


def test_answers_to_head_are_not_read() -> None:
    """They say a length, and no body comes."""
    with pytest.raises(ValueError, match="HEAD"):
        request_head("HEAD", "/", "", {}, None)


def test_headers() -> None:
    """By their names in any case; what came several times is there as one, and one by one."""
    reader = read([OK + "SET-Cookie: a\r\nX:\r\nset-cookie:  b, é \r\n\r\n".encode("latin-1")])
    assert reader.head is not None
    headers = reader.head.headers

    assert "a, b, é" == headers["Set-Cookie"] == headers.get("set-cookie")
    assert ["a", "b, é"] == headers.all("SET-COOKIE")
    assert ("", None, []) == (headers["x"], headers.get("y"), headers.all("五"))
    assert {"set-cookie": "a, b, é", "x": ""} == dict(headers)
    assert ("X" in headers, "Y" in headers, 2) == (True, False, len(headers))
    assert "Headers(set-cookie, x)" == repr(headers) == repr(Headers({b"set-cookie": [], b"x": []}))


# ---- what is refused


@pytest.mark.parametrize(
    "answer",
    [
        # What is read in one way here, and perhaps in another by a machine on the way.
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\none",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\none",
        OK + b"Content-Length: 3, 3\r\n\r\none",
        OK + b"Content-Length: -3\r\n\r\none",
        OK + b"Content-Length: +3\r\n\r\none",
        OK + b"Content-Length: 0x3\r\n\r\none",
        OK + b"Content-Length: 3_0\r\n\r\none",
        OK + b"Content-Length:\r\n\r\none",
        OK + b"Content-Length: 99999999999999999999\r\n\r\none",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\none",
        OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length : 3\r\n\r\none",
        OK + b" Content-Length: 3\r\n\r\none",
        OK + b"A: b\r\n c: d\r\nContent-Length: 3\r\n\r\none",
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\none",
        OK + b"A: b\nContent-Length: 3\r\n\r\none",
        OK + b"A: b\rContent-Length: 3\r\n\r\none",
        OK + b"A: b\0\r\nContent-Length: 3\r\n\r\none",
        OK + b"A\0: b\r\nContent-Length: 3\r\n\r\none",
        CHUNKED + b"-1\r\n\r\n",
        CHUNKED + b"+1\r\na\r\n",
        CHUNKED + b"0x1\r\na\r\n",
        CHUNKED + b"1 \r\na\r\n",
        CHUNKED + b" 1\r\na\r\n",
        CHUNKED + b"1\na\n0\n\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"1\r\na0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"0\r\nA\r\n\r\n",
        # What is no answer to an ordinary request in HTTP/1.1.
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"<html>",
        b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\none",
        b"HTTP/0.9 200 OK\r\nContent-Length: 3\r\n\r\none",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 1000 OK\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\none" + ONE,
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + ONE,
        # What is too large for a head, or a part of the framing.
        OK + b"A: " + b"b" * MAX_HEAD + b"\r\n\r\n",
        OK + b"A" * MAX_HEAD + b": b\r\n\r\n",
        OK + b"A: b\r\n" * (MAX_HEAD // 6) + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * MAX_HEAD + b"\r\n\r\n",
        OK + b":\r\n" * MAX_HEAD,
    ],
)  # fmt: skip
def test_what_is_refused(answer: bytes) -> None:
    """Wherever it is cut, and nothing of it is a complete answer."""
    for pieces in splits(answer):
        reader = AnswerReader()
        with pytest.raises(ProtocolError):
            feed(reader, pieces)
        assert not reader.is_complete
        assert not reader.keeps_alive
        assert not reader.end()


def test_what_came_before_is_there() -> None:
    """The head and the body up to where it made no sense any more."""
    reader = AnswerReader()
    with pytest.raises(ProtocolError):
        reader.feed(CHUNKED + b"3\r\none\r\n-")

    assert reader.head is not None
    assert b"one" == reader.take()


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"HTTP/1.1 200 ", b"x"),
        (OK + b"A: ", b"b"),
        (OK, b"A: b\r\n"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (CHUNKED + b"1;", b"a"),
        (CHUNKED + b"1\r\na\r\n1;", b"a=b;"),
        (CHUNKED + b"0\r\n", b"A: b\r\n"),
        (CHUNKED + b"0\r\nA: ", b"b"),
        (CHUNKED + b"0\r\nA: ", b"\t"),
        (CHUNKED, b"0"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 1000])
def test_what_has_no_end_is_refused(begin: bytes, again: bytes, at_once: int) -> None:
    """As soon as it is larger than a head may be."""
    reader = read([begin])
    if reader.head is not None:
        reader.take()
    piece = again * at_once
    left = iter(range(MAX_HEAD))
    with pytest.raises(ProtocolError):
        feed(reader, (piece for _ in left))

    assert next(left) <= 2 + MAX_HEAD // len(piece)


def test_a_head_may_be_large() -> None:
    """As large as it may be, it is read."""
    lines = b"A: b\r\n" * ((MAX_HEAD - 1000) // 6)
    reader = read([b"HTTP/1.1 100 Continue\r\n\r\n", OK, lines, b"Content-Length: 3\r\n\r\none"])

    assert b"one" == reader.take()
    assert reader.is_complete


def test_a_long_body_of_small_chunks_is_no_head() -> None:
    """What frames it counts only where nothing else comes."""
    reader = read([CHUNKED])
    for _ in range(MAX_HEAD):
        reader.feed(b"1\r\n")
        reader.feed(b"a\r\n")
    reader.feed(b"0\r\n\r\n")

    assert b"a" * MAX_HEAD == reader.take()
    assert reader.is_complete
