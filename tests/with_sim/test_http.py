"""What a client meets before any bot is asked: bodies, broken requests, the log of them."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator

import pytest
import requests

from .apis import APIS
from .servers import KEY, Proxy, Sim, ask, until


def raw(proxy: Proxy, request: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def test_names_that_lead_nowhere_are_not_listed(sim: Sim) -> None:
    """Those of the Go program whose bots have left Poe; they are answered if the site has them."""
    with Proxy(sim, CATALOGUE="0") as proxy:
        names = {model.id for model in proxy.openai().models.list()}
        answer = proxy.post(ask("Hello!", model="gpt-4"))

    assert not {"assistant", "gpt-4", "gpt-3.5-turbo-16k-0613", "llama_2_70b_chat"} & names
    assert {"Claude-Sonnet-4.5", "GPT-5.1"} <= names
    assert answer.ok


@pytest.fixture(scope="module")
def small(sim: Sim) -> Iterator[Proxy]:
    """A proxy that takes small bodies."""
    with Proxy(sim, MAX_BODY_MB="0.1") as proxy:
        yield proxy


@pytest.mark.parametrize("framed", [True, False], ids=["Content-Length", "chunked"])
def test_a_body_that_is_too_large_is_a_413(small: Proxy, framed: bool) -> None:
    """MAX_BODY_MB counts however the body is framed, and whatever API it is of."""
    for api in APIS.values():
        data = json.dumps(api.ask("x" * 200_000)).encode()
        answer = api.post(small, data, **({} if framed else {"data": iter([data])}))

        assert 413 == answer.status_code
        assert api.name("request_too_large") == api.failure(answer)


@pytest.mark.parametrize(
    ("request_", "framing"),
    [
        ("POST /v1/chat/completions", "Content-Length: 99999999"),
        ("POST /nowhere", "Transfer-Encoding: chunked"),
        ("GET /health", "Content-Length: 99999999"),
        ("OPTIONS /v1/chat/completions", "Content-Length: 99999999"),
    ],
    ids=["no key", "no such path", "health", "preflight"],
)
def test_a_body_that_nobody_reads_is_not_taken(proxy: Proxy, request_: str, framing: str) -> None:
    """The connection ends. To read all of it would cost everybody else's time."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(f"{request_} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 ")
        with pytest.raises(ConnectionError):
            client.sendall((b"10000\r\n" + b"x" * 65536 + b"\r\n") * 1000)


def test_a_short_body_that_nobody_reads_keeps_the_connection(proxy: Proxy) -> None:
    """A client with a wrong key hears of it, and may try another one."""
    with requests.Session() as client:
        answers = [
            client.post(f"{proxy.url}/v1/chat/completions", json=ask("x" * 1000), timeout=60)
            for _ in range(2)
        ]

    assert [401, 401] == [answer.status_code for answer in answers]
    assert ["keep-alive"] * 2 == [answer.headers["Connection"] for answer in answers]


def test_a_compressed_body_is_refused_as_such(proxy: Proxy) -> None:
    """The client hears of its Content-Encoding, not of JSON that it believes to be right."""
    answer = proxy.post(
        gzip.compress(json.dumps(ask("hi")).encode()),
        headers={**proxy.headers, "Content-Encoding": "gzip"},
    )

    assert (400, "body") == (answer.status_code, answer.json()["error"]["param"])
    assert "Content-Encoding" in answer.json()["error"]["message"]


def test_a_body_of_broken_chunks_is_a_400(proxy: Proxy) -> None:
    """Chunks that are none are the client's fault, and the connection ends there."""
    answer = raw(
        proxy,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-api-key: " + KEY.encode() + b"\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n",
    )

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"error"' in answer


@pytest.mark.parametrize(
    "request_",
    [b"nonsense\r\n\r\n", b"GET /" + b"x" * 4200 + b" HTTP/1.1\r\n\r\n"],
    ids=["nonsense", "too long"],
)
def test_what_is_no_http_has_a_request_id_too(proxy: Proxy, request_: bytes) -> None:
    """Every answer has one, those that never reach the app as well."""
    answer = raw(proxy, request_)

    assert re.match(rb"HTTP/1.1 4\d\d ", answer)
    assert re.search(rb"\r\nx-request-id: req_[0-9a-f]{24}\r\n", answer)


def test_nothing_of_a_client_breaks_a_line_of_the_log(proxy: Proxy) -> None:
    """Nor commands a terminal: in a path, a model name, a header, or what is no HTTP at all."""
    requests.get(f"{proxy.url}/v1/x%0aWARNING%20forged%1b%5b2J", headers=proxy.headers, timeout=60)
    proxy.post(ask("hi", model="no\nWARNING forged too\x1b[2J"))
    raw(proxy, b"GET /\rWARNING\x1b[2J\xc2\x9b2J HTTP/1.1\r\n\r\n")
    raw(proxy, b"GET /one HTTP/1.1\r\nHost: x\r\nbad\x1b[2J\x0bWARNING: forged\r\n\r\n")
    raw(proxy, b"GET /two HTTP/1.1\r\nHost: x\r\nx: a\x1b[2J\xc2\x85WARNING\r\n\r\n")
    raw(proxy, b"G\x1b[2JT\xe2\x80\xa8WARNING /three HTTP/1.1\r\n\r\n")
    until(lambda: proxy.output().count("Invalid") >= 3)
    lines = proxy.log_lines()

    assert [] == [line for line in lines if line.startswith("WARNING")]
    assert [] == [line for line in lines if not line.isprintable()]
