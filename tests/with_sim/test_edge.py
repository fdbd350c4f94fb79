"""The edge of the server: clients that send too much, too slowly, or read nothing."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from .apis import APIS
from .servers import KEY, ROOT, Proxy, Server, Sim, ask, until

#: The configuration, with a limit that tests can wait for.
IMPATIENT = """
from gevent import monkey
monkey.patch_all()
from poe_proxy.server import connection
connection.WRITE_TIMEOUT = 1.0
with open({conf!r}) as real:
    exec(compile(real.read(), {conf!r}, "exec"))
"""
CHAT = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
WITH_KEY = f"{CHAT}x-api-key: {KEY}\r\n"


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=60)


def chat(prompt: str) -> bytes:
    """A chat request as it is sent."""
    body = json.dumps(ask(prompt)).encode()
    return f"{WITH_KEY}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answers(client: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def answer(client: socket.socket, end: bytes = b"}") -> bytes:
    """One answer, which ends with *end*."""
    come = b""
    while not come.endswith(end):
        piece = client.recv(65536)
        assert piece, come
        come += piece
    return come


def is_served(proxy: Proxy) -> bool:
    return requests.get(f"{proxy.url}/health", timeout=60).ok


def connections(port: int) -> int:
    """How many connections the server has."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    of_server = [fields for line in lines if (fields := line.split())[1].endswith(f":{port:04X}")]
    established = "01"
    return sum(fields[3] == established for fields in of_server)


@contextmanager
def crowd(proxy: Proxy, number: int, sends: bytes = b"") -> Iterator[None]:
    """So many clients that are connected, and then do nothing."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy)) for _ in range(number)]
        for client in clients:
            with suppress(ConnectionError):  # it has made room for a later one
                client.sendall(sends)
        yield


# ---- reading nothing


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What makes gunicorn give up in a second a client that takes nothing."""
    conf = tmp_path_factory.mktemp("impatient") / "conf.py"
    conf.write_text(IMPATIENT.format(conf=f"{ROOT}/gunicorn.conf.py"))
    return f"-c {conf}"


@pytest.fixture(scope="module")
def impatient_proxy(sim: Sim, impatient: str) -> Iterator[Proxy]:
    with Proxy(sim, GUNICORN_CMD_ARGS=impatient, LOG_LEVEL="WARNING") as proxy:
        yield proxy


def send_ahead(client: socket.socket, path: str) -> None:
    """Send requests until nothing more goes out, and read no answer."""
    client.settimeout(0.5)
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n\r\n".encode()
    with suppress(TimeoutError, ConnectionError):
        while True:
            client.sendall(request * 1000)


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/models", "/nowhere"])
def test_a_client_that_reads_nothing_is_cut(impatient_proxy: Proxy, path: str) -> None:
    """On every route, with and without a key; and it is no fault of ours."""
    with connect(impatient_proxy) as client:
        send_ahead(client, path)
        until(lambda: not connections(impatient_proxy.port))

    assert is_served(impatient_proxy)
    assert "Traceback" not in impatient_proxy.output()


class OnUnixSocket(Proxy):
    """The proxy behind a Unix socket, as nginx may have it."""

    def __init__(self, sim: Sim, path: Path, arguments: str = "") -> None:
        self.path = path
        super().__init__(sim, GUNICORN_CMD_ARGS=f"--bind unix:{path} {arguments}")

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(self.path))
            yield client

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            with self.connect() as client:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                return answer(client).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


def test_a_client_behind_a_unix_socket_that_reads_nothing_is_cut(
    sim: Sim, tmp_path: Path, impatient: str
) -> None:
    """The kernel has no limit there, and the proxy has one all the same."""
    with OnUnixSocket(sim, tmp_path / "socket", impatient) as proxy, proxy.connect() as client:
        client.sendall(chat("!echo hello"))
        assert b'"hello"' in answer(client)

        send_ahead(client, "/openapi.json")
        client.settimeout(60)
        answers_until_cut = answers(client)

    assert answers_until_cut.count(b"HTTP/1.1 200 OK") > 1
    assert "Traceback" not in proxy.output()


# ---- heads


