"""gunicorn.conf.py with the real gunicorn: workers, signals, forwarded headers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from .apis import APIS, Api
from .servers import ROOT, Proxy, Sim, ask, free_port, until

COMMAND = (sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py")
ENOUGH = "AuthKey={key}\nTOKENS=cookie-a\nHOST=127.0.0.1\nPORT={port}\n"


class Served:
    """The proxy in a folder of its own, with a `.env` that a test may change."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.dotenv = folder / ".env"
        self.log = folder / "log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.write(key="sk-one")
        unset = {"TOKENS", "POE_API_KEYS", "AuthKey", "HOST", "PORT", "WEB_CONCURRENCY"}
        environ = {name: value for name, value in os.environ.items() if name not in unset}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *options, "wsgi:app"],
                cwd=folder,
                env={**environ, "PYTHONPATH": str(ROOT), **variables},
                stdout=log,
                stderr=log,
            )

    def write(self, text: str = ENOUGH, *, key: str) -> None:
        self.dotenv.write_text(text.format(key=key, port=self.port))

    def output(self) -> str:
        return self.log.read_text()

    def status(self, key: str = "sk-one") -> int:
        """The status of an answer to a request with *key*; 0 while there is none."""
        try:
            return requests.get(
                f"{self.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=5
            ).status_code
        # gunicorn listens before its worker accepts.
        except (requests.ConnectionError, requests.Timeout):
            return 0

    def workers(self) -> list[str]:
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    try:
        until(lambda: server.status() == 200)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (("-w", "2"), {}),
        ((), {"WEB_CONCURRENCY": "2"}),
        ((), {"GUNICORN_CMD_ARGS": "--workers=2"}),
    ],
)
def test_more_than_one_worker_is_refused(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str]
) -> None:
    """However they are asked for, the server does not start and says why."""
    server = Served(tmp_path, *options, **variables)

    assert 1 == server.process.wait(60)
    assert "one worker, and 2 were asked for" in server.output()
    assert "live in the process" in server.output()


def test_a_signal_cannot_add_a_worker(served: Served) -> None:
    """SIGTTIN changes nothing."""
    before = served.workers()
    served.process.send_signal(signal.SIGTTIN)
    until(lambda: "SIGTTIN changes nothing" in served.output())

    assert before == served.workers()


def test_a_hang_up_changes_the_settings_in_the_same_worker(served: Served) -> None:
    """SIGHUP, and a changed `.env` counts; `test_reload.py` has what that means for replies."""
    before = served.workers()
    served.write(key="sk-two")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: served.status("sk-two") == 200)

    assert before == served.workers()
    assert 401 == served.status("sk-one")


def test_a_mistake_in_the_settings_does_not_end_the_server(served: Served) -> None:
    """SIGHUP with an invalid `.env` changes nothing, and the log names the setting."""
    before = served.workers()
    served.write(ENOUGH + "TIMEOUT=never\n", key="sk-two")
    served.process.send_signal(signal.SIGHUP)
    until(lambda: "Not reloaded" in served.output())

    assert 'TIMEOUT: "never" is not a valid number' in served.output()
    assert before == served.workers()
    assert 200 == served.status("sk-one")


@pytest.mark.parametrize(
    ("proxies", "schemes"),
    [
        ("", {"127.0.0.1": "https", "127.0.0.9": "http"}),
        ("127.0.0.9", {"127.0.0.9": "https", "127.0.0.1": "http"}),
        ("127.0.0.8/31", {"127.0.0.9": "https"}),
    ],
    ids=["default", "address", "network"],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_only_our_own_proxies_are_believed(
    tmp_path: Path, host: str, proxies: str, schemes: dict[str, str]
) -> None:
    """X-Forwarded-Proto counts from FORWARDED_ALLOW_IPS, by default this machine, alone."""
    server = Served(tmp_path, FORWARDED_ALLOW_IPS=proxies, HOST=host)
    try:
        until(lambda: server.status() == 200)

        for peer, scheme in schemes.items():
            assert f"{scheme}://poe.example.com/v1" in first_page(server.port, peer), peer
    finally:
        server.process.terminate()
        server.process.wait(60)


def first_page(port: int, peer: str) -> str:
    """The front page, for a request from *peer* that claims to have come by https."""
    with socket.create_connection(("127.0.0.1", port), 60, source_address=(peer, 0)) as raw:
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: poe.example.com\r\nX-Forwarded-Proto: https\r\n"
            b"Connection: close\r\n\r\n"
        )
        return b"".join(iter(lambda: raw.recv(65536), b"")).decode()


