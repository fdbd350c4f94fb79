"""What a client meets before any bot is asked: paths, keys, CORS, broken requests."""

from __future__ import annotations

import gzip
import json
import re
import socket
from typing import Any

import pytest
import requests

from .servers import KEY, Proxy, Sim, ask


def raw(proxy: Proxy, request: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    "path", ["/models", "/v1/models", "/v1/models/", "//v1/models", "/v1//models", "/models/"]
)
def test_slashes_do_not_matter(proxy: Proxy, path: str) -> None:
    """Clients join their base URL in many ways, and all of them lead there."""
    answer = requests.get(proxy.url + path, headers=proxy.headers, timeout=10)

    assert 200 == answer.status_code
    assert "list" == answer.json()["object"]


def test_the_seventeen_names_are_listed(proxy: Proxy) -> None:
    """The names of the Go program are all there when nothing else is known."""
    names = {model.id for model in proxy.openai().models.list()}

    assert {"assistant", "gpt-4", "gpt-3.5-turbo-16k-0613", "llama_2_70b_chat"} <= names
    assert 17 == len(names)


def test_one_model_is_shown_or_named_as_missing(proxy: Proxy) -> None:
    """GET /v1/models/{id} is the entry, or a 404 with model_not_found."""
    assert "gpt-4" == proxy.openai().models.retrieve("gpt-4").id
    missing = requests.get(f"{proxy.url}/v1/models/no/such", headers=proxy.headers, timeout=10)

    assert (404, "model_not_found") == (missing.status_code, missing.json()["error"]["code"])


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}],
)
def test_a_key_is_taken_from_any_of_three_headers(proxy: Proxy, headers: dict[str, str]) -> None:
    """Bearer, x-api-key and api-key are the same to us."""
    assert 200 == requests.get(f"{proxy.url}/v1/models", headers=headers, timeout=10).status_code


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/models", {}, 401),
        ("GET", "/v1/models", {"Authorization": "Bearer wrong"}, 401),
        ("GET", "/v1/nothing", {"x-api-key": KEY}, 404),
        ("GET", "/v1/chat/completions", {"x-api-key": KEY}, 405),
        ("DELETE", "/", {}, 405),
    ],
)
def test_errors_are_openai_s_and_readable_in_a_browser(
    proxy: Proxy, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Every error is the OpenAI object, with CORS headers and a request id."""
    answer = requests.request(method, proxy.url + path, headers=headers, timeout=10)

    assert status == answer.status_code
    assert {"message", "type", "param", "code"} == answer.json()["error"].keys()
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/nothing"])
def test_a_preflight_needs_no_key(proxy: Proxy, path: str) -> None:
    """OPTIONS is answered on every path, and allows the headers that were asked for."""
    answer = requests.options(
        proxy.url + path,
        headers={"Access-Control-Request-Headers": "authorization, x-stainless-os"},
        timeout=10,
    )

    assert 204 == answer.status_code
    assert "authorization, x-stainless-os" == answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{not json", "body"),
        (b"[]", "body"),
        (b"\xff\xfe", "body"),
        ({"messages": []}, "model"),
        ({"model": "gpt-4"}, "messages"),
        ({"model": "gpt-4", "messages": []}, "messages"),
        ({"model": "gpt-4", "messages": "hello"}, "messages"),
        ({"model": "gpt-4", "messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"model": "gpt-4", "input": "hello"}, "messages"),
        ({**ask("x"), "n": 2}, "n"),
        ({**ask("x"), "stream": "yes"}, "stream"),
    ],
)
def test_bad_input_names_the_field(proxy: Proxy, body: Any, param: str) -> None:
    """A request that makes no sense is a 400 that names the field."""
    answer = proxy.post(body)

    assert (400, param) == (answer.status_code, answer.json()["error"]["param"])


def test_unknown_fields_are_accepted(proxy: Proxy) -> None:
    """What a client sends beyond what we know does no harm."""
    assert 200 == proxy.post({**ask("!echo hi"), "usage": {"include": True}, "x": 1}).status_code


@pytest.mark.parametrize("framed", [True, False], ids=["Content-Length", "chunked"])
def test_a_body_that_is_too_large_is_a_413(sim: Sim, framed: bool) -> None:
    """MAX_BODY_MB counts however the body is framed."""
    with Proxy(sim, MAX_BODY_MB="0.1") as proxy:
        data = json.dumps(ask("x" * 200_000)).encode()
        answer = proxy.post(data) if framed else proxy.post(None, data=iter([data]), json=None)

    assert (413, "body") == (answer.status_code, answer.json()["error"]["param"])


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
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(f"{request_} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 ")
        with pytest.raises(ConnectionError):
            client.sendall((b"10000\r\n" + b"x" * 65536 + b"\r\n") * 1000)


def test_a_short_body_that_nobody_reads_keeps_the_connection(proxy: Proxy) -> None:
    """A client with a wrong key hears of it, and may try another one."""
    with requests.Session() as client:
        answers = [
            client.post(f"{proxy.url}/v1/chat/completions", json=ask("x" * 1000), timeout=10)
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
    """Line breaks in a path or a model name stay within their line."""
    requests.get(f"{proxy.url}/v1/x%0aWARNING%20forged", headers=proxy.headers, timeout=10)
    proxy.post(ask("hi", model="no\nWARNING forged too"))

    assert not [line for line in proxy.output().splitlines() if line.startswith("WARNING")]


def test_the_front_page_says_what_this_is(proxy: Proxy) -> None:
    """Somebody who opens the address in a browser reads what it is, and needs no key."""
    answer = requests.get(proxy.url, timeout=10)

    assert 200 == answer.status_code
    assert "OpenAI-compatible" in answer.text
    assert 200 == requests.head(proxy.url, timeout=10).status_code
