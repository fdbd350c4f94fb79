"""The floor: what the same stack can do at all. gunicorn with gevent, Flask, a socket, orjson.

It has no accounts, no checks and no second API: every event of the upstream is parsed, gets another
id and model, and is printed; the events of one read leave in one write. `python -m bench` serves it
as `gunicorn -k gevent bench.bare:app`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from typing import Final

import orjson
from flask import Flask, Response, request

_UPSTREAM: Final = ("127.0.0.1", int(os.environ.get("BENCH_UPSTREAM", "0")))
_HEAD: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
_LENGTH: Final = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_AT_ONCE: Final = 65536
_free: Final[list[socket.socket]] = []

app = Flask(__name__)


@app.post("/v1/chat/completions")
def chat() -> Response:
    """Ask the upstream, and pass its answer on."""
    body = request.get_data()
    streams = orjson.loads(body).get("stream")
    upstream = _free.pop() if _free else socket.create_connection(_UPSTREAM)
    upstream.sendall(_HEAD % len(body) + body)
    data = upstream.recv(_AT_ONCE)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += upstream.recv(_AT_ONCE)
    head, data = data[:end], data[end + 4 :]
    if streams:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return Response(
            _events(_chunks(upstream, data)), content_type="text/event-stream", headers=headers
        )
    length = _LENGTH.search(head)
    while len(data) < int(length[1] if length else 0):
        data += upstream.recv(_AT_ONCE)
    _free.append(upstream)
    answer = orjson.loads(data)
    answer["model"] = "bare"
    return Response(orjson.dumps(answer), content_type="application/json")


def _chunks(upstream: socket.socket, data: bytes) -> Iterator[bytes]:
    """Yield what the whole chunks of each read hold."""
    is_over = False
    try:
        while True:
            held = []
            at = 0
            while (end := data.find(b"\r\n", at)) >= 0:
                size = int(data[at:end], 16)
                if len(data) < end + 4 + size:
                    break
                is_over = size == 0
                held.append(data[end + 2 : end + 2 + size])
                at = end + 4 + size
            data = data[at:]
            if any(held):
                yield b"".join(held)
            if is_over or not (more := upstream.recv(_AT_ONCE)):
                return
            data += more
    finally:
        if is_over:
            _free.append(upstream)
        else:
            upstream.close()


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        *events, left = (left + chunk).split(b"\n\n")
        if events:
            yield b"".join([_event(event) for event in events])


def _event(event: bytes) -> bytes:
    if not event.startswith(b"data: {"):
        return event + b"\n\n"
    said = orjson.loads(event[6:])
    said["id"], said["model"] = "chatcmpl-bare", "bare"
    return b"data: " + orjson.dumps(said) + b"\n\n"


if "BENCH_SAMPLES" in os.environ:
    from bench import sampler

    sampler.install()