def test_new_code_takes_a_restart(tmp_path: Path) -> None:
    """SIGHUP reads settings, and leaves the program as it was at the start."""
    for name in ("poe_proxy", "wsgi.py"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    server = Served(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        until(lambda: server.status() == 200)
        pages = tmp_path / "poe_proxy" / "server" / "pages" / "__init__.py"
        pages.write_text(pages.read_text().replace('"status":"ok"', '"status":"new"'))
        server.write(key="sk-two")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.status("sk-two") == 200)

        assert {"status": "ok"} == requests.get(f"{server.url}/health", timeout=60).json()
    finally:
        server.process.terminate()
        server.process.wait(60)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stream_that_outlasts_the_grace_ends_with_an_error(how: int) -> None:
    """A reply still under way when the grace is over says that it broke off, in the form of each
    API, and the bots are stopped. Ctrl-C gives no grace."""

    def begin(api: Api) -> Iterator[str]:
        body = api.ask("!echo !silence=50 one two three four", stream=True)
        read = api.post(proxy, body, stream=True).iter_lines(decode_unicode=True)
        until(lambda: "one" in next(read))
        return read

    def rest(read: Iterator[str]) -> list[str]:
        lines = []
        with suppress(requests.exceptions.ChunkedEncodingError):
            lines.extend(read)
        return lines

    with (
        # Poe lets an account have three answers at a time.
        Sim(tokens=("cookie-a", "cookie-b")) as sim,
        Proxy(sim, GUNICORN_CMD_ARGS="--graceful-timeout=6") as proxy,
        ThreadPoolExecutor(len(APIS)) as clients,
    ):
        reading = list(clients.map(begin, APIS.values()))

        proxy.process.send_signal(how)
        ends = list(clients.map(rest, reading))
        until(lambda: not any(one["running"] for one in sim.control()["accounts"]))

    assert {
        "chat": "upstream_interrupted",
        "completions": "upstream_interrupted",
        # The code after which Codex does not ask again.
        "responses": "invalid_prompt",
        "messages": "api_error",
    } == {name: api.last(end) for (name, api), end in zip(APIS.items(), ends, strict=True)}
    assert "Traceback" not in proxy.output()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_whole_answer_that_outlasts_the_grace_is_an_error(how: int) -> None:
    """The connection does not just end: clients would send the request again."""
    with (
        Sim(tokens=("cookie-a",)) as sim,
        Proxy(sim, GUNICORN_CMD_ARGS="--graceful-timeout=6") as proxy,
        ThreadPoolExecutor(1) as client,
    ):
        asked = client.submit(proxy.post, ask("!echo !silence=50 one two three four"))
        until(lambda: sim.control()["accounts"][0]["running"])

        proxy.process.send_signal(how)
        answer = asked.result()
        until(lambda: not sim.control()["accounts"][0]["running"])

    assert (502, "upstream_interrupted") == (answer.status_code, answer.json()["error"]["code"])
    assert "Traceback" not in proxy.output()


#: An app in place of ours, which notes that its services were closed.
NOTING = """
from pathlib import Path
from types import SimpleNamespace

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []

def close():
    with open("closed", "a") as note:
        note.write("closed\\n")

app.extensions = {"poe_proxy": SimpleNamespace(close=close, look=lambda: None)}
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_that_ends_closes_its_connections(tmp_path: Path, how: int) -> None:
    """However it is asked to end, what it kept between requests is given back, once."""
    (tmp_path / "wsgi.py").write_text(NOTING)
    note = tmp_path / "closed"
    server = Served(tmp_path)
    try:
        until(lambda: server.status() == 200)
        server.process.send_signal(how)
        # Only then is the note complete, and nothing more is added to it.
        server.process.wait(60)

        assert "closed\n" == note.read_text()
    finally:
        server.process.terminate()
        server.process.wait(60)
    assert "Traceback" not in server.output()
