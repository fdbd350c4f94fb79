"""The official API's face: chat completions, whole and streamed, out of bytes made beforehand."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from bench.mock.connection import GATE, Connection, Play, Request, reply
from bench.texts import GATED, SILENT, TOGETHER, Wanted, piece, wanted

_STAMP: Final = b"[T%019d]"
_STAMP_SIZE: Final = 22
#: Pieces of one write behind the first, where they come without a pause. With one in each, mock and
#: load together do 130,000 a second on their core; with four, three times as many: more than the
#: bare app, so that what is measured is never waiting for them.
_AT_ONCE: Final = 4

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_IDS: Final = b'"id":"chatcmpl-bench","created":1700000000,"model":"mock"'
_USAGE: Final = b'"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}'
_EVENT: Final = b'data: {"object":"chat.completion.chunk",' + _IDS
_DELTA: Final = _EVENT + b',"choices":[{"index":0,"delta":'
_OPENING: Final = _DELTA + b'{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
_CLOSING: Final = (
    _DELTA
    + b'{},"finish_reason":"stop"}]}\n\n'
    + _EVENT
    + b',"choices":[],'
    + _USAGE
    + b"}\n\ndata: [DONE]\n\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_FIRST: Final = _HEAD + _chunk(_OPENING)
_LAST: Final = _chunk(_CLOSING) + b"0\r\n\r\n"
_MODELS: Final = reply(
    b"application/json",
    b'{"object":"list","data":[{"id":"mock","object":"model","created":1,"owned_by":"mock"}]}',
)


def answer(connection: Connection, request: Request) -> Play | None:
    """Answer a request."""
    if request.method == b"GET":
        connection.send(_MODELS)
        return None
    asked = wanted(request.body)
    if b'"stream":true' in request.body or b'"stream": true' in request.body:
        return _stream(connection, asked)
    if asked.gap:
        return _later(connection, asked)
    connection.send((_STAMP % time.time_ns()).join(_whole(asked)))
    return None


@lru_cache(512)
def _whole(asked: Wanted) -> list[bytes]:
    """Return what stands between the stamps of a whole answer."""
    opening = (
        b'{"object":"chat.completion",'
        + _IDS
        + b',"choices":[{"index":0,"message":{"role":"assistant","content":"'
    )
    closing = b'"},"finish_reason":"stop"}],' + _USAGE + b"}"
    texts = [piece(asked, number) for number in range(asked.pieces)]
    blank = b"0" * _STAMP_SIZE
    body = opening + b"".join(blank + text for text in texts) + closing
    head = reply(b"application/json", body).removesuffix(body)
    return [head + opening, *texts[:-1], texts[-1] + closing]


def _later(connection: Connection, asked: Wanted) -> Play:
    yield time.monotonic() + asked.gap / 1000
    connection.send((_STAMP % time.time_ns()).join(_whole(asked)))


@lru_cache(512)
def _pieces(asked: Wanted) -> list[tuple[bytes, bytes]]:
    """Return what stands before and behind the time in each piece's chunk."""
    pieces = []
    for number in range(asked.pieces):
        before = _DELTA + b'{"content":"[T'
        behind = b"]" + piece(asked, number) + b'"},"finish_reason":null}]}\n\n'
        size = len(before) + 19 + len(behind)
        pieces.append((b"%x\r\n" % size + before, behind + b"\r\n"))
    return pieces


def _stream(connection: Connection, asked: Wanted) -> Play:
    pieces = _pieces(asked)
    if asked.form == TOGETHER:
        now = b"%019d" % time.time_ns()
        connection.send(_FIRST + b"".join(now.join(one) for one in pieces) + _LAST)
        return
    connection.send(_FIRST)
    if asked.gap:
        due = time.monotonic()
        for number, one in enumerate(pieces[:1] if asked.form == SILENT else pieces):
            connection.send((b"%019d" % time.time_ns()).join(one))
            if number == 0 and asked.form == GATED:
                yield GATE
                due = time.monotonic()
            due += asked.gap / 1000
            yield due
    else:
        at, until = 0, 1
        while at < len(pieces) and connection.is_open:
            yield connection if connection.is_full else 0
            now = b"%019d" % time.time_ns()
            connection.send(b"".join([now.join(one) for one in pieces[at:until]]))
            at, until = until, until + _AT_ONCE
    connection.send(_LAST)