def test_a_head_has_its_time(sim: Sim) -> None:
    """However little of it comes at a time."""
    with Proxy(sim, GUNICORN_CMD_ARGS="--keep-alive=1") as proxy, connect(proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.settimeout(0.05)

        def has_ended() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        until(has_ended)


def test_a_head_has_its_size(proxy: Proxy) -> None:
    """Too large a one is told so, in the form of all errors, while it is still being sent."""
    with connect(proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + (b"x: " + b"y" * 8000 + b"\r\n") * 90)
        refusal = answers(client)

    assert refusal.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nConnection: close\r\n" in refusal
    assert "invalid_request_error" == json.loads(refusal.partition(b"\r\n\r\n")[2])["error"]["type"]


def test_a_client_that_sends_ahead_is_not_served_alone(sim: Sim) -> None:
    """After each of its requests the others have their turn."""
    with Proxy(sim, LOG_LEVEL="INFO") as proxy, connect(proxy) as client:
        client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        assert client.recv(1)
        assert is_served(proxy)
        until(lambda: proxy.output().count(" GET /nowhere 404 ") == 3000)

    before, _, after = proxy.output().rpartition(" GET /health 200 ")
    assert " GET /nowhere 404 " in before
    assert " GET /nowhere 404 " in after


# ---- crowds

#: Connections are not ended for being idle.
FOR_EVER = "--keep-alive=600"


@pytest.mark.parametrize("sends", [b"", b"GET / HTTP/1.1\r\n", f"{CHAT}".encode()])
def test_a_crowd_does_not_take_all_connections(sim: Sim, sends: bytes) -> None:
    """With twice as many strangers as there are connections, others are served."""
    with (
        Proxy(sim, GUNICORN_CMD_ARGS=f"--worker-connections=20 {FOR_EVER}") as proxy,
        crowd(proxy, 40, sends),
    ):
        assert is_served(proxy)
        assert proxy.post(ask("!echo hello")).ok

    assert "Nearly all of 20 connections are taken" in proxy.output()


def test_who_has_a_key_is_not_cut_for_a_crowd(sim: Sim) -> None:
    """An answer that is under way goes on."""
    slow = ask("!echo !silence=3 one two three", stream=True)
    with (
        Proxy(sim, GUNICORN_CMD_ARGS=f"--worker-connections=20 {FOR_EVER}") as proxy,
        # Otherwise the server would wait for it at its end, and for ever.
        proxy.post(slow, stream=True, headers={**proxy.headers, "Connection": "close"}) as said,
        crowd(proxy, 60),
    ):
        assert is_served(proxy)
        words = said.text

    assert "three" in words
    assert words.rstrip().endswith("[DONE]")


class WithFewDescriptors(Proxy):
    """The proxy, which may not have many descriptors."""

    def _start(self, settings: Mapping[str, str]) -> None:
        limited = f"ulimit -n 128 && exec {sys.executable} -m gunicorn wsgi:app"
        Server.__init__(self, ["sh", "-c", limited], settings)


def test_a_crowd_does_not_take_all_descriptors(sim: Sim) -> None:
    """There are no more connections than descriptors for them, and the log says so."""
    with (
        WithFewDescriptors(sim, GUNICORN_CMD_ARGS=FOR_EVER) as proxy,
        crowd(proxy, 200),
    ):
        assert is_served(proxy)
        assert proxy.post(ask("!echo hello")).ok

    assert "Only 32 connections at a time, not 2500" in proxy.output()
    assert "Too many open files" not in proxy.output()


# ---- what comes behind a refusal


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\n", 204),
        (CHAT, 401),
        (CHAT.replace("/v1/chat/completions", "/nowhere"), 404),
        (WITH_KEY.replace("POST", "PUT"), 405),
        (f"{WITH_KEY}Content-Encoding: gzip\r\n", 400),
    ],
    ids=["preflight", "no key", "no such path", "no such method", "compressed"],
)
@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 100000"])
def test_nothing_behind_a_refusal_is_asked(
    proxy: Proxy, sim: Sim, head: str, status: int, framing: str
) -> None:
    """Its body is not read, so nobody knows where the next request begins. Poe would be paid for
    an answer that nobody gets."""
    asked = len(sim.journal(event="reply-start"))
    body = b"5\r\nhello\r\n0\r\n\r\n" if "chunked" in framing else b"x" * 100_000
    with connect(proxy) as client:
        client.sendall(f"{head}{framing}\r\n\r\n".encode() + body + chat("!echo hello"))
        client.shutdown(socket.SHUT_WR)
        come = answers(client)
    assert proxy.post(ask("!echo the next one")).ok

    assert come.startswith(f"HTTP/1.1 {status} ".encode())
    assert 1 == come.count(b"HTTP/1.1 ")
    assert b"\r\nConnection: close\r\n" in come
    assert asked + 1 == len(sim.journal(event="reply-start"))


def test_a_refused_body_does_not_break_the_next_request(proxy: Proxy) -> None:
    """The client hears that the connection ends, even if it sends all before it reads."""
    with requests.Session() as client:
        refusals = [
            client.post(f"{proxy.url}/v1/chat/completions", json=ask("x" * 200_000), timeout=60)
            for _ in range(3)
        ]

    assert [401] * 3 == [one.status_code for one in refusals]
    assert ["close"] * 3 == [one.headers["Connection"] for one in refusals]


def test_a_body_is_asked_for_when_it_is_wanted(proxy: Proxy) -> None:
    """`Expect: 100-continue`: who is refused need not send it."""
    expects = b"Expect: 100-continue\r\n\r\n"
    request = chat("!echo hello")
    head, _, body = request.partition(b"\r\n\r\n")
    with connect(proxy) as client:
        client.sendall(head.replace(KEY.encode(), b"wrong") + b"\r\n" + expects)
        refusal = answers(client)
    with connect(proxy) as client:
        client.sendall(head + b"\r\n" + expects)
        asked = answer(client, b"\r\n\r\n")
        client.sendall(body)
        answered = answer(client)

    assert refusal.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in refusal
    assert b"HTTP/1.1 100 Continue\r\n\r\n" == asked
    assert b'"hello"' in answered


# ---- sums


def test_bodies_have_a_sum(sim: Sim) -> None:
    """Those that do not end, too. Ordinary chats have room beside them, and what is given up is
    given back."""
    with Proxy(sim, MAX_BODY_MB="3", MAX_BODIES_MB="4") as proxy:
        large = json.dumps(ask("!echo hello")).encode() + b" " * 2_000_000

        def asked_beside() -> tuple[requests.Response, requests.Response] | None:
            """The answers to a large and a small body beside one without an end; None if that was
            refused for the large one's sake, because that was read first."""
            with connect(proxy) as client:
                client.sendall(f"{WITH_KEY}Content-Length: 3000000\r\n\r\n".encode())
                client.sendall(b" " * 2_900_000)
                beside = proxy.post(large), proxy.post(ask("!echo hello"))
                return None if beside[0].ok else beside

        busy, small = until(asked_beside)
        until(lambda: proxy.post(large).ok)

    assert "server_busy" == busy.json()["error"]["code"]
    assert int(busy.headers["Retry-After"]) > 0
    assert "close" == busy.headers["Connection"]
    assert small.ok


def test_answers_have_a_number(sim: Sim) -> None:
    """Those of all APIs count together, and one that is hung up makes room for the next."""
    with Proxy(sim, MAX_STREAMS=str(len(APIS))) as proxy:
        with ExitStack() as streams:
            for api in APIS.values():
                body = api.ask("!echo !silence=50 one two", stream=True)
                assert streams.enter_context(api.post(proxy, body, stream=True)).ok
            refused = [api.post(proxy, api.ask("!echo hello")) for api in APIS.values()]
        until(lambda: proxy.post(ask("!echo hello")).ok)

    for api, answer in zip(APIS.values(), refused, strict=True):
        assert 429 == answer.status_code
        assert api.name("rate_limit_exceeded") == api.failure(answer)
        assert int(answer.headers["Retry-After"]) > 0


def test_a_body_of_very_many_chunks_is_refused(sim: Sim) -> None:
    """To put it together would be work for everybody else's time."""
    with Proxy(sim, MAX_WORK="0.05") as proxy, connect(proxy) as client:
        client.sendall(f"{WITH_KEY}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(ConnectionError):
            client.sendall(b"1\r\n \r\n" * 1_000_000)
        refusal = answers(client)
        assert is_served(proxy)

    assert refusal.startswith(b"HTTP/1.1 400 ")
    assert re.search(rb'"code": ?"request_too_costly"', refusal)
